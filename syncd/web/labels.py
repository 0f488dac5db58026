"""What the tables of two snapshots say of their images: rows, and how often each value of a column comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncd.errors import SyncdError
from syncd.model import IMAGES
from syncd.snapshots.image_rows import ImageRows
from syncd.snapshots.tables import read_table, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.tables import TableInfo
    from syncd.store.base import ObjectReader, VersionStore

MOST_ROWS = 1_000_000  # of a table that is read for this
MOST_VALUES = 40  # of a column that is drawn
_MOST_TEXT = 80


@dataclass(frozen=True, slots=True)
class OfImage:
    """What one table says of an image before and after; None: nothing."""

    table: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


@dataclass(slots=True)
class _Read:
    info: TableInfo
    table: pa.Table
    rows: ImageRows


@dataclass(slots=True)
class _SideOfTables:
    """The tables of one snapshot that name images, once they are read."""

    found: Pinned
    objects: ObjectReader
    read: dict[str, _Read] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)  # by table


class Labels:
    """Tables are read when they are first asked for, all of them, and kept.

    Args:
        versions: The repository.
        prefix: In front of every key of syncd's.
        left: One of them, and its objects.
        right: The other.
    """

    def __init__(
        self,
        versions: VersionStore,
        prefix: str,
        left: tuple[Pinned, ObjectReader],
        right: tuple[Pinned, ObjectReader],
    ) -> None:
        self._versions, self._prefix = versions, prefix
        self._sides = _SideOfTables(*left), _SideOfTables(*right)
        self._one_reads, self._is_read = asyncio.Lock(), False
        self._counts: dict[tuple[str, str], list[tuple[str, int, int]]] = {}

    async def of(self, paths: Sequence[tuple[str, str]]) -> list[list[OfImage]]:
        """Return what tables say of images.

        Args:
            paths: The key of each before and after; the same but for those renamed.
        """
        await self._read()
        names = sorted({*self._sides[0].read, *self._sides[1].read})
        return await asyncio.to_thread(lambda: [self._of(names, *both) for both in paths])

    async def columns(self) -> list[tuple[str, str]]:
        """Return the columns by which images can be grouped: table and column."""
        await self._read()
        found = {
            (name, column)
            for side in self._sides
            for name, one in side.read.items()
            for column in one.table.column_names
        }
        return sorted(found - {(name, one.info.key) for side in self._sides for name, one in side.read.items()})

    async def why_not(self) -> dict[str, str]:
        """Return by table why it is not read."""
        await self._read()
        return {**self._sides[0].why_not, **self._sides[1].why_not}

    async def counts(self, table: str, column: str) -> list[tuple[str, int, int]]:
        """Return the values of a column that come most often, with how many rows have each before and after."""
        await self._read()

        def count() -> list[tuple[str, int, int]]:
            before, after = (_counted(side, table, column) for side in self._sides)
            return [(value, before[value], after[value]) for value, _ in (before + after).most_common(MOST_VALUES)]

        if (table, column) not in self._counts:
            self._counts[table, column] = await asyncio.to_thread(count)
        return self._counts[table, column]

    async def values(self, table: str, column: str) -> dict[str, str]:
        """Return what a column says of each image: the newer of both, by key."""
        await self._read()

        def both() -> dict[str, str]:
            said: dict[str, str] = {}
            for side in self._sides:
                one = side.read.get(table)
                if one is not None and column in one.table.column_names:
                    said |= {IMAGES + path: text_of(value) for path, value in one.rows.values(column)}
            return said

        return await asyncio.to_thread(both)

    def _of(self, names: Sequence[str], old_key: str, new_key: str) -> list[OfImage]:
        told = []
        for name in names:
            old, new = (
                one.rows.row(key.removeprefix(IMAGES)) if (one := side.read.get(name)) is not None else None
                for side, key in zip(self._sides, (old_key, new_key), strict=True)
            )
            if old is not None or new is not None:
                told.append(OfImage(name, old, new))
        return told

    async def _read(self) -> None:
        async with self._one_reads:
            if self._is_read:
                return
            for side in self._sides:
                for info in await tables(side.found, self._versions, self._prefix, objects=side.objects):
                    if info.image_column is not None:
                        await self._read_one(side, info)
            self._is_read = True

    async def _read_one(self, side: _SideOfTables, info: TableInfo) -> None:
        if info.rows is not None and info.rows > MOST_ROWS:
            side.why_not[info.name] = f"it has more than {MOST_ROWS:,} rows"
            return
        try:
            table = await read_table(
                side.found,
                info.name,
                versions=self._versions,
                objects=side.objects,
                prefix=self._prefix,
            )
            rows = await asyncio.to_thread(ImageRows, info, table)
        except (SyncdError, KeyError) as error:
            side.why_not[info.name] = str(error)
        else:
            side.read[info.name] = _Read(info, table, rows)


def text_of(value: Any) -> str:
    """Return a value as it is shown, in few words."""
    text = "NULL" if value is None else str(value)
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _counted(side: _SideOfTables, table: str, column: str) -> Counter[str]:
    one = side.read.get(table)
    if one is None or column not in one.table.column_names:
        return Counter()
    counted: Any = one.table.column(column).value_counts()  # an array of values and counts
    return Counter({text_of(pair["values"]): pair["counts"] for pair in counted.to_pylist()})
