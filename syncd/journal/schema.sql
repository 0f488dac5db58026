-- The journal, version 5. Times are Unix seconds (UTC), hashes raw bytes.
-- A SHA-256 is NULL where there is no content, and x'' where it is not known: x'' equals no content,
-- so that whatever was interrupted in the middle is due again by itself.

CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL CHECK (revision >= 0),      -- of the newest observation that changed a content
    last_change_at REAL,                                  -- and when it was made
    live_images INTEGER NOT NULL CHECK (live_images >= 0),
    committed_images INTEGER NOT NULL CHECK (committed_images >= 0),
    committed_bytes INTEGER NOT NULL CHECK (committed_bytes >= 0),
    digest_state BLOB NOT NULL CHECK (length(digest_state) = 256),  -- of the newest snapshot; see fingerprint.SetDigest
    adopted INTEGER NOT NULL CHECK (adopted IN (0, 1))    -- what the staging branch held at first is in `entry`
) STRICT;
INSERT INTO state VALUES (1, 0, NULL, 0, 0, 0, zeroblob(256), 0);

-- What this journal is about. It must not be used for another repository, branch or prefix.
CREATE TABLE binding (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot (
    sequence INTEGER PRIMARY KEY,                         -- {seq} in tag names
    intent TEXT NOT NULL UNIQUE,                          -- goes into the commit's metadata as syncd.snapshot
    step TEXT NOT NULL CHECK (step IN ('begun', 'committed', 'merged', 'tagged')),
    trigger_name TEXT NOT NULL,
    begun_at REAL NOT NULL,
    tag TEXT NOT NULL CHECK (tag <> ''),
    message TEXT NOT NULL,
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),  -- of the commit
    added INTEGER NOT NULL CHECK (added >= 0),
    changed INTEGER NOT NULL CHECK (changed >= 0),
    deleted INTEGER NOT NULL CHECK (deleted >= 0),
    images INTEGER NOT NULL CHECK (images >= 0),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    digest_state BLOB NOT NULL CHECK (length(digest_state) = 256),
    digest TEXT NOT NULL CHECK (length(digest) = 64),
    staging_commit TEXT,
    commit_id TEXT,                                       -- on the publish branch
    created_at REAL,
    CHECK ((step = 'begun') = (staging_commit IS NULL)),
    CHECK ((step IN ('begun', 'committed')) = (commit_id IS NULL)),
    CHECK ((commit_id IS NULL) = (created_at IS NULL))
) STRICT;
-- One at a time: nothing is staged between a snapshot's begin and its commit.
CREATE UNIQUE INDEX snapshot_open ON snapshot ((1)) WHERE step <> 'tagged';
CREATE INDEX snapshot_tag ON snapshot (tag);

-- Snapshots that retention does not keep any more: nothing keeps their objects from lakeFS's garbage collection.
CREATE TABLE removal (
    sequence INTEGER PRIMARY KEY,                         -- of the snapshot
    removed_at REAL NOT NULL
) STRICT;

CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    begun_at REAL NOT NULL,
    puts INTEGER NOT NULL CHECK (puts >= 0),
    deletes INTEGER NOT NULL CHECK (deletes >= 0),
    ended_at REAL                                         -- NULL: under way, or interrupted
) STRICT;

