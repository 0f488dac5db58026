"""What the tables of two snapshots say of the images that differ, and how often each value of a column comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncd.errors import PermanentStoreError
from syncd.snapshots.arrow import MissingExtraError
from syncd.snapshots.table_objects import stored_tables
from syncd.snapshots.tables import BrokenTableError, informed
from syncd.web.label_table import LabelTable, NotReadError, read_label_table, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.table_objects import StoredTable
    from syncd.store.base import ObjectReader, VersionStore
    from syncd.web.label_table import Differing

MOST_VALUES = 40  # of a column that is drawn


@dataclass(frozen=True, slots=True)
class OfImage:
    """What one table says of an image before and after; None: nothing."""

    table: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


@dataclass(slots=True)
class _SideOfTables:
    """The tables of one snapshot that name images, once they are read."""

    found: Pinned
    objects: ObjectReader
    read: dict[str, LabelTable] = field(default_factory=dict)
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
        return sorted(few - many - {(name, one.info.key) for name, one in everyone if one.info.key is not None})

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
                said |= {key: text_of(value) for key, value in one.values(column)}
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
            for stored in (await stored_tables(side.found, versions, prefix)).values():
                await _read_one(side, stored, versions, prefix, differing)
    _keep_of_both_or_neither(left, right)
    return Labels(left, right)


async def _read_one(
    side: _SideOfTables, stored: StoredTable, versions: VersionStore, prefix: str, differing: Differing
) -> None:
    name = stored.info.name
    try:
        known = await informed(stored, side.objects)
        if known.info.image_column is None:
            return
        side.read[name] = await read_label_table(
            side.found, known, differing, versions=versions, objects=side.objects, prefix=prefix
        )
    except (NotReadError, BrokenTableError, MissingExtraError, PermanentStoreError, KeyError) as error:
        side.why_not[name] = str(error)
    else:
        if why := side.read[name].why_no_rows:
            side.why_not[name] = why


def _keep_of_both_or_neither(left: _SideOfTables, right: _SideOfTables) -> None:
    """Leave out of both sides what is left out of one: what the other one has would seem to be new, or deleted."""
    for name, why in {**left.why_not, **right.why_not}.items():
        not_read = any(name in side.why_not and name not in side.read for side in (left, right))
        for side in (left, right):
            if not_read:
                side.read.pop(name, None)
            elif name in side.read:
                side.read[name].forget_rows(why)
