"""What changed in one table between two snapshots: rows added, changed and deleted, by the key.

Only objects that differ are read, and of parts those of one name together: most of a part's rows are the same on both
sides, and cost nothing more. Where rows cannot be compared it is said why, and nothing is guessed.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from syncd.errors import SyncdError
from syncd.snapshots.arrow import MissingExtraError
from syncd.snapshots.checked import read_object
from syncd.snapshots.row_changes import Counts, DuplicateKeyError, RowChanges
from syncd.snapshots.table_objects import SCHEMA_NAME, rows_in_commit
from syncd.snapshots.tables import BrokenTableError, read_part, text_rows
from syncd.sources.tables.roles import roles_in_commit, roles_in_schema
from syncd.sources.tables.schema import columns_in
from syncd.sources.tables.schema import compare as compare_schemas
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    import pyarrow as pa

    from syncd.snapshots.reference import Pinned
    from syncd.sources.tables.base import Row
    from syncd.store.base import ObjectInfo, ObjectReader


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two snapshots."""

    found: Pinned
    objects: ObjectReader  # of its commit


@dataclass(slots=True)
class Differing:
    """The objects of one side that the other side does not have, or has otherwise; by what they are."""

    text: ObjectInfo | None = None  # the table as CSV
    schema: ObjectInfo | None = None
    parts: dict[str, ObjectInfo] = field(default_factory=dict)  # by key

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.text or self.schema or self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableComparison:
    """What changed in one table."""

    name: str
    kind: Literal["changed", "added", "removed"]  # the table itself
    counts: Counts | None = None  # None: its rows were not compared, or it is not known how many there are
    why: str = ""  # they were not compared; "": they were, or there is nothing to compare with
    found: RowChanges | None = None  # the rows themselves


class _NotComparableError(Exception):
    """Rows of the two versions cannot be told to be the same or others."""


async def compare_table(
    name: str, sides: tuple[Side, Side], differing: tuple[Differing, Differing], scratch: sqlite3.Connection
) -> TableComparison:
    """Compare one table.

    Args:
        name: The table's.
        sides: From, to.
        differing: What of it differs, on each side.
        scratch: A database of its own; several tables may share it.

    Raises:
        StoreError: lakeFS does not answer or refuses, or an object is damaged.
    """
    old, new = differing
    if not (old.text or old.schema) and (new.text or new.schema):
        rows = rows_in_commit(sides[1].found.commit.metadata, name)
        return TableComparison(name=name, kind="added", counts=None if rows is None else Counts(rows, 0, 0))
    if not (new.text or new.schema) and (old.text or old.schema):
        rows = rows_in_commit(sides[0].found.commit.metadata, name)
        return TableComparison(name=name, kind="removed", counts=None if rows is None else Counts(0, 0, rows))
    try:
        found = await _compare_rows(name, sides, differing, scratch)
        counts = Counts(0, 0, 0) if found is None else await in_thread_to_its_end(found.finish)
        return TableComparison(name=name, kind="changed", counts=counts, found=found)
    except (_NotComparableError, DuplicateKeyError, BrokenTableError, MissingExtraError) as error:
        return TableComparison(name=name, kind="changed", why=_why(error))


async def _compare_rows(
    name: str, sides: tuple[Side, Side], differing: tuple[Differing, Differing], scratch: sqlite3.Connection
) -> RowChanges | None:
    old, new = differing
    if bool(old.text) != bool(new.text):
        before, after = ("CSV" if one.text else "Parquet" for one in differing)
        raise _NotComparableError(f"it was published as {before} and is published as {after} now")
    if old.text and new.text:
        return await _compare_texts(name, sides, (old.text, new.text), scratch)
    return await _compare_parts(name, sides, differing, scratch)


def _why(error: Exception) -> str:
    if isinstance(error, SyncdError):
        return "; ".join(part for part in (error.fact, error.cause, error.next_step) if part)
    return str(error)


