"""Which image each row of a table names: taken in piece by piece, so that memory stays bounded at any size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncd.errors import RepeatedRowError
from syncd.journal import exclusion

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from syncd.model import RowImage

_UNNAMED = """
SELECT part FROM incoming_row WHERE table_name = :name AND part NOT IN (SELECT value FROM json_each(:parts)) LIMIT 1
"""

# A row of these pieces that did not come again is gone; one that came in another piece has moved.
GONE = """
row_key IN (
    SELECT r.row_key FROM table_row r INDEXED BY table_row_part
    WHERE r.table_name = :name AND r.seen = 1 AND r.part IN (SELECT value FROM json_each(:parts))
    AND NOT EXISTS (SELECT 1 FROM incoming_row i WHERE i.table_name = :name AND i.row_key = r.row_key)
)
"""
_FORGET_GONE = f"DELETE FROM table_row WHERE table_name = :name AND kept = 0 AND {GONE}"  # noqa: S608 - a constant
_MARK_GONE = f"UPDATE table_row SET seen = 0, seen_image = NULL WHERE table_name = :name AND {GONE}"  # noqa: S608

# Before rows and images were first compared there is nothing to tell changes from: rows come in as they will be kept.
_TAKE_IN = """
INSERT INTO table_row (table_name, row_key, part, seen, seen_image, kept, kept_image, shown, kept_shown)
SELECT table_name, row_key, part, 1, image, NOT :paired, iif(:paired, NULL, image), shown, iif(:paired, 1, shown)
FROM incoming_row WHERE table_name = :name ORDER BY row_key
ON CONFLICT (table_name, row_key) DO UPDATE SET
    part = excluded.part, seen = 1, seen_image = excluded.seen_image, shown = excluded.shown
WHERE part <> excluded.part OR seen = 0 OR seen_image IS NOT excluded.seen_image OR shown <> excluded.shown
"""

_NUL = "\N{REPLACEMENT CHARACTER}"  # stands in its place

_EMPTY_BATCH = """
INSERT INTO batch (begun_at, puts, deletes, ended_at) SELECT read_at, 0, 0, read_at FROM table_state WHERE name = ?
"""


def begin(connection: sqlite3.Connection, name: str) -> None:
    """Forget the rows of a version that was never finished."""
    connection.execute("DELETE FROM incoming_row WHERE table_name = ?", (name,))


def add(connection: sqlite3.Connection, name: str, rows: Sequence[RowImage]) -> None:
    """Lay rows by for the version being read.

    An image with a NUL in its name is stored with another character in its place: no file is called so, and SQLite's
    functions read a text up to its first NUL only.

    Raises:
        RepeatedRowError: A row key comes twice; none of these is laid by.
    """
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO incoming_row VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(name, row.row_key, row.part, row.image and row.image.replace("\0", _NUL), row.shown) for row in rows],
    )
    if connection.total_changes - before != len(rows):
        raise RepeatedRowError(f"table {name}: a row key came twice in one version")


def take_in(connection: sqlite3.Connection, name: str, parts: Sequence[str], *, paired: bool) -> None:
    """Put the rows laid by in the place of those that these pieces held.

    Args:
        connection: The writing one.
        name: Of the table.
        parts: All pieces that changed, also those that are gone. Cost follows their rows.
        paired: Whether rows and images were compared before; see ``closure``.

    Raises:
        ValueError: A row was laid by for another piece.
    """
    values = {"name": name, "parts": json.dumps(list(parts)), "paired": paired}
    stray = connection.execute(_UNNAMED, values).fetchone()
    if stray is not None:
        raise ValueError(f"table {name}: rows of {stray[0]} came, which is not among the pieces that changed")
    judging = exclusion.judging(connection, name, values, gone=GONE)
    changed = sum(connection.execute(statement, values).rowcount for statement in (_FORGET_GONE, _MARK_GONE, _TAKE_IN))
    if changed:
        outdate(connection, name)
    judging()
    begin(connection, name)


def outdate(connection: sqlite3.Connection, name: str) -> None:
    """Let no comparison made before hold any more: the rows of a table are known, or are others.

    A comparison holds until the next batch, and this counts as an empty one. Rows may change though nothing is sent:
    where another column names the images, or where a version comes and goes before it was staged.
    """
    connection.execute(_EMPTY_BATCH, (name,))


def drop(connection: sqlite3.Connection, name: str) -> None:
    """Forget all rows of a table."""
    begin(connection, name)
    connection.execute("DELETE FROM table_row WHERE table_name = ?", (name,))
