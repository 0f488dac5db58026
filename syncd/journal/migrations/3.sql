-- From version 2 to 3: which snapshots retention has removed.
-- What is created here stands in schema.sql in the same words; a test compares the two.

-- Snapshots that retention does not keep any more: nothing keeps their objects from lakeFS's garbage collection.
CREATE TABLE removal (
    sequence INTEGER PRIMARY KEY,                         -- of the snapshot
    removed_at REAL NOT NULL
) STRICT;
