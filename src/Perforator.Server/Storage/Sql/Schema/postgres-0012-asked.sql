-- Who asked for a generated profile, with which gates, and what of these was not met: the latest of each.
CREATE TABLE profile_asked(
    service text COLLATE "C" NOT NULL,
    profile text COLLATE "C" NOT NULL,
    who text COLLATE "C" NOT NULL,
    asked_us bigint NOT NULL,
    gates text NOT NULL,
    unmet text NOT NULL,
    PRIMARY KEY(service, profile, who));
