"""The versions of each table: the objects they are published as, and what these hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.journal import closure, exclusion, observations, problems, table_rows
from syncd.journal.rows import to_seconds, to_time
from syncd.model import (
    IMAGES,
    TABLES,
    Fingerprint,
    KnownObject,
    KnownTable,
    Observation,
    Signature,
    TableObject,
    source_of,
    split_key,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from syncd.model import TableVersion

_OBJECT = """
INSERT INTO table_object VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    table_name = excluded.table_name, row_count = excluded.row_count, hidden_count = excluded.hidden_count,
    rows_digest = excluded.rows_digest
"""

_STATE = """
INSERT INTO table_state VALUES (:name, :rows, :columns, :schema, :read_at, 0, 0, 0, 0)
ON CONFLICT DO UPDATE SET
    row_count = :rows, column_count = :columns, schema_text = :schema, read_at = :read_at
"""

_SEEN = """
SELECT e.directory || e.name, seen_sha256, seen_md5, size_bytes, mtime_ns, ctime_ns, inode,
       coalesce(o.row_count, 0), coalesce(o.hidden_count, 0), coalesce(o.rows_digest, x''), staged_sha256 IS seen_sha256
FROM entry e LEFT JOIN table_object o ON o.directory = e.directory AND o.name = e.name AND o.sha256 = e.seen_sha256
WHERE e.directory = ? AND e.name = ? AND e.seen_sha256 IS NOT NULL
"""

_STAGED_ROWS = """
SELECT o.table_name, sum(o.row_count - o.hidden_count)
FROM table_object o JOIN entry e ON e.directory = o.directory AND e.name = o.name AND e.staged_sha256 = o.sha256
GROUP BY o.table_name ORDER BY o.table_name
"""

_PRUNE = """
DELETE FROM table_object WHERE NOT EXISTS (
    SELECT 1 FROM entry WHERE entry.directory = table_object.directory AND entry.name = table_object.name
    AND table_object.sha256 IN (seen_sha256, staged_sha256, committed_sha256)
)
"""

_TABLES = "SELECT name FROM table_state UNION SELECT table_name FROM table_object ORDER BY 1"
# Of the primary key alone, so that a million images are passed over.
_OF_TABLE = "((directory = 'tables/' AND name = :file) OR (directory >= :below AND directory < :behind))"
_UNSTAGED = f"unstaged_since IS NOT NULL AND {_OF_TABLE}"
_ANY_UNSTAGED = f"SELECT 1 FROM entry WHERE {_UNSTAGED} LIMIT 1"  # noqa: S608 - a constant
_ANY_SENT = f"""
SELECT 1 FROM entry WHERE {_OF_TABLE} AND (staged_sha256 IS NOT committed_sha256 OR staged_sha256 IS x'') LIMIT 1
"""  # noqa: S608
_FORGET_UNSENT = f"""
DELETE FROM entry WHERE {_UNSTAGED} AND staged_sha256 IS NULL AND committed_sha256 IS NULL
"""  # noqa: S608
_KEEP_STAGED = f"""
UPDATE entry SET
    seen_sha256 = NULL, seen_md5 = NULL, size_bytes = NULL, mtime_ns = NULL, ctime_ns = NULL, inode = NULL,
    kept = 1, unstaged_since = NULL, waiting_since = NULL, attempts = 0, not_before = 0, changing = 0
