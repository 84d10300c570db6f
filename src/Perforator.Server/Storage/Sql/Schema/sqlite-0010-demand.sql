-- What is known of a service's build for telling agents how much to record of it. figures: JSON; evidence: BuildEvidence; version counts changes.
CREATE TABLE demand(
    service TEXT NOT NULL,
    build_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    seen_us INTEGER NOT NULL,
    figures TEXT NOT NULL,
    evidence BLOB NOT NULL,
    PRIMARY KEY(service, build_id)) STRICT;
CREATE INDEX demand_seen ON demand(seen_us);
