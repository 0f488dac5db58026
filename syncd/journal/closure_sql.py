"""The statements that compare rows and images, for ``closure``.

An image is *there* if the staging branch holds it: what a commit made now would hold. A row is *missing* if it was
last read and names no image that is there; an image is *orphaned* if it is there and no row last read names it.

``missing`` and ``orphaned`` hold what was so when the two were last compared: the rows as kept, the images as
committed. So only these can have changed since: rows whose image is another one than kept, images that came or went,
the rows that name such images, and the images that such rows name or named. Every statement takes the table's name as
``:name``; those that compare by change go through partial indexes, and must never walk all rows or all entries.
"""

# ruff: noqa: S608 - put together from constants of this file alone

from __future__ import annotations

from syncd.journal.sql_terms import directory_of, is_image

_IMAGE, _IMAGE_E = is_image(), is_image("e")

_NAMES = "n.seen_image = {image} AND n.table_name = :name"  # of a row `n`, by the index table_row_image

CHANGED = "(seen <> kept OR seen_image IS NOT kept_image OR shown <> kept_shown)"

# First what has changed itself, then all that it touches.
_AFFECTED = f"""
WITH moved_image (image, there) AS MATERIALIZED (
    SELECT directory || name, staged_sha256 IS NOT NULL FROM entry INDEXED BY entry_uncommitted
    WHERE staged_sha256 IS NOT committed_sha256 AND {_IMAGE} AND (staged_sha256 IS NULL) <> (committed_sha256 IS NULL)
), changed_row (row_key, seen_image, kept_image) AS MATERIALIZED (
    SELECT row_key, seen_image, kept_image FROM table_row INDEXED BY table_row_changed
    WHERE table_name = :name AND {CHANGED}
), changed_image (image, directory) AS MATERIALIZED (
    SELECT image, {directory_of("image")} FROM (
        SELECT seen_image AS image FROM changed_row UNION SELECT kept_image FROM changed_row
    ) WHERE image IS NOT NULL
), affected_row (row_key) AS MATERIALIZED (
    SELECT row_key FROM changed_row
    UNION
    SELECT n.row_key FROM moved_image m CROSS JOIN table_row n INDEXED BY table_row_image
    ON {_NAMES.format(image="m.image")}
), affected_image (image) AS MATERIALIZED (
    SELECT image FROM moved_image UNION SELECT image FROM changed_image
), there_image (image) AS MATERIALIZED (
    SELECT image FROM moved_image WHERE there
    UNION
    SELECT image FROM changed_image c CROSS JOIN entry e
    ON e.directory = c.directory AND e.name = substr(c.image, length(c.directory) + 1)
    WHERE {_IMAGE_E} AND e.staged_sha256 IS NOT NULL
)
"""

_MISSING_NOW = """
FROM affected_row a CROSS JOIN table_row r ON r.table_name = :name AND r.row_key = a.row_key
WHERE r.seen = 1 AND (r.seen_image IS NULL OR r.seen_image NOT IN (SELECT image FROM there_image))
"""

_ORPHANED_NOW = f"""
FROM there_image t WHERE NOT EXISTS (
    SELECT 1 FROM table_row n INDEXED BY table_row_image WHERE {_NAMES.format(image="t.image")}
)
"""

_OLD_MISSING = "FROM affected_row a CROSS JOIN missing m ON m.table_name = :name AND m.row_key = a.row_key"
_OLD_ORPHANED = "FROM affected_image a CROSS JOIN orphaned o ON o.table_name = :name AND o.image = a.image"

# Compared by change.

COUNT = f"""
{_AFFECTED}
SELECT s.missing - (SELECT count(*) {_OLD_MISSING}) + (SELECT count(*) {_MISSING_NOW}),
       s.orphaned - (SELECT count(*) {_OLD_ORPHANED}) + (SELECT count(*) {_ORPHANED_NOW})
FROM table_state s WHERE s.name = :name
"""

LIST_MISSING = f"""
{_AFFECTED}
SELECT m.row_key, r.seen_image
FROM missing m CROSS JOIN table_row r ON r.table_name = m.table_name AND r.row_key = m.row_key
WHERE m.table_name = :name AND m.row_key NOT IN (SELECT row_key FROM affected_row)
UNION ALL
SELECT r.row_key, r.seen_image {_MISSING_NOW}
ORDER BY 1 LIMIT :limit
"""

