-- Which objects are this database's: the id that they carry too. One row.
CREATE TABLE store(
    one bigint PRIMARY KEY CHECK (one = 1),
    id text COLLATE "C" NOT NULL);
