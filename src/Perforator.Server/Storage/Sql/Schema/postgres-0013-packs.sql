-- Where an upload's bytes are: object is the pack that it is a part of, start_at where in it; null for an object of its own, by its hash.
ALTER TABLE upload ADD COLUMN object text COLLATE "C";
ALTER TABLE upload ADD COLUMN start_at bigint NOT NULL DEFAULT 0;
CREATE INDEX upload_object ON upload(object) WHERE object IS NOT NULL;
