"""What the tables of two snapshots say of the images that differ, and how often each value of a column comes.

Memory: one table at a time while it is read, and then the rows of images that differ, bounded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncd.errors import PermanentStoreError
from syncd.snapshots.arrow import MissingExtraError
from syncd.snapshots.tables import BrokenTableError, read_table, tables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.tables import TableInfo
    from syncd.store.base import ObjectReader, VersionStore

    Differing = Callable[[Sequence[str]], Awaitable[set[str]]]  # returns those of some keys that differ

MOST_ROWS = 1_000_000  # of a table that is read for this
MOST_KEPT = 100_000  # rows of images that differ
MOST_DIFFERENT = 1_000  # values of a column by which changes can be grouped
MOST_VALUES = 40  # of a column that is drawn
_MOST_TEXT = 80
_AT_A_TIME = 5_000  # rows whose images are looked up


@dataclass(frozen=True, slots=True)
class OfImage:
    """What one table says of an image before and after; None: nothing."""

    table: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


@dataclass(slots=True)
class _Read:
    """What is kept of one table."""

    key: str | None
    rows: pa.Table  # of images that differ
    position: Mapping[str, int]  # of the first row of an image, by its key
    counts: Mapping[str, Counter[str]]  # of the values in all rows, by column; of columns with few of them
    columns: frozenset[str]  # all there are

    def row(self, key: str) -> Mapping[str, Any] | None:
        """Return what it says of an image that differs."""
        position = self.position.get(key)
        return None if position is None else dict(self.rows.slice(position, 1).to_pylist()[0])


@dataclass(slots=True)
class _SideOfTables:
    """The tables of one snapshot that name images, once they are read."""

    found: Pinned
    objects: ObjectReader
    read: dict[str, _Read] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)  # by table


class Labels:
    """What tables say; see :func:`read_labels`. Reading it blocks, briefly.

    Args:
        left: The tables of one snapshot.
        right: Of the other.
    """

    def __init__(self, left: _SideOfTables, right: _SideOfTables) -> None:
        self._sides = left, right

    def of(self, paths: Sequence[tuple[str, str]]) -> list[list[OfImage]]:
        """Return what tables say of images that differ.

        Args:
            paths: The key of each before and after; the same but for those renamed.
        """
        names = sorted({*self._sides[0].read, *self._sides[1].read})
        return [self._of(names, *both) for both in paths]

    def columns(self) -> list[tuple[str, str]]:
        """Return the columns by which images can be grouped: table and column."""
        everyone = [(name, one) for side in self._sides for name, one in side.read.items()]
        few = {(name, column) for name, one in everyone for column in one.counts}
        many = {(name, column) for name, one in everyone for column in one.columns - one.counts.keys()}
        return sorted(few - many - {(name, one.key) for name, one in everyone if one.key is not None})

    def why_not(self) -> dict[str, str]:
        """Return by table why rows of it are not shown."""
        return {**self._sides[0].why_not, **self._sides[1].why_not}

    def counts(self, table: str, column: str) -> list[tuple[str, int, int]]:
        """Return the values of a column that come most often, with how many rows have each before and after."""
        before, after = (
            one.counts.get(column, Counter()) if (one := side.read.get(table)) is not None else Counter[str]()
            for side in self._sides
        )
        return [(value, before[value], after[value]) for value, _ in (before + after).most_common(MOST_VALUES)]

    def values(self, table: str, column: str) -> dict[str, str]:
        """Return what a column says of each image that differs: the newer of both, by key."""
        said: dict[str, str] = {}
        for side in self._sides:
            one = side.read.get(table)
            if one is not None and column in one.columns:
                values = one.rows.column(column).to_pylist()
                said |= {key: text_of(values[position]) for key, position in one.position.items()}
        return said

    def _of(self, names: Sequence[str], old_key: str, new_key: str) -> list[OfImage]:
        told = []
        for name in names:
            old, new = (
                one.row(key) if (one := side.read.get(name)) is not None else None
                for side, key in zip(self._sides, (old_key, new_key), strict=True)
            )
            if old is not None or new is not None:
                told.append(OfImage(name, old, new))
        return told


async def read_labels(
    versions: VersionStore,
    prefix: str,
    *sides: tuple[Pinned, ObjectReader],
    differing: Differing,
    turn: asyncio.Lock | None = None,
) -> Labels:
    """Read the tables of two snapshots, one after the other.

    Args:
        versions: The repository.
        prefix: In front of every key of syncd's.
        sides: One of them, and its objects; and the other.
        differing: Tells which images differ.
        turn: Held while a table is in memory; shared by those who read others.

    Raises:
        StoreError: lakeFS does not answer or refuses; what is wrong with a single table is found, not raised.
    """
    left, right = (_SideOfTables(*side) for side in sides)
    async with turn or asyncio.Lock():
        for side in (left, right):
            for info in await tables(side.found, versions, prefix, objects=side.objects):
                if info.image_column is not None:
                    await _read_one(side, info, versions, prefix, differing)
    return Labels(left, right)


async def _read_one(
    side: _SideOfTables, info: TableInfo, versions: VersionStore, prefix: str, differing: Differing
) -> None:
    if info.rows is not None and info.rows > MOST_ROWS:
        side.why_not[info.name] = f"it has more than {MOST_ROWS:,} rows"
        return
    try:
        table = await read_table(side.found, info.name, versions=versions, objects=side.objects, prefix=prefix)
        positions = await _positions(info, table, differing)
    except (BrokenTableError, MissingExtraError, PermanentStoreError, KeyError) as error:
        side.why_not[info.name] = str(error)
        return
    if len(positions) > MOST_KEPT:
        side.why_not[info.name] = f"more than {MOST_KEPT:,} of its rows are of images that differ"
    side.read[info.name] = await asyncio.to_thread(_kept, info, table, positions)


async def _positions(info: TableInfo, table: pa.Table, differing: Differing) -> dict[str, int]:
    """Return where the images that differ are named first, by key; a few more than ``MOST_KEPT`` at the most."""
    images, found = table.column(info.image_column or ""), dict[str, int]()
    for start in range(0, len(images), _AT_A_TIME):
        keys = await asyncio.to_thread(_keys, info, images.slice(start, _AT_A_TIME))
        of_those = await differing([key for key in keys if key is not None])
        for position, key in enumerate(keys, start):
            if key in of_those:
                found.setdefault(key, position)
        if len(found) > MOST_KEPT:
            break
    return found


def text_of(value: Any) -> str:
    """Return a value as it is shown, in few words."""
    text = "NULL" if value is None else str(value)
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _keys(info: TableInfo, images: pa.ChunkedArray[Any]) -> list[str | None]:
    """Return the keys of the images that some rows name; None for a row that names none."""
    column = info.images
    return [column.key_of(value) if column and isinstance(value, str) else None for value in images.to_pylist()]


def _kept(info: TableInfo, table: pa.Table, positions: Mapping[str, int]) -> _Read:
    """Count the values of a table, and take the rows out of it that are to be kept; none where they are too many."""
    if len(positions) > MOST_KEPT:
        positions = {}
    return _Read(
        key=info.key,
        rows=table.take(list(positions.values())) if positions else table.slice(0, 0),
        position={key: number for number, key in enumerate(positions)},
        counts=dict(_counts(table)),
        columns=frozenset(table.column_names),
    )


def _counts(table: pa.Table) -> Iterable[tuple[str, Counter[str]]]:
    """Yield each column that has few different values, with how often each comes."""
    for name in dict.fromkeys(table.column_names):
        try:
            counted: Any = table.column(name).value_counts()  # an array of values and counts
        except (KeyError, NotImplementedError, ValueError):  # two of that name, or lists and the like
            continue
        if len(counted) <= MOST_DIFFERENT:
            told = Counter[str]()
            for pair in counted.to_pylist():
                told[text_of(pair["values"])] += pair["counts"]
            yield name, told
