"""The tables of a snapshot, read: all of one as an Arrow table, or as a stream in memory that does not grow with it.

Objects are checked against their digests before a row of theirs is handed on. As a stream, some thousands of rows are
in memory, beside the object they are of: a part, or a text file, which lies in a file without a name. All of a table
is read some parts at a time.
"""

from __future__ import annotations

import asyncio
import csv
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from syncd.errors import SyncdError, first_alone
from syncd.snapshots import arrow
from syncd.snapshots.checked import object_file, read_object
from syncd.snapshots.table_objects import (
    StoredTable,
    TableInfo,
    UnknownTableError,
    image_path,
    stored_table,
    stored_tables,
)
from syncd.sources.csv_check import BadTableError, rows_of
from syncd.sources.tables.roles import roles_in_schema

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    import pyarrow as pa

    from syncd.snapshots.reference import Pinned
    from syncd.store.base import ObjectInfo, ObjectReader, VersionStore

__all__ = ["BrokenTableError", "TableInfo", "UnknownTableError", "image_path", "read_table", "table_batches", "tables"]

_ROWS_AT_A_TIME = 10_000
_PARTS_AT_A_TIME = 8


class BrokenTableError(SyncdError):
    """An object has the bytes of its digest, and they are no table."""


async def tables(
    found: Pinned, versions: VersionStore, prefix: str, *, objects: ObjectReader | None = None
) -> list[TableInfo]:
    """Return the tables of a snapshot, sorted by name.

    Args:
        found: The commit.
        versions: For the listing of its tables.
        prefix: In front of every key of syncd's.
        objects: Of that commit: a table in parts is asked what the commits of older syncds do not say. None: it is not.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    stored = await stored_tables(found, versions, prefix)
    return [one.info if objects is None else (await informed(one, objects)).info for one in stored.values()]


async def read_table(
    found: Pinned, name: str, *, versions: VersionStore, objects: ObjectReader, prefix: str
) -> pa.Table:
    """Return a table of a snapshot, all of it.

    One in parts comes in the order of its keys, but that parts whose first keys are alike for 32 bytes come in any; a
    text file in the order of its lines, with every column as text: NULL and the empty text are both that.

    Args:
        found: The commit.
        name: The table's.
        versions: For the listing of its tables.
        objects: Of that commit.
        prefix: In front of every key of syncd's.

    Raises:
        MissingExtraError: pyarrow is not installed.
        UnknownTableError: There is no such table.
        BrokenTableError: It cannot be read as what it should be.
        StoreError: lakeFS does not answer or refuses, or an object is damaged.
    """
    arrow.require()
    stored = await stored_table(found, name, versions, prefix)
    if stored.info.form == "csv":
        read = [batch async for batch in _texts(stored.parts[0], objects)]
    else:
        read = await _parts_at_once(stored.parts, objects)
    if not read:
        return await _without_rows(stored, objects)
    return await asyncio.to_thread(arrow.together, read)


async def table_batches(
    found: Pinned, name: str, *, versions: VersionStore, objects: ObjectReader, prefix: str
) -> AsyncGenerator[pa.RecordBatch, None]:
    """Yield a table of a snapshot in batches of rows, in the same order; arguments and errors as above.

    Use it within ``contextlib.aclosing`` where it may be left early.
    """
    arrow.require()
    stored = await stored_table(found, name, versions, prefix)
    is_text = stored.info.form == "csv"
    async with aclosing(_texts(stored.parts[0], objects) if is_text else _parts(stored.parts, objects)) as read:
        async for table in read:
            for batch in table.to_batches():
                yield batch


async def informed(stored: StoredTable, objects: ObjectReader) -> StoredTable:
    """Return a table with what its ``_schema.json`` says of its columns, where the commit does not say it."""
    if stored.info.key is not None or stored.schema is None:
        return stored
    roles = roles_in_schema(await read_object(stored.schema, objects))
    info = replace(stored.info, key=roles.key)
    if roles.image is not None:
        image = roles.image
        info = replace(info, image_column=image.name, image_prefix=image.prefix, image_pattern=image.pattern)
    return replace(stored, info=info)


async def read_part(one: ObjectInfo, objects: ObjectReader, columns: Sequence[str] | None = None) -> pa.Table:
    """Return one part of a table, or some of its columns; raises as :func:`read_table`."""
    content = await read_object(one, objects)
    try:
        return await asyncio.to_thread(arrow.part_of, content, columns)
    except (ValueError, OSError) as error:  # what pyarrow raises is one of them
        raise _broken(one, error) from error


async def text_rows(one: ObjectInfo, objects: ObjectReader) -> AsyncGenerator[list[list[str]], None]:
    """Yield the rows of a text file, some thousands at a time, the header as the first batch of its own.

    Use it within ``contextlib.aclosing``; raises as :func:`read_table`.
    """
    async with object_file(one, objects) as file:
        rows = rows_of(file.fileno())
        count = 1
        while batch := await asyncio.to_thread(_some, one, rows, count):
            yield batch
            count = _ROWS_AT_A_TIME


def _some(one: ObjectInfo, rows: Iterator[list[str]], count: int) -> list[list[str]]:
    try:
        return list(islice(rows, count))
    except (csv.Error, BadTableError) as error:
        raise _broken(one, error) from error


def _broken(one: ObjectInfo, error: Exception) -> BrokenTableError:
    return BrokenTableError(
        f"{one.key} cannot be read as a table", cause=f"syncd did not write it so: {str(error).rstrip('.')}"
    )


async def _texts(one: ObjectInfo, objects: ObjectReader) -> AsyncGenerator[pa.Table, None]:
    header: list[str] = []
    async with aclosing(text_rows(one, objects)) as batches:
        async for rows in batches:
            if not header:
                header, rows = rows[0], []  # noqa: PLW2901 - so that a table without rows has its columns
            if any(len(row) != len(header) for row in rows):
                raise _broken(one, ValueError("a row has another number of columns than the header"))
            yield await asyncio.to_thread(arrow.texts, header, rows)


async def _parts(parts: Sequence[ObjectInfo], objects: ObjectReader) -> AsyncGenerator[pa.Table, None]:
    for one in parts:
        pieces = arrow.pieces_of(await read_object(one, objects), _ROWS_AT_A_TIME)
        while (piece := await asyncio.to_thread(_next_piece, one, pieces)) is not None:
            yield piece


def _next_piece(one: ObjectInfo, pieces: Iterator[pa.Table]) -> pa.Table | None:
    try:
        return next(pieces, None)
    except (ValueError, OSError) as error:  # what pyarrow raises is one of them
        raise _broken(one, error) from error


async def _parts_at_once(parts: Sequence[ObjectInfo], objects: ObjectReader) -> list[pa.Table]:
    slots = asyncio.Semaphore(_PARTS_AT_A_TIME)

    async def read(one: ObjectInfo) -> pa.Table:
        async with slots:
            return await read_part(one, objects)

    with first_alone():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(one)) for one in parts]
    return [task.result() for task in tasks]


async def _without_rows(stored: StoredTable, objects: ObjectReader) -> pa.Table:
    """Return a table that has no parts, by what is said of its columns."""
    if stored.schema is None:
        raise AssertionError("a table has a text file, parts or a schema")
    content = await read_object(stored.schema, objects)
    try:
        return await asyncio.to_thread(arrow.empty, content)
    except (ValueError, KeyError) as error:
        raise _broken(stored.schema, error) from error
