-- What each host's agent last said of itself, and when: JSON.
CREATE TABLE agent(
    host TEXT PRIMARY KEY,
    seen_us INTEGER NOT NULL,
    report TEXT NOT NULL) STRICT;
CREATE INDEX agent_seen ON agent(seen_us);
