"""Do rows and images fit together? What a commit made now would hold, compared in time that follows the change.

Rows count as last read, images as staged: the two are the same as what a commit holds once all of a table is staged.
What did not fit when they were last compared is in ``missing`` and ``orphaned``, and only what has changed since is
looked at again; see ``closure_sql``. A table whose rows and images were never compared, or whose branch was given up,
is compared as a whole until the next snapshot. So is one under ``exclude`` that shows other rows than it is to show: of
these, too, only what changed is looked at afterwards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.journal import closure_sql as sql
from syncd.journal import exclusion, table_rows
from syncd.model import CLOSURE_LIST, TABLES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

MOST_LISTED = 10_000  # rows, and images, in what is published of them


@dataclass(frozen=True, slots=True)
class Pairing:
    """How many rows and images of one table do not fit together."""

    missing: int  # rows that name no image, or one that is not there
    orphaned: int  # images that no row names

    def __bool__(self) -> bool:
        """Return whether anything does not fit."""
        return bool(self.missing or self.orphaned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What does not fit, one by one as far as it was asked for."""

    pairing: Pairing
    rows: tuple[tuple[str, str | None], ...]  # (row key, image it names), sorted by key
    images: tuple[str, ...]  # sorted


def key_of(table: str) -> str:
    """Return the key of the object that says what of a table does not fit."""
    return f"{TABLES}{table}/{CLOSURE_LIST}"


def check(connection: sqlite3.Connection, tables: Sequence[str]) -> dict[str, Pairing]:
    """Count what would not fit in a commit made now; no image's staged content may be unknown.

    Args:
        connection: Any.
        tables: Names. A table whose rows are not kept, because none was read yet, is left out of the answer.
    """
    return {
        name: Pairing(*connection.execute(sql.COUNT if paired else sql.COUNT_ALL, {"name": name}).fetchone())
        for name, paired in _kept(connection)
        if name in tables
    }


def listed(connection: sqlite3.Connection, table: str, limit: int) -> Listed:
    """Return what would not fit in a commit made now, at most ``limit`` rows and ``limit`` images, and how many do not.

    Nothing for a table whose rows are not kept.
    """
    paired = dict(_kept(connection)).get(table)
    if paired is None:
        return Listed(pairing=Pairing(0, 0), rows=(), images=())
    values = {"name": table, "limit": limit}
    rows = connection.execute(sql.LIST_MISSING if paired else sql.LIST_ALL_MISSING, values)
    images = connection.execute(sql.LIST_ORPHANED if paired else sql.LIST_ALL_ORPHANED, values)
    return Listed(
        pairing=check(connection, [table])[table],
        rows=tuple((key, image) for key, image in rows),
        images=tuple(image for (image,) in images),
    )


