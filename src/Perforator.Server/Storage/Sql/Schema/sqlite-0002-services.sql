-- Times are microseconds since the Unix epoch; counters saturate at 2^63-1.

-- A service, with running totals of its uploads.
CREATE TABLE service(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    uploads INTEGER NOT NULL DEFAULT 0,
    samples INTEGER NOT NULL DEFAULT 0,
    last_us INTEGER NOT NULL DEFAULT 0) STRICT;

-- Labels as one JSON object, its members in ordinal order; the hash is of that text.
CREATE TABLE label_set(
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    json TEXT NOT NULL) STRICT;

-- An upload, by the hash of its content. state: 0 object kept, 1 object damaged, 2 object no longer kept. block: the sum it is in.
CREATE TABLE upload(
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    service INTEGER NOT NULL,
    labels INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    block INTEGER) STRICT;
CREATE INDEX upload_open ON upload(service, end_us) WHERE block IS NULL;
CREATE INDEX upload_block ON upload(block) WHERE block IS NOT NULL;
CREATE INDEX upload_age ON upload(service, end_us);

-- Which binaries a service has, and what is known of each by day (since 0001-01-01) and labels.
CREATE TABLE service_build(
    service INTEGER NOT NULL,
    build_id TEXT NOT NULL,
    PRIMARY KEY(service, build_id)) STRICT, WITHOUT ROWID;
CREATE INDEX service_build_id ON service_build(build_id);
CREATE TABLE build_day(
    service INTEGER NOT NULL,
    build_id TEXT NOT NULL,
    labels INTEGER NOT NULL,
    day INTEGER NOT NULL,
    path TEXT NOT NULL,
    uploads INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    branches INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY(service, build_id, labels, day)) STRICT, WITHOUT ROWID;

-- Uploads of one service in one hour or day, added up in one object. uploads_kept: whether all of them can still be read one by one.
CREATE TABLE block(
    id INTEGER PRIMARY KEY,
    service INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    length_us INTEGER NOT NULL,
    object TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    uploads INTEGER NOT NULL,
    first_start_us INTEGER NOT NULL DEFAULT 0,
    last_start_us INTEGER NOT NULL DEFAULT 0,
    first_end_us INTEGER NOT NULL DEFAULT 0,
    last_end_us INTEGER NOT NULL DEFAULT 0,
    uploads_kept INTEGER NOT NULL DEFAULT 1,
    UNIQUE(service, start_us, length_us)) STRICT;
CREATE INDEX block_object ON block(object);

-- What of a block's object is of which labels. set_hash: UploadSetHash of the uploads in it.
CREATE TABLE block_part(
    block INTEGER NOT NULL,
    labels INTEGER NOT NULL,
    set_hash BLOB NOT NULL,
    uploads INTEGER NOT NULL,
    start_at INTEGER NOT NULL,
    length INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY(block, labels)) STRICT, WITHOUT ROWID;

-- Files of builds. kind: 0 executable or library, 1 debug file, 2 package of split DWARF.
CREATE TABLE binary_file(
    build_id TEXT NOT NULL,
    kind INTEGER NOT NULL,
    object TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    code_bytes INTEGER NOT NULL,
    has_debug_info INTEGER NOT NULL,
    added_us INTEGER NOT NULL,
    PRIMARY KEY(build_id, kind)) STRICT, WITHOUT ROWID;
CREATE INDEX binary_file_object ON binary_file(object);

-- Generated profiles. result_key: hash of all that went in; profile: hash of the bytes; builds: build ids with spaces between.
CREATE TABLE result(
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    result_key TEXT NOT NULL UNIQUE,
    profile TEXT NOT NULL,
    made_us INTEGER NOT NULL,
    selector TEXT NOT NULL,
    since_us INTEGER,
    until_us INTEGER,
    uploads INTEGER NOT NULL,
    inputs TEXT NOT NULL,
    builds TEXT NOT NULL,
    ratio REAL NOT NULL,
    report TEXT NOT NULL,
    report_text TEXT NOT NULL,
    report_line TEXT NOT NULL,
    tool TEXT NOT NULL) STRICT;
CREATE INDEX result_service ON result(service, id);
CREATE INDEX result_profile ON result(profile, service);

-- Names that stand for generated profiles.
CREATE TABLE profile_name(
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    changed_us INTEGER NOT NULL,
    previous TEXT,
    PRIMARY KEY(service, name)) STRICT, WITHOUT ROWID;

-- Tasks. state: 0 waiting, 1 running, 2 done, 3 failed. lease_us: until when the worker has it.
CREATE TABLE task(
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    task_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    state INTEGER NOT NULL,
    worker TEXT,
    lease_us INTEGER NOT NULL,
    made_us INTEGER NOT NULL,
    ended_us INTEGER,
    outcome TEXT) STRICT;
CREATE UNIQUE INDEX task_unfinished ON task(kind, task_key) WHERE state < 2;
CREATE INDEX task_waiting ON task(made_us) WHERE state < 2;

-- Objects that nothing names any more, and since when; collecting: whether they are just being deleted.
CREATE TABLE garbage(
    object TEXT PRIMARY KEY,
    since_us INTEGER NOT NULL,
    collecting INTEGER NOT NULL) STRICT;
CREATE INDEX garbage_since ON garbage(since_us);
