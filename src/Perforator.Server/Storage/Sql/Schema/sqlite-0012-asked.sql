-- Who asked for a generated profile, with which gates, and what of these was not met: the latest of each.
CREATE TABLE profile_asked(
    service TEXT NOT NULL,
    profile TEXT NOT NULL,
    who TEXT NOT NULL,
    asked_us INTEGER NOT NULL,
    gates TEXT NOT NULL,
    unmet TEXT NOT NULL,
    PRIMARY KEY(service, profile, who)) STRICT, WITHOUT ROWID;
