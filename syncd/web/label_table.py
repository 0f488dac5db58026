"""What one table says of the images that differ, and how often each value of a column comes.

Memory: a part of the table at a time, or some thousands of rows of a text file; and then what is kept, bounded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from syncd.snapshots.tables import table_batches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.table_objects import StoredTable, TableInfo
    from syncd.store.base import ObjectReader, VersionStore

    Differing = Callable[[Sequence[str]], Awaitable[set[str]]]  # returns those of some keys that differ

MOST_ROWS = 1_000_000  # of a table that is read for this
MOST_BYTES = 256 << 20  # of its objects, which are all fetched
MOST_PART_BYTES = 16 << 20  # as it is stored: in memory it has some times as many
MOST_TEXT_ROW_BYTES = 2 << 10  # on average: ten thousand rows are in memory
MOST_KEPT = 100_000  # rows of images that differ
MOST_KEPT_BYTES = 16 << 20  # of those rows
MOST_DIFFERENT = 1_000  # values of a column by which changes can be grouped
EMPTY = "(empty)"
_MOST_TEXT = 80
_AT_A_TIME = 5_000  # rows whose images are looked up


class NotReadError(Exception):
    """The table is too large for this; the text says why."""


class LabelTable:
    """What is kept of a table; it takes in the rows piece by piece. Blocks, briefly.

    Args:
        info: Of the table; it has an image column.
    """

    def __init__(self, info: TableInfo) -> None:
        self.info = info
        self.counts: dict[str, Counter[str]] = {}  # of the values in all rows, by column; of columns with few of them
        self.columns: set[str] = set()  # all there are
        self.why_no_rows = ""  # the rows of images that differ are not kept; "": they are
        self.size_rows = 0  # of the table
        self._values: dict[str, set[int]] = {}  # hashes of those that are counted, by column
        self._rows: list[pa.RecordBatch] = []  # those of images that differ
        self._positions: dict[str, tuple[int, int]] = {}  # where in them the first row of an image is, by its key

    def row(self, key: str) -> Mapping[str, Any] | None:
        """Return what it says of an image that differs."""
        position = self._positions.get(key)
        return None if position is None else dict(self._rows[position[0]].slice(position[1], 1).to_pylist()[0])

    def values(self, column: str) -> Iterator[tuple[str, Any]]:
        """Yield each image that differs, and what a column says of it."""
        values = [rows.column(column).to_pylist() for rows in self._rows]
        for key, (at, position) in self._positions.items():
            yield key, values[at][position]

    def forget_rows(self, why: str) -> None:
        """Keep no rows, from now on; what was counted stays."""
        self.why_no_rows = why
        self._rows, self._positions = [], {}

    def images(self, rows: pa.RecordBatch) -> list[str | None]:
        """Return the keys of the images that some rows name; None for a row that names none, or one known already."""
        column = self.info.images
        if column is None:
            raise AssertionError("it has an image column")
        named = rows.column(column.name).to_pylist()
        keys = [column.key_of(value) if isinstance(value, str) else None for value in named]
        return [None if key in self._positions else key for key in keys]

    def keep(self, rows: pa.RecordBatch, positions: Mapping[str, int]) -> None:
        """Keep some rows.

        Args:
            rows: Those that are read.
            positions: Where in them the images that differ are named, by their keys.
        """
        if not positions or self.why_no_rows:
            return
        self._rows.append(rows.take(list(positions.values())))
        self._positions |= {key: (len(self._rows) - 1, number) for number, key in enumerate(positions)}
        if len(self._positions) > MOST_KEPT:
            self.forget_rows(f"more than {MOST_KEPT:,} of its rows are of images that differ")
        elif sum(one.nbytes for one in self._rows) > MOST_KEPT_BYTES:
            self.forget_rows(f"its rows of images that differ have more than {MOST_KEPT_BYTES >> 20} MiB")

    def count(self, rows: pa.RecordBatch) -> None:
        """Count the values of all columns that have few."""
        self.size_rows += len(rows)
        for name in rows.schema.names:
            if name not in self.columns:
                self.columns.add(name)
                self.counts[name], self._values[name] = Counter(), set()
            if name in self.counts and not self._counted(rows, name):
                del self.counts[name], self._values[name]

    def _counted(self, rows: pa.RecordBatch, column: str) -> bool:
        """Count the values of a column; return whether they are few."""
        try:
            values: Any = rows.column(column)
            counted = values.value_counts()  # an array of values and counts
        except (KeyError, NotImplementedError, ValueError):  # two of that name, or lists and the like
            return False
        if len(counted) > MOST_DIFFERENT:
            return False
        for pair in counted.to_pylist():
            self._values[column].add(hash(str(pair["values"])))
            self.counts[column][text_of(pair["values"])] += pair["counts"]
        return len(self._values[column]) <= MOST_DIFFERENT


async def read_label_table(
    found: Pinned,
    stored: StoredTable,
    differing: Differing,
    *,
    versions: VersionStore,
    objects: ObjectReader,
    prefix: str,
) -> LabelTable:
    """Read one table of a snapshot, which has an image column.

    Args:
        found: The commit.
        stored: The table, with what is known of its columns.
        differing: Tells which images differ.
        versions: The repository.
        objects: Of that commit.
        prefix: In front of every key of syncd's.

    Raises:
        NotReadError: It is too large.
        KeyError: It has no column of the name that its images should be in.
        SyncdError: As :func:`syncd.snapshots.tables.read_table`.
    """
    _require_small(stored)
    table = LabelTable(stored.info)
    read = table_batches(found, stored.info.name, versions=versions, objects=objects, prefix=prefix)
    async with aclosing(read) as batches:
        async for rows in batches:
            if table.size_rows + len(rows) > MOST_ROWS:
                raise _too_many_rows()
            if not table.why_no_rows:
                positions = await _positions(table, rows, differing)
                await asyncio.to_thread(table.keep, rows, positions)
            await asyncio.to_thread(table.count, rows)
    return table


def text_of(value: Any) -> str:
    """Return a value as it is shown, in few words; never "".

    A value that is the very word for NULL or for the empty text is shown, counted and asked for together with those.
    """
    text = "NULL" if value is None else str(value) or EMPTY
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _require_small(stored: StoredTable) -> None:
    """Raise where it is known before it is fetched that a table is too large."""
    rows, sizes = stored.info.rows, [one.size_bytes for one in stored.parts]
    if rows is not None and rows > MOST_ROWS:
        raise _too_many_rows()
    if sum(sizes) > MOST_BYTES:
        raise NotReadError(f"it has more than {MOST_BYTES >> 20} MiB")
    if max(sizes, default=0) <= MOST_PART_BYTES:
        return
    if stored.info.form == "parquet":
        raise NotReadError(f"a part of it has more than {MOST_PART_BYTES >> 20} MiB")
    if rows is None:
        raise NotReadError(
            f"it has more than {MOST_PART_BYTES >> 20} MiB, and its commit does not say in how many rows"
        )
    if sum(sizes) > MOST_TEXT_ROW_BYTES * rows:
        raise NotReadError(f"its rows have more than {MOST_TEXT_ROW_BYTES >> 10} KiB on average")


def _too_many_rows() -> NotReadError:
    return NotReadError(f"it has more than {MOST_ROWS:,} rows")


async def _positions(table: LabelTable, rows: pa.RecordBatch, differing: Differing) -> dict[str, int]:
    """Return where images that differ are named for the first time, by key."""
    found = dict[str, int]()
    for start in range(0, len(rows), _AT_A_TIME):
        keys = await asyncio.to_thread(table.images, rows.slice(start, _AT_A_TIME))
        of_those = await differing([key for key in keys if key is not None])
        for position, key in enumerate(keys, start):
            if key in of_those:
                found.setdefault(key, position)
    return found
