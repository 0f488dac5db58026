-- From version 4 to 5: what was moved is found by its content, so that the server can copy it; listings that agreed.
-- What is created here stands in schema.sql in the same words; a test compares the two.

DROP INDEX entry_moved;
-- What the newest snapshot holds and the source does not: what was moved is found there by its content.
CREATE INDEX entry_lost ON entry (committed_sha256) WHERE seen_sha256 IS NULL AND committed_sha256 IS NOT NULL;

-- Directories whose last listing showed exactly the entries that are there now: its digest.
CREATE TABLE listing (
    directory TEXT PRIMARY KEY,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER listing_insert AFTER INSERT ON entry BEGIN
    DELETE FROM listing WHERE directory = NEW.directory;
END;
CREATE TRIGGER listing_update AFTER UPDATE OF seen_sha256, size_bytes, mtime_ns, ctime_ns, inode ON entry BEGIN
    DELETE FROM listing WHERE directory = NEW.directory;
END;
CREATE TRIGGER listing_delete AFTER DELETE ON entry BEGIN
    DELETE FROM listing WHERE directory = OLD.directory;
END;
