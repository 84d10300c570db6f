-- What each host's agent last said of itself, and when: JSON.
CREATE TABLE agent(
    host text COLLATE "C" PRIMARY KEY,
    seen_us bigint NOT NULL,
    report text NOT NULL);
CREATE INDEX agent_seen ON agent(seen_us);
