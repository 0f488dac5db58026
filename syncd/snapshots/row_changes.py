"""Which rows of a table differ between two versions of it, by their keys; in whatever pieces and order they come.

Blocks; for threads. Rows that are equal in the two pieces of one call cost nothing more, so that the work on the disk
follows what changed, or moved from piece to piece. Memory: the two pieces.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from syncd.errors import SyncdError
from syncd.sources.tables.base import Kind
from syncd.sources.tables.part_names import key_bytes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from syncd.sources.tables.base import Row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS row_change (
    table_name TEXT NOT NULL, key BLOB NOT NULL, old BLOB, new BLOB, PRIMARY KEY (table_name, key)
) WITHOUT ROWID
"""
_LAY_BY = """
INSERT INTO row_change VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    old = coalesce(excluded.old, old), new = coalesce(excluded.new, new)
"""
_IN_BOTH = """
SELECT key, old, new FROM row_change
WHERE table_name = ? AND key > ? AND old IS NOT NULL AND new IS NOT NULL ORDER BY key LIMIT ?
"""
_COUNT = """
SELECT coalesce(sum(old IS NULL), 0), coalesce(sum(old IS NOT NULL AND new IS NOT NULL), 0),
       coalesce(sum(new IS NULL), 0)
FROM row_change WHERE table_name = ?
"""
_ROWS_AT_A_TIME = 5_000
_KINDS = {int: Kind.INTEGER, str: Kind.TEXT, bytes: Kind.BYTES, Decimal: Kind.DECIMAL, date: Kind.DATE}


class DuplicateKeyError(SyncdError):
    """Two rows have the same key, so that none is known by it."""


class Counts(NamedTuple):
    """How many rows differ."""

    added: int
    changed: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row that differs."""

    kind: Literal["added", "changed", "deleted"]
    key: Any
    old: dict[str, Any]  # by column: all of a row that was deleted, of one that changed what did; {} of one added
    new: dict[str, Any]  # the same, the other way round


class RowChanges:
    """The rows of one table that differ, as they are found.

    Args:
        scratch: A database of its own; several tables may share it.
        table: The table's name.
        columns: What a row holds, in both versions.
        key_position: Where in a row its key stands.
    """

    def __init__(self, scratch: sqlite3.Connection, table: str, columns: Sequence[str], key_position: int) -> None:
        self.columns = columns
        self._scratch, self._table, self._key_position = scratch, table, key_position
        scratch.execute(_SCHEMA)

    def feed(self, old: Sequence[Row], new: Sequence[Row]) -> None:
        """Take in a piece of each version: those that may hold the same rows together, where that can be known.

        Raises:
            DuplicateKeyError: A key comes twice in a piece.
        """
        before, after = self._by_key(old), self._by_key(new)
        self._lay_by(
            (key, before.get(key), row) for key, row in after.items() if key not in before or before[key] != row
        )
        self._lay_by((key, row, None) for key, row in before.items() if key not in after)

    def finish(self) -> Counts:
        """Return how many rows differ, once all pieces were taken in: rows that only moved do not."""
        last: bytes | int = -1  # sorts before all bytes
        while found := self._scratch.execute(_IN_BOTH, (self._table, last, _ROWS_AT_A_TIME)).fetchall():
            last = found[-1][0]
            alike = [(self._table, key) for key, old, new in found if not self._differing(_row(old), _row(new))]
            self._scratch.executemany("DELETE FROM row_change WHERE table_name = ? AND key = ?", alike)
        return Counts(*self._scratch.execute(_COUNT, (self._table,)).fetchone())

    def all(self) -> Iterator[RowChange]:
        """Yield the rows that differ, in the order of their keys; after :meth:`finish`."""
        query = "SELECT old, new FROM row_change WHERE table_name = ? ORDER BY key"
        for old_bytes, new_bytes in self._scratch.execute(query, (self._table,)):
            yield self._change(old_bytes and _row(old_bytes), new_bytes and _row(new_bytes))

    def page(self, after: bytes, limit: int) -> list[tuple[bytes, RowChange]]:
        """Return some of them, each with its place in the order; from after a place on (b"": from the first)."""
        query = "SELECT key, old, new FROM row_change WHERE table_name = ? AND key > ? ORDER BY key LIMIT ?"
        found = self._scratch.execute(query, (self._table, after or -1, limit)).fetchall()
        return [(key, self._change(old and _row(old), new and _row(new))) for key, old, new in found]

    def _change(self, old: Row | None, new: Row | None) -> RowChange:
        key = (old or new or ())[self._key_position]
        if old is None or new is None:
            kind: Literal["added", "deleted"] = "added" if old is None else "deleted"
            return RowChange(kind=kind, key=key, old=self._named(old), new=self._named(new))
        positions = self._differing(old, new)
        return RowChange(
            kind="changed",
            key=key,
            old={self.columns[at]: old[at] for at in positions},
            new={self.columns[at]: new[at] for at in positions},
        )

    def _named(self, row: Row | None) -> dict[str, Any]:
        return {} if row is None else dict(zip(self.columns, row, strict=True))

    def _by_key(self, rows: Sequence[Row]) -> dict[bytes, Row]:
        found = {_encoded(row[self._key_position]): row for row in rows}
        if len(found) != len(rows):
            raise DuplicateKeyError(f"rows of the table {self._table} have the same key")
        return found

    def _lay_by(self, rows: Iterable[tuple[bytes, Row | None, Row | None]]) -> None:
        self._scratch.executemany(
            _LAY_BY,
            ((self._table, key, _stored(old), _stored(new)) for key, old, new in rows),
        )

    @staticmethod
    def _differing(old: Row, new: Row) -> list[int]:
        return [at for at, (before, after) in enumerate(zip(old, new, strict=True)) if not _same(before, after)]


def _same(old: Any, new: Any) -> bool:
    """Return whether two values of a column are one: a float that is no number is the same as another one."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new or (old != old and new != new))  # noqa: PLR0124 - what NaN is known by


def _stored(row: Row | None) -> bytes | None:
    return None if row is None else pickle.dumps(row)


def _row(stored: bytes) -> Row:
    row: Row = pickle.loads(stored)  # noqa: S301 - written by this very process
    return row


def _encoded(key: Any) -> bytes:
    """Return a key as bytes that sort as keys do."""
    if isinstance(key, datetime):
        return key_bytes(Kind.TIMESTAMP if key.tzinfo is None else Kind.TIMESTAMP_TZ)(key)
    return key_bytes(_KINDS.get(type(key), Kind.TEXT))(key)