WHERE {_UNSTAGED}
"""  # noqa: S608
_KEPT = f"SELECT directory || name FROM entry WHERE kept = 1 AND {_OF_TABLE}"  # noqa: S608


def record(connection: sqlite3.Connection, version: TableVersion, *, changed_parts: Sequence[str] | None) -> None:
    """Write one accepted version of a table: its objects, the absence of all others, and its rows' images.

    Args:
        connection: The writing one.
        version: As a whole.
        changed_parts: The pieces whose rows were laid by (``table_rows.add``), also those that are gone, whose rows
            go. None: no rows are kept of this table.

    Raises:
        ValueError: An object is not one of this table's, or rows came for another piece.
    """
    before = {*_live_keys(connection, version.name), *_kept_keys(connection, version.name)}
    now = {found.key for found in version.objects}
    for key in now:
        if not _belongs(version.name, key) or key == closure.key_of(version.name):
            raise ValueError(f"table {version.name}: {key} is not one of its objects")
    gone = sorted(before - now)
    observations.record(connection, [_observed(version, found) for found in version.objects])
    observations.record(connection, [_absent(version, key) for key in gone])
    read_at = to_seconds(version.observed_at)
    connection.executemany(
        _OBJECT,
        [
            (*split_key(one.key), one.fingerprint.sha256, version.name, one.rows, one.hidden, one.rows_digest, read_at)
            for one in version.objects
        ],
    )
    connection.execute(
        _STATE,
        {
            "name": version.name,
            "rows": version.rows,
            "columns": version.columns,
            "schema": version.schema,
            "read_at": read_at,
        },
    )
    if changed_parts is None:
        closure.drop(connection, version.name)
    else:
        excluded_by_it = version.name in exclusion.effective(connection)
        paired = closure.keep(connection, version.name)
        table_rows.take_in(connection, version.name, [*changed_parts, *gone], paired=paired)
        if not excluded_by_it and version.name in exclusion.effective(connection):
            exclusion.judge_all(connection)


def _observed(version: TableVersion, found: TableObject) -> Observation:
    return Observation(
        key=found.key,
        fingerprint=found.fingerprint,
        signature=found.signature,
        observed_at=version.observed_at,
        reason=version.reason,
    )


def _absent(version: TableVersion, key: str) -> Observation:
    return Observation(
        key=key, fingerprint=None, signature=None, observed_at=version.observed_at, reason=version.reason
    )


def _belongs(name: str, key: str) -> bool:
    return key == f"{TABLES}{name}.csv" or key.startswith(f"{TABLES}{name}/")


def _live_keys(connection: sqlite3.Connection, name: str) -> Iterator[str]:
    """Yield what the source last showed of a table, without what syncd says of it."""
    yield from observations.known(connection, [f"{TABLES}{name}.csv"])
    yield from (key for key in observations.known_below(connection, f"{TABLES}{name}/") if key != closure.key_of(name))


def _kept_keys(connection: sqlite3.Connection, name: str) -> Iterator[str]:
    """Yield what stayed published of a table while it was not configured."""
    for (key,) in connection.execute(_KEPT, _of(name)):
        if key != closure.key_of(name):
            yield key


def _of(name: str) -> dict[str, str]:
    return {"file": f"{name}.csv", "below": f"{TABLES}{name}/", "behind": f"{TABLES}{name}0"}


def known(connection: sqlite3.Connection, name: str) -> KnownTable | None:
    """Return what is known of a table; None where no version of it was accepted."""
    state = connection.execute(
        "SELECT row_count, column_count, schema_text, read_at, keeps_rows FROM table_state WHERE name = ?", (name,)
    ).fetchone()
    if state is None:
        return None
    rows, columns, schema, read_at, keeps_rows = state
    return KnownTable(
        name=name,
        objects=tuple(_known_object(connection, key) for key in sorted(_live_keys(connection, name))),
        rows=rows,
        columns=columns,
        schema=schema,
        keeps_rows=bool(keeps_rows),
        read_at=to_time(read_at),
    )


def _known_object(connection: sqlite3.Connection, key: str) -> KnownObject:
    found, sha256, md5, size_bytes, mtime_ns, ctime_ns, inode, rows, hidden, rows_digest, staged = connection.execute(
        _SEEN, split_key(key)
    ).fetchone()
    return KnownObject(
        TableObject(
            key=found,
            fingerprint=Fingerprint(sha256, md5, size_bytes),
            signature=Signature(size_bytes, mtime_ns, ctime_ns, inode),
            rows=rows,
            hidden=hidden,
            rows_digest=rows_digest,
        ),
        staged=bool(staged),
    )


def staged_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows the staged objects of each table hold."""
    return dict(connection.execute(_STAGED_ROWS).fetchall())


def schemas(connection: sqlite3.Connection) -> dict[str, str]:
    """Return by table its columns as accepted last, JSON; "" for a CSV file as it is."""
    return dict(connection.execute("SELECT name, schema_text FROM table_state ORDER BY name").fetchall())


def prune(connection: sqlite3.Connection) -> None:
    """Forget what objects hold that are neither seen nor staged nor committed."""
    connection.execute(_PRUNE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePicture:
    """One table, for people."""

    name: str
    rows: int  # as last accepted
    read_at: datetime  # when it was accepted
    missing: int | None  # rows whose image the newest snapshot does not hold; None: not compared
    orphaned: int | None  # images of the newest snapshot that no row names


def pictures(connection: sqlite3.Connection) -> list[TablePicture]:
    """Return what is known of each table, sorted by name."""
    return [
        TablePicture(
            name=name,
            rows=rows,
            read_at=to_time(read_at),
            missing=missing if paired else None,
            orphaned=orphaned if paired else None,
        )
        for name, rows, read_at, paired, missing, orphaned in connection.execute(
            "SELECT name, row_count, read_at, paired, missing, orphaned FROM table_state ORDER BY name"
        )
    ]


def forget(connection: sqlite3.Connection, keep: Collection[str]) -> list[str]:
    """Forget the tables that are not configured any more; what is published of them stays on the branch.

    A version of which something was sent gets there first, or a snapshot might hold half of it: a later start forgets
    the table. One of which nothing was sent, for certain, comes to nothing.

    Returns:
        Those tables of which something is still to be sent, sorted.
    """
    unfinished = []
    for (name,) in connection.execute(_TABLES).fetchall():
        if name in keep:
            continue
        closure.drop(connection, name)
        if connection.execute(_ANY_SENT, _of(name)).fetchone() is None:
            connection.execute(_FORGET_UNSENT, _of(name))
            connection.execute(_KEEP_STAGED, _of(name))
        if connection.execute(_ANY_UNSTAGED, _of(name)).fetchone() is None:
            connection.execute("DELETE FROM table_state WHERE name = ?", (name,))
        else:
            unfinished.append(name)
    problems.keep_only(connection, [source_of(IMAGES), *keep])
    return unfinished