async def _compare_texts(
    name: str, sides: tuple[Side, Side], texts: tuple[ObjectInfo, ObjectInfo], scratch: sqlite3.Connection
) -> RowChanges:
    """Read both files piece by piece, side by side: a row that was only moved some pieces on is laid by meanwhile."""
    key = _key_of_text(name, sides)
    old_batches, new_batches = (text_rows(one, side.objects) for one, side in zip(texts, sides, strict=True))
    async with aclosing(old_batches), aclosing(new_batches):
        ((old_header,), (header,)) = await asyncio.gather(anext(old_batches, [[]]), anext(new_batches, [[]]))
        if sorted(old_header) != sorted(header) or (old_header != header and len(set(header)) < len(header)):
            raise _NotComparableError(_other_columns(old_header, header))
        if key not in header:
            raise _NotComparableError(f'its key, column "{key}", is not in it')
        order = range(len(header)) if old_header == header else [old_header.index(column) for column in header]
        found = RowChanges(scratch, name, header, header.index(key))

        def compare(old: list[list[str]], new: list[list[str]]) -> None:
            if any(len(row) != len(header) for rows in (old, new) for row in rows):
                raise _NotComparableError("a row of it has another number of columns than its header")
            found.feed([tuple(row[at] for at in order) for row in old], [tuple(row) for row in new])

        while True:
            old, new = await asyncio.gather(anext(old_batches, []), anext(new_batches, []))
            if not old and not new:
                return found
            await in_thread_to_its_end(partial(compare, old, new))


def _key_of_text(name: str, sides: tuple[Side, Side]) -> str:
    before, after = (roles_in_commit(side.found.commit.metadata, name).key for side in sides)
    if before and after and before != after:
        raise _NotComparableError(f'its key was column "{before}" and is column "{after}" now')
    if key := after or before:
        return key
    raise _NotComparableError("neither commit says which column is its key: they are of an older syncd")


def _other_columns(before: Sequence[str], after: Sequence[str]) -> str:
    gone = [f'column "{column}" is gone' for column in before if column not in after]
    come = [f'column "{column}" is new' for column in after if column not in before]
    return "; ".join(gone + come) or "several of its columns have one name"


async def _compare_parts(
    name: str, sides: tuple[Side, Side], differing: tuple[Differing, Differing], scratch: sqlite3.Connection
) -> RowChanges | None:
    """Read the parts that differ, those of one name together; None if there are none."""
    key = await _key_of_parts(name, sides, differing)
    old, new = differing
    found: RowChanges | None = None
    for part in sorted(old.parts.keys() | new.parts.keys()):
        if part in old.parts and part in new.parts and old.parts[part].sha256 == new.parts[part].sha256 is not None:
            continue  # it was given another content type
        tables = await asyncio.gather(_part(old.parts.get(part), sides[0]), _part(new.parts.get(part), sides[1]))
        if found is None:
            found = _row_changes(scratch, name, key, tables)
        await in_thread_to_its_end(partial(found.feed, *(_rows(table, found.columns) for table in tables)))
    return found


async def _key_of_parts(name: str, sides: tuple[Side, Side], differing: tuple[Differing, Differing]) -> str:
    """Return the key of both versions, whose columns are the same.

    Raises:
        _NotComparableError: It is another one, or the columns are others.
    """
    old, new = differing
    if old.schema and new.schema:
        before = await read_object(old.schema, sides[0].objects)
        after = await read_object(new.schema, sides[1].objects)
        return _same_key(before, after)
    if told := roles_in_commit(sides[1].found.commit.metadata, name).key:
        return told
    key = next(iter([*new.parts, *old.parts]))
    unchanged = await sides[1].objects.head(key.rpartition("/")[0] + "/" + SCHEMA_NAME)
    if unchanged is None:
        raise _NotComparableError(f"there is no {SCHEMA_NAME} beside it, which says what its key is")
    return str(roles_in_schema(await read_object(unchanged, sides[1].objects)).key)


def _same_key(before: bytes, after: bytes) -> str:
    old_key, key = roles_in_schema(before).key, roles_in_schema(after).key
    old, new = ({column.name: replace(column, declared="") for column in columns_in(one)} for one in (before, after))
    if key is None or old_key != key or old != new:
        change = compare_schemas(before.decode(), columns_in(after), str(key))
        raise _NotComparableError("; ".join((*change.reasons, *change.flows)))
    return key


async def _part(one: ObjectInfo | None, side: Side) -> pa.Table | None:
    return None if one is None else await read_part(one, side.objects)


def _row_changes(scratch: sqlite3.Connection, name: str, key: str, tables: Sequence[pa.Table | None]) -> RowChanges:
    columns = next(table.column_names for table in reversed(tables) if table is not None)
    if key not in columns:
        raise _NotComparableError(f'its key, column "{key}", is not in it')
    return RowChanges(scratch, name, columns, columns.index(key))


def _rows(table: pa.Table | None, columns: Sequence[str]) -> list[Row]:
    if table is None:
        return []
    if set(table.column_names) != set(columns):
        raise _NotComparableError(_other_columns(columns, table.column_names))
    return list(zip(*(table.column(column).to_pylist() for column in columns), strict=True))
