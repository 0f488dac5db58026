"""Tables of which only what fits together is published: which images are withheld, since no row names them.

An image is withheld while some table under ``closure = "exclude"`` is known row by row and none of its rows names it.
It stays in the inventory as it was seen; the staging branch is to hold nothing at its key. Cost follows the rows and
images that change, but for the moment when a table's rows are first known or are known no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.journal.sql_terms import directory_of, is_image
from syncd.model import IMAGES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Mapping, Sequence

_EFFECTIVE = "SELECT x.name FROM excluding x JOIN table_state s ON s.name = x.name WHERE s.keeps_rows = 1"

_NAMED = "SELECT 1 FROM table_row INDEXED BY table_row_image WHERE seen_image = ? AND table_name = ? LIMIT 1"

# Whether an image is to be withheld. Only with INDEXED BY does SQLite look rows up by image in every case.
_WITHHOLDS = f"""
EXISTS (SELECT 1 FROM ({_EFFECTIVE}) x WHERE NOT EXISTS (
    SELECT 1 FROM table_row n INDEXED BY table_row_image
    WHERE n.seen_image = entry.directory || entry.name AND n.table_name = x.name
))
"""  # noqa: S608 - a constant

_JUDGED = """
UPDATE entry SET
    withheld = NOT withheld,
    unstaged_since = CASE WHEN staged_sha256 IS iif(withheld, seen_sha256, NULL) THEN NULL
                          ELSE coalesce(unstaged_since, :revision) END,
    waiting_since = CASE WHEN staged_sha256 IS iif(withheld, seen_sha256, NULL)
                          AND committed_sha256 IS staged_sha256 THEN NULL
                         ELSE coalesce(waiting_since, :at) END,
    attempts = 0, not_before = 0, changing = 0
"""
_JUDGE_ALL = f"{_JUDGED} WHERE seen_sha256 IS NOT NULL AND {is_image()} AND withheld <> ({_WITHHOLDS})"
_JUDGE_TOUCHED = f"""
{_JUDGED} WHERE (directory, name) IN (
    SELECT directory, substr(image, length(directory) + 1) FROM (
        SELECT image, {directory_of("image")} AS directory FROM temp.touched
    )
) AND seen_sha256 IS NOT NULL AND {is_image()} AND withheld <> ({_WITHHOLDS})
"""  # noqa: S608 - constants

# The images that rows named before and name no more, and those they name now. {gone} tells rows that are not there any
# more from others; see ``table_rows``.
_TOUCHED = """
INSERT OR IGNORE INTO temp.touched
SELECT seen_image FROM table_row WHERE table_name = :name AND seen_image IS NOT NULL AND {gone}
UNION
SELECT r.seen_image FROM incoming_row i CROSS JOIN table_row r ON r.table_name = i.table_name AND r.row_key = i.row_key
WHERE i.table_name = :name AND r.seen_image IS NOT NULL AND r.seen_image IS NOT i.image
UNION
SELECT i.image FROM incoming_row i LEFT JOIN table_row r ON r.table_name = i.table_name AND r.row_key = i.row_key
WHERE i.table_name = :name AND i.image IS NOT NULL AND r.seen_image IS NOT i.image
"""


def configure(connection: sqlite3.Connection, tables: Collection[str]) -> None:
    """Note which tables are under ``exclude`` by the configuration, and judge all images where that is news."""
    if configured(connection) == set(tables):
        return
    connection.execute("DELETE FROM excluding")
    connection.executemany("INSERT INTO excluding VALUES (?)", [(name,) for name in sorted(tables)])
    judge_all(connection)


def configured(connection: sqlite3.Connection) -> set[str]:
    """Return the tables that are under ``exclude`` by the configuration."""
    return {name for (name,) in connection.execute("SELECT name FROM excluding")}


def effective(connection: sqlite3.Connection) -> list[str]:
    """Return the tables by whose rows images are withheld now."""
    return [name for (name,) in connection.execute(_EFFECTIVE)]


def withholds(connection: sqlite3.Connection, key: str, tables: Sequence[str]) -> bool:
    """Tell whether a key is that of an image that one of these tables does not name."""
    return key.startswith(IMAGES) and bool(unnaming(connection, key, tables))


def unnaming(connection: sqlite3.Connection, image: str, tables: Sequence[str]) -> list[str]:
    """Return those of these tables of which no row names an image."""
    return [table for table in tables if connection.execute(_NAMED, (image, table)).fetchone() is None]


def judging(connection: sqlite3.Connection, table: str, values: Mapping[str, Any], *, gone: str) -> Callable[[], None]:
    """Note the images that rows about to be taken in touch; return what judges them afterwards.

    Args:
        connection: The writing one.
        table: Whose rows come.
        values: For the statement ``gone``.
        gone: SQL that is true of a row that did not come again.
    """
    if table not in effective(connection):
        return lambda: None
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS touched (image TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("DELETE FROM temp.touched")
    connection.execute(_TOUCHED.format(gone=gone), values)

    def judge() -> None:
        _judge(connection, _JUDGE_TOUCHED)
        connection.execute("DELETE FROM temp.touched")

    return judge


def judge_all(connection: sqlite3.Connection) -> None:
    """Judge every image; its cost follows their number."""
    _judge(connection, _JUDGE_ALL)


def _judge(connection: sqlite3.Connection, statement: str) -> None:
    """Withhold and release; one new revision for all, since they change at once."""
    revision, at = connection.execute(
        "SELECT revision + 1, coalesce((SELECT max(read_at) FROM table_state), 0) FROM state"
    ).fetchone()
    if connection.execute(statement, {"revision": revision, "at": at}).rowcount:
        connection.execute(
            "UPDATE state SET revision = ?, last_change_at = max(coalesce(last_change_at, 0), ?)", (revision, at)
        )


def withheld(connection: sqlite3.Connection, table: str, limit: int) -> tuple[int, list[str]]:
    """Return how many images are withheld and this table does not name, and the first of them, sorted."""
    if table not in (tables := effective(connection)):
        return 0, []
    unnamed = "withheld = 1"
    if len(tables) > 1:
        unnamed += (
            " AND NOT EXISTS (SELECT 1 FROM table_row n INDEXED BY table_row_image"
            " WHERE n.seen_image = directory || entry.name AND n.table_name = :table)"
        )
    values = {"table": table, "limit": limit}
    source = f"FROM entry INDEXED BY entry_withheld WHERE {unnamed}"
    (count,) = connection.execute(f"SELECT count(*) {source}", values).fetchone()
    listed = f"SELECT directory || name {source} ORDER BY directory || name LIMIT :limit"
    return count, [image for (image,) in connection.execute(listed, values)]