LIST_ORPHANED = f"""
{_AFFECTED}
SELECT o.image FROM orphaned o
WHERE o.table_name = :name AND o.image NOT IN (SELECT image FROM affected_image)
UNION ALL
SELECT t.image {_ORPHANED_NOW}
ORDER BY 1 LIMIT :limit
"""

FORGET_MISSING = f"""
DELETE FROM missing WHERE table_name = :name AND row_key IN ({_AFFECTED} SELECT row_key FROM affected_row)
"""
ADD_MISSING = f"INSERT INTO missing {_AFFECTED} SELECT :name, r.row_key {_MISSING_NOW}"

FORGET_ORPHANED = f"""
DELETE FROM orphaned WHERE table_name = :name AND image IN ({_AFFECTED} SELECT image FROM affected_image)
"""
ADD_ORPHANED = f"INSERT INTO orphaned {_AFFECTED} SELECT :name, t.image {_ORPHANED_NOW}"

COUNT_BY = """
UPDATE table_state SET missing = missing + :missing, orphaned = orphaned + :orphaned, paired = 1 WHERE name = :name
"""

KEEP_ROWS = f"""
UPDATE table_row INDEXED BY table_row_changed SET kept = 1, kept_image = seen_image, kept_shown = shown
WHERE table_name = :name AND seen = 1 AND {CHANGED}
"""
FORGET_ROWS = f"""
DELETE FROM table_row INDEXED BY table_row_changed WHERE table_name = :name AND seen = 0 AND {CHANGED}
"""

# A row `r` under ``exclude`` is to be shown just if its image is there.
_DIRECTORY = directory_of("r.seen_image")
_IS_MISSHOWN = f"""
r.seen = 1 AND r.shown <> (r.seen_image IS NOT NULL AND EXISTS (
    SELECT 1 FROM entry e WHERE e.directory = {_DIRECTORY} AND e.name = substr(r.seen_image, length({_DIRECTORY}) + 1)
    AND {_IMAGE_E} AND e.{{held}} IS NOT NULL
))
"""
MISSHOWN = f"""
{_AFFECTED}
SELECT DISTINCT r.part FROM affected_row a CROSS JOIN table_row r ON r.table_name = :name AND r.row_key = a.row_key
WHERE {_IS_MISSHOWN.format(held="staged_sha256")}
"""
ALL_MISSHOWN = f"SELECT DISTINCT r.part FROM table_row r WHERE r.table_name = :name AND {_IS_MISSHOWN}"

# Compared as a whole; {held} is the column that says which images are there. Images are walked, not rows: entries and
# the index of the rows' images come in about the same order, and no image has to be taken apart.

_ALL_ROWS = "FROM table_row r WHERE r.table_name = :name AND r.seen = 1"
_ALL_MISSING = f"""
{_ALL_ROWS} AND r.row_key NOT IN (
    SELECT n.row_key FROM entry e CROSS JOIN table_row n INDEXED BY table_row_image
    ON {_NAMES.format(image="e.directory || e.name")}
    WHERE {_IMAGE_E} AND e.{{held}} IS NOT NULL
)
"""
_ALL_ORPHANED = f"""
FROM entry e WHERE {_IMAGE_E} AND e.{{held}} IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM table_row n INDEXED BY table_row_image WHERE {_NAMES.format(image="e.directory || e.name")}
)
"""

# The LIMIT keeps SQLite from counting an image's rows once for each time they are spoken of.
COUNT_ALL = f"""
SELECT (SELECT count(*) {_ALL_ROWS}) - coalesce(sum(names), 0), count(*) FILTER (WHERE names = 0) FROM (
    SELECT (
        SELECT count(*) FROM table_row n INDEXED BY table_row_image WHERE {_NAMES.format(image="e.directory || e.name")}
    ) AS names FROM entry e WHERE {_IMAGE_E} AND e.staged_sha256 IS NOT NULL LIMIT -1
)
"""
LIST_ALL_MISSING = f"SELECT r.row_key, r.seen_image {_ALL_MISSING} ORDER BY r.row_key LIMIT :limit".format(
    held="staged_sha256"
)
LIST_ALL_ORPHANED = f"SELECT e.directory || e.name {_ALL_ORPHANED} ORDER BY 1 LIMIT :limit".format(held="staged_sha256")
ADD_ALL_MISSING = f"INSERT INTO missing SELECT :name, r.row_key {_ALL_MISSING}"
ADD_ALL_ORPHANED = f"INSERT INTO orphaned SELECT :name, e.directory || e.name {_ALL_ORPHANED}"
