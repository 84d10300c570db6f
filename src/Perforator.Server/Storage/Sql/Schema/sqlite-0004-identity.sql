-- Which objects are this database's: the id that they carry too. One row.
CREATE TABLE store(
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL) STRICT;
