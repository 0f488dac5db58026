-- From version 1 to 2: tables of several objects, and which image each row names.
-- What follows up to the last two statements stands in schema.sql in the same words; a test compares the two.

-- What is due of tables, apart from the million images that may be due, too.
CREATE INDEX entry_unstaged_table ON entry (directory, name)
WHERE unstaged_since IS NOT NULL AND directory >= 'tables/' AND directory < 'tables0';

-- The tables, as last accepted.
CREATE TABLE table_state (
    name TEXT PRIMARY KEY,
    row_count INTEGER NOT NULL CHECK (row_count >= 0),
    column_count INTEGER NOT NULL CHECK (column_count >= 1),
    schema_text TEXT NOT NULL,                            -- as published; '' for a CSV file as it is
    read_at REAL NOT NULL,
    keeps_rows INTEGER NOT NULL CHECK (keeps_rows IN (0, 1)),  -- in table_row, for closure
    paired INTEGER NOT NULL CHECK (paired IN (0, 1)),     -- `missing` and `orphaned` hold for it; else all is compared
    missing INTEGER NOT NULL CHECK (missing >= 0),        -- how many there are
    orphaned INTEGER NOT NULL CHECK (orphaned >= 0),
    CHECK (keeps_rows OR NOT paired),
    CHECK (paired OR (missing = 0 AND orphaned = 0))
) STRICT, WITHOUT ROWID;

-- What each object of a table holds, in the versions of it that are seen, staged or committed.
CREATE TABLE table_object (
    directory TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    table_name TEXT NOT NULL,
    row_count INTEGER NOT NULL CHECK (row_count >= 0),
    rows_digest BLOB NOT NULL,                            -- of the rows, whatever their encoding; x'': none known
    accepted_at REAL NOT NULL,
    PRIMARY KEY (directory, name, sha256)
) STRICT, WITHOUT ROWID;

-- Which image each row names: as last read, and as when it was last compared with the committed images. Together
-- with `missing` and `orphaned` the second is what changes are counted against. A row that is in neither is deleted.
CREATE TABLE table_row (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    part TEXT NOT NULL,                                   -- the piece of the table that held it when it was last read
    seen INTEGER NOT NULL CHECK (seen IN (0, 1)),
    seen_image TEXT,                                      -- NULL: it names none
    kept INTEGER NOT NULL CHECK (kept IN (0, 1)),
    kept_image TEXT,
    PRIMARY KEY (table_name, row_key),
    CHECK (seen OR kept),
    CHECK (seen OR seen_image IS NULL),
    CHECK (kept OR kept_image IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX table_row_changed ON table_row (table_name, row_key)
WHERE seen <> kept OR seen_image IS NOT kept_image;
CREATE INDEX table_row_image ON table_row (seen_image, table_name) WHERE seen_image IS NOT NULL;
CREATE INDEX table_row_part ON table_row (table_name, part) WHERE seen = 1;

-- Rows of a version that is still being read.
CREATE TABLE incoming_row (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    part TEXT NOT NULL,
    image TEXT,
    PRIMARY KEY (table_name, row_key)
) STRICT, WITHOUT ROWID;

-- Kept rows that name no image, or one that is not committed.
CREATE TABLE missing (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    PRIMARY KEY (table_name, row_key)
) STRICT, WITHOUT ROWID;

-- Committed images that no kept row of the table names.
CREATE TABLE orphaned (
    table_name TEXT NOT NULL,
    image TEXT NOT NULL,
    PRIMARY KEY (table_name, image)
) STRICT, WITHOUT ROWID;

-- A table was one CSV file; what was last accepted of it is what the source last showed, or else the newest version.
INSERT INTO table_object
SELECT 'tables/', name || '.csv', sha256, name, row_count, x'', accepted_at FROM table_version;
INSERT INTO table_state
SELECT name, row_count, column_count, '', accepted_at, 0, 0, 0, 0 FROM (
    SELECT v.*, row_number() OVER (
        PARTITION BY v.name ORDER BY coalesce(v.sha256 = e.seen_sha256, 0) DESC, v.accepted_at DESC
    ) AS place
    FROM table_version v LEFT JOIN entry e ON e.directory = 'tables/' AND e.name = v.name || '.csv'
) WHERE place = 1;
DROP TABLE table_version;