-- Per key the three states: what the source showed, what the staging branch holds, what the newest snapshot holds.
CREATE TABLE entry (
    directory TEXT NOT NULL CHECK (directory = '' OR substr(directory, -1) = '/'),
    name TEXT NOT NULL CHECK (name <> ''),
    seen_sha256 BLOB CHECK (length(seen_sha256) = 32),    -- NULL: not there, or not observed yet
    seen_md5 BLOB CHECK (length(seen_md5) = 16),
    size_bytes INTEGER CHECK (size_bytes >= 0),
    mtime_ns INTEGER,
    ctime_ns INTEGER,
    inode INTEGER,
    seen_at REAL,                                         -- when this content was first observed
    seen_how TEXT NOT NULL DEFAULT '',
    revision INTEGER NOT NULL CHECK (revision >= 0),      -- of the observation of this content
    staged_sha256 BLOB CHECK (length(staged_sha256) IN (0, 32)),
    staged_bytes INTEGER CHECK (staged_bytes >= 0),
    staged_batch INTEGER,                                 -- the last batch that touched the key
    committed_sha256 BLOB CHECK (length(committed_sha256) IN (0, 32)),
    committed_bytes INTEGER CHECK (committed_bytes >= 0),
    committed_in INTEGER,                                 -- sequence of the snapshot that brought this content
    unstaged_since INTEGER,                               -- revision since which wanted and staged differ
    waiting_since REAL,                                   -- time since which the newest snapshot is not up to date
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),  -- refused by lakeFS so many times in a row
    not_before REAL NOT NULL DEFAULT 0,                   -- not offered again before this time
    changing INTEGER NOT NULL DEFAULT 0 CHECK (changing IN (0, 1)),  -- it changed while it was sent
    withheld INTEGER NOT NULL DEFAULT 0 CHECK (withheld IN (0, 1)),  -- an image that is there, and is not to be staged
    agreed INTEGER NOT NULL DEFAULT 0 CHECK (agreed IN (0, 1, 2)),   -- its deletion may go ahead; 2: as it was moved
    kept INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1)),          -- it stays published, though the source lost it
    -- What the staging branch is to hold.
    wanted_sha256 BLOB AS (CASE WHEN kept THEN staged_sha256 WHEN withheld THEN NULL ELSE seen_sha256 END),
    PRIMARY KEY (directory, name),
    CHECK ((seen_sha256 IS NULL) = (seen_md5 IS NULL)),
    CHECK ((seen_sha256 IS NULL) = (size_bytes IS NULL)),
    CHECK ((seen_sha256 IS NULL) = (mtime_ns IS NULL)),
    CHECK ((wanted_sha256 IS staged_sha256) = (unstaged_since IS NULL)),
    CHECK ((wanted_sha256 IS staged_sha256 AND staged_sha256 IS committed_sha256) = (waiting_since IS NULL)),
    CHECK (coalesce(seen_sha256, staged_sha256, committed_sha256) IS NOT NULL),
    CHECK (seen_sha256 IS NOT NULL OR NOT withheld),
    CHECK (seen_sha256 IS NULL OR NOT (agreed OR kept))
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_due_put ON entry (unstaged_since) WHERE unstaged_since IS NOT NULL AND wanted_sha256 IS NOT NULL;
-- By who has a say in it: an image may go by the word of a table or of a person, or has yet to be asked about.
CREATE INDEX entry_due_delete ON entry (withheld, agreed, unstaged_since)
WHERE unstaged_since IS NOT NULL AND wanted_sha256 IS NULL;
CREATE INDEX entry_waiting ON entry (waiting_since) WHERE waiting_since IS NOT NULL;
CREATE INDEX entry_uncommitted ON entry (directory, name) WHERE staged_sha256 IS NOT committed_sha256;
CREATE INDEX entry_uncertain ON entry (directory, name) WHERE staged_sha256 = x'';
CREATE INDEX entry_blocked ON entry (not_before) WHERE not_before > 0;
CREATE INDEX entry_changing ON entry (unstaged_since) WHERE changing = 1;
CREATE INDEX entry_gone ON entry (directory, name)
WHERE seen_sha256 IS NULL AND committed_sha256 IS NOT NULL AND agreed = 0 AND kept = 0;
-- What the newest snapshot holds and the source does not: what was moved is found there by its content.
CREATE INDEX entry_lost ON entry (committed_sha256) WHERE seen_sha256 IS NULL AND committed_sha256 IS NOT NULL;
CREATE INDEX entry_withheld ON entry (directory, name) WHERE withheld = 1;

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

-- What is due of tables, apart from the million images that may be due, too.
CREATE INDEX entry_unstaged_table ON entry (directory, name)
WHERE unstaged_since IS NOT NULL AND directory >= 'tables/' AND directory < 'tables0';

-- The newest commit of the staging branch, as syncd left it. No row: not known, and whatever it holds is taken over.
CREATE TABLE staging_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commit_id TEXT NOT NULL CHECK (commit_id <> '')
) STRICT;

-- The staging branch, or a place it needs, is not as syncd left it: what a person was told, and whether they agreed.
CREATE TABLE branch_hold (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    found TEXT NOT NULL,                                  -- what was found: a commit id, or what is gone
    fact TEXT NOT NULL,
    agreed INTEGER NOT NULL CHECK (agreed IN (0, 1))
) STRICT;

-- Images that snapshots of the last hour deleted without anyone's word; see ``absence``.
CREATE TABLE deletion (
    at REAL NOT NULL,
    images INTEGER NOT NULL CHECK (images > 0)
) STRICT;

-- More images are gone than may go unasked: their deletion waits for a person.
CREATE TABLE guard_trip (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    recent INTEGER NOT NULL,                              -- deleted within the hour before
    revision INTEGER NOT NULL,                            -- when it was judged last
    judged_at REAL NOT NULL
) STRICT;

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
    hidden_count INTEGER NOT NULL DEFAULT 0 CHECK (hidden_count >= 0),  -- rows of these that it leaves out
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
    shown INTEGER NOT NULL DEFAULT 1 CHECK (shown IN (0, 1)),       -- 0: what is published leaves the row out
    kept_shown INTEGER NOT NULL DEFAULT 1 CHECK (kept_shown IN (0, 1)),
    PRIMARY KEY (table_name, row_key),
    CHECK (seen OR kept),
    CHECK (seen OR seen_image IS NULL),
    CHECK (kept OR kept_image IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX table_row_changed ON table_row (table_name, row_key)
WHERE seen <> kept OR seen_image IS NOT kept_image OR shown <> kept_shown;
CREATE INDEX table_row_image ON table_row (seen_image, table_name) WHERE seen_image IS NOT NULL;
CREATE INDEX table_row_part ON table_row (table_name, part) WHERE seen = 1;

-- Rows of a version that is still being read.
CREATE TABLE incoming_row (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    part TEXT NOT NULL,
    image TEXT,
    shown INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (table_name, row_key)
) STRICT, WITHOUT ROWID;

-- The tables of which only rows and images that fit together are published, by the configuration. What no row of such a
-- table names is withheld, once its rows are known.
CREATE TABLE excluding (
    name TEXT PRIMARY KEY
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

-- What is not synced, and why.
CREATE TABLE problem (
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;