def misshown(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the pieces of a table that show a row whose image is not there, or leave out one whose image is.

    As a commit made now would hold rows and images. For tables under ``exclude``; empty where no rows are kept.
    """
    paired = dict(_kept(connection)).get(table)
    if paired is None:
        return set()
    statement = sql.MISSHOWN if paired else sql.ALL_MISSHOWN.format(held="staged_sha256")
    return {part for (part,) in connection.execute(statement, {"name": table})}


def excluded(connection: sqlite3.Connection, table: str, limit: int) -> Listed:
    """Return what is left out of a table under ``exclude``: rows without image, and images that are withheld."""
    found = listed(connection, table, limit)
    count, images = exclusion.withheld(connection, table, limit)
    return Listed(pairing=Pairing(found.pairing.missing, count), rows=found.rows, images=tuple(images))


def closure_json(table: str, found: Listed) -> bytes:
    """Return what is published of a comparison: the same bytes whenever the same rows and images do not fit."""
    rows, images = found.rows[:MOST_LISTED], found.images[:MOST_LISTED]
    told = {
        "table": table,
        "missing": {
            "count": found.pairing.missing,
            "rows": [{"key": key, "image": image} for key, image in rows],
            "more": found.pairing.missing > len(rows),
        },
        "orphaned": {
            "count": found.pairing.orphaned,
            "images": list(images),
            "more": found.pairing.orphaned > len(images),
        },
    }
    return (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()


def take_over(connection: sqlite3.Connection) -> None:
    """What is staged is being committed: compare, and count from here on. Before the entries take it over."""
    excluding = exclusion.effective(connection)
    for name, paired in _kept(connection):
        if name in excluding and misshown(connection, name):
            _unpair(connection, name)
        elif paired:
            _pair_changes(connection, name)
        else:
            _pair(connection, name, held="staged_sha256")


def pair_all(connection: sqlite3.Connection, table: str) -> None:
    """Compare all rows and all committed images of a table; its cost follows their number."""
    if table in dict(_kept(connection)):
        _unpair(connection, table)
        misshown_then = connection.execute(sql.ALL_MISSHOWN.format(held="committed_sha256"), {"name": table})
        if table not in exclusion.effective(connection) or misshown_then.fetchone() is None:
            _pair(connection, table, held="committed_sha256")


def pair_every_table(connection: sqlite3.Connection) -> None:
    """Do so for all tables."""
    for name, _ in _kept(connection):
        pair_all(connection, name)


def unpair(connection: sqlite3.Connection) -> None:
    """What is committed changed by other ways than a snapshot: nothing that was compared holds any more."""
    for name, paired in _kept(connection):
        if paired:
            _unpair(connection, name)


def configure(connection: sqlite3.Connection, excluding: Collection[str]) -> None:
    """Note which tables are under ``exclude`` by the configuration; those that are so newly are compared as a whole."""
    before = exclusion.configured(connection)
    for name, paired in _kept(connection):
        if paired and name in excluding and name not in before:
            _unpair(connection, name)
    exclusion.configure(connection, excluding)


def keep(connection: sqlite3.Connection, table: str) -> bool:
    """Keep the rows of a table from now on; return whether they were compared with the images before."""
    turned_on = "UPDATE table_state SET keeps_rows = 1 WHERE name = ? AND keeps_rows = 0"
    if connection.execute(turned_on, (table,)).rowcount:
        table_rows.outdate(connection, table)
    return dict(_kept(connection))[table]


def drop(connection: sqlite3.Connection, table: str) -> None:
    """Keep the rows of a table no more, and forget what there is of them."""
    excludes = table in exclusion.effective(connection)
    _unpair(connection, table)
    table_rows.drop(connection, table)
    connection.execute("UPDATE table_state SET keeps_rows = 0 WHERE name = ? AND keeps_rows = 1", (table,))
    if excludes:
        exclusion.judge_all(connection)


def forget(connection: sqlite3.Connection, keep_tables: Collection[str]) -> None:
    """Forget the rows of all tables but these: closure is off for them, or they are not configured any more."""
    for name, _ in _kept(connection):
        if name not in keep_tables:
            drop(connection, name)


def _kept(connection: sqlite3.Connection) -> list[tuple[str, bool]]:
    """Return the tables whose rows are kept, and whether what was compared of them holds."""
    found = connection.execute("SELECT name, paired FROM table_state WHERE keeps_rows = 1 ORDER BY name")
    return [(name, bool(paired)) for name, paired in found]


def _pair_changes(connection: sqlite3.Connection, table: str) -> None:
    values = {"name": table}
    fewer_missing, more_missing, fewer_orphaned, more_orphaned = (
        connection.execute(statement, values).rowcount
        for statement in (sql.FORGET_MISSING, sql.ADD_MISSING, sql.FORGET_ORPHANED, sql.ADD_ORPHANED)
    )
    _count(connection, table, more_missing - fewer_missing, more_orphaned - fewer_orphaned)


def _pair(connection: sqlite3.Connection, table: str, *, held: str) -> None:
    missing, orphaned = (
        connection.execute(statement.format(held=held), {"name": table}).rowcount
        for statement in (sql.ADD_ALL_MISSING, sql.ADD_ALL_ORPHANED)
    )
    _count(connection, table, missing, orphaned)


def _count(connection: sqlite3.Connection, table: str, missing: int, orphaned: int) -> None:
    values = {"name": table, "missing": missing, "orphaned": orphaned}
    connection.execute(sql.COUNT_BY, values)
    connection.execute(sql.KEEP_ROWS, {"name": table})
    connection.execute(sql.FORGET_ROWS, {"name": table})


def _unpair(connection: sqlite3.Connection, table: str) -> None:
    connection.execute("DELETE FROM missing WHERE table_name = ?", (table,))
    connection.execute("DELETE FROM orphaned WHERE table_name = ?", (table,))
    connection.execute(
        "UPDATE table_state SET paired = 0, missing = 0, orphaned = 0 WHERE name = ? AND paired = 1", (table,)
    )
