-- What is known of a service's build for telling agents how much to record of it. figures: JSON; evidence: BuildEvidence; version counts changes.
CREATE TABLE demand(
    service text COLLATE "C" NOT NULL,
    build_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    seen_us bigint NOT NULL,
    figures text NOT NULL,
    evidence bytea NOT NULL,
    PRIMARY KEY(service, build_id));
CREATE INDEX demand_seen ON demand(seen_us);
