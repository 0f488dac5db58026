"""Tables of a snapshot as Arrow knows them. Blocks; for threads. pyarrow is an extra, imported when it is first needed.

Types are those the parts were written with. Text files say nothing of types: their columns are strings.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from syncd.errors import SyncdError
from syncd.sources.tables import parquet
from syncd.sources.tables.schema import columns_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    import pyarrow as pa

PIECE_BYTES = 4 << 20  # about; before what comes often in a column is written out


class MissingExtraError(SyncdError):
    """Something that is asked for needs a library that does not come with syncd alone."""


def part_of(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return what the body of a part holds; some of its columns, or all.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow, files = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    with files.ParquetFile(arrow.BufferReader(content)) as file:
        table: pa.Table = file.read(columns=columns)
    return table


def pieces_of(content: bytes, rows: int) -> Iterator[pa.Table]:
    """Yield what the body of a part holds, at most so many rows at a time, fewer where they are wide; raises as above.

    A part in memory may be many times as large as it is stored.
    """
    arrow, files = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    with files.ParquetFile(arrow.BufferReader(content)) as file:
        told = file.metadata
        size_bytes = sum(told.row_group(at).total_byte_size for at in range(told.num_row_groups))
        narrow = PIECE_BYTES * told.num_rows // max(size_bytes, 1)
        for batch in file.iter_batches(max(1, min(rows, narrow))):
            yield arrow.Table.from_batches([batch])


def empty(schema: bytes) -> pa.Table:
    """Return a table without rows, of the columns that the body of a ``_schema.json`` tells of; raises as above."""
    _pyarrow("pyarrow")
    table: pa.Table = parquet.arrow_schema(columns_in(schema)).empty_table()
    return table


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """Return one table of the rows of several with the same columns, one at least; raises as above."""
    table: pa.Table = _pyarrow("pyarrow").concat_tables(tables)
    return table


def texts(header: Sequence[str], rows: Sequence[Sequence[str]]) -> pa.Table:
    """Return rows of text as a table of strings; raises as above."""
    arrow = _pyarrow("pyarrow")
    arrays = [arrow.array([row[position] for row in rows], arrow.string()) for position in range(len(header))]
    table: pa.Table = arrow.Table.from_arrays(arrays, schema=arrow.schema([(name, arrow.string()) for name in header]))
    return table


def require() -> None:
    """Make sure that tables can be read, before anything is fetched; raises as above."""
    _pyarrow("pyarrow.parquet")


def _pyarrow(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            "reading tables needs pyarrow, which cannot be imported",
            cause=f"it is not installed here, or is broken: {error}",
            next_step="pip install 'syncd[parquet]'",
        ) from error
