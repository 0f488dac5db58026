"""Rows as Arrow tables and Parquet files. The only home of pyarrow, an extra: imported when it is first needed.

Same rows, same bytes: every choice of the format is made here and none left to pyarrow's defaults. Another pyarrow may
encode otherwise, and writes its version into the file; the digest of rows is syncd's own and outlasts that, so that
an update rewrites nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import sys
from typing import TYPE_CHECKING, Any

from syncd.sources.tables.base import Kind, TableFaultError
from syncd.sources.tables.fit import all_fit, fault
from syncd.sources.tables.row_width import width
from syncd.sources.tables.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import ModuleType

    import pyarrow as pa

    from syncd.sources.tables.base import Column, Row

DIGEST_FORM = b"syncd rows 1"  # another one makes every part be written anew

_MOST_DIGITS_128, _MOST_DIGITS_256 = 38, 76
_ROW_GROUP_ROWS = 65_536
_DATA_PAGE_BYTES = 1 << 20
_WIDE_BYTES = 2048  # rows are wide from here on, and are laid out otherwise than all others ever were
_PIECE_BYTES = 1 << 20
_COMPRESSION, _COMPRESSION_LEVEL = "zstd", 3
_KIND = b"syncd.kind"  # in a field's metadata
_TOLD_BY_METADATA = (Kind.DECIMAL, Kind.JSON)  # where they are strings to Arrow
_WHY_CHARACTERS = 200


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the columns as Arrow knows them. The database's own types stand in ``_schema.json`` alone.

    Else a column that grows from varchar(20) to varchar(40) would have every part written anew.

    Raises:
        TableFaultError: pyarrow is not installed, or a column has more digits than Parquet's readers know.
    """
    arrow = _pyarrow()
    schema: pa.Schema = arrow.schema(
        [_field(arrow, column.name, _type(arrow, column), column.kind) for column in columns]
    )
    return schema


def to_table(columns: Sequence[Column], rows: Sequence[Row], key_position: int) -> pa.Table:
    """Return rows as an Arrow table.

    Args:
        columns: What the rows hold.
        rows: In order.
        key_position: Where in a row its key stands, to name a row by.

    Raises:
        TableFaultError: A value does not fit its column; the text names both and the row's key. Or as above.
    """
    step = _rows_in_a_piece(rows)
    pieces = [_piece(columns, rows[at : at + step], key_position) for at in range(0, max(len(rows), 1), step)]
    return pieces[0] if len(pieces) == 1 else _pyarrow().concat_tables(pieces)


def _rows_in_a_piece(rows: Sequence[Row]) -> int:
    """Return of how many rows a chunk is made.

    A chunk takes up to three times its size while it is made, and pages are not looked at before 1024 rows, or the
    chunk's end: of wide rows chunks have to be small.
    """
    total = sum(map(width, rows))
    return max(1, len(rows) * _PIECE_BYTES // total if total > _WIDE_BYTES * len(rows) else len(rows))


def _piece(columns: Sequence[Column], rows: Sequence[Row], key_position: int) -> pa.Table:
    arrow, schema = _pyarrow(), arrow_schema(columns)
    arrays = []
    for position, column in enumerate(columns):
        values, arrow_type = [row[position] for row in rows], schema.field(position).type
        try:
            arrays.append(_array(arrow, column, values, arrow_type))
        except (ValueError, TypeError, OverflowError, arrow.ArrowException) as error:
            for row, value in zip(rows, values, strict=True):
                _refuse_misfit(arrow, column, value, arrow_type, row[key_position])
            raise fault(column, rows[0][key_position], f"it, or one after it: {_short(error)}") from error
    table: pa.Table = arrow.Table.from_arrays(arrays, schema=schema)
    return table


def rows_digest(columns: Sequence[Column], table: pa.Table) -> bytes:
    """Return the SHA-256 of rows as published: names, types and values in order, whatever their chunks.

    Values are taken as Arrow lays them out, without what it leaves open: the bits of a NULL's value, and padding.
    """
    arrow = _pyarrow()
    digest = hashlib.sha256(DIGEST_FORM)
    for column, data in zip(columns, table.columns, strict=True):
        words = (column.name, column.kind, column.precision, column.scale, column.element)
        digest.update(ascii(tuple(word if word is None else str(word) for word in words)).encode())
        _feed(digest, arrow, data.chunks)
    return digest.digest()


def write_part(path: Path, table: pa.Table) -> None:
    """Write a table as a Parquet file, whole or not at all.

    The rows' Arrow chunks can show in the bytes; :func:`to_table` makes the same ones of the same rows.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path) as file:
        _pyarrow("pyarrow.parquet").write_table(
            table,
            file,
            version="2.6",
            data_page_version="1.0",
            compression=_COMPRESSION,
            compression_level=_COMPRESSION_LEVEL,
            row_group_size=_ROW_GROUP_ROWS,
            data_page_size=_DATA_PAGE_BYTES,
            write_batch_size=1024,
            dictionary_pagesize_limit=_DATA_PAGE_BYTES,
            use_dictionary=True,
            use_byte_stream_split=False,
            write_statistics=True,
            write_page_index=False,
            write_page_checksum=False,
            use_compliant_nested_type=True,
            store_schema=True,  # time zones, JSON and the like for those who read with Arrow
            store_decimal_as_integer=False,
            use_content_defined_chunking=False,
        )


def _pyarrow(module: str = "pyarrow") -> ModuleType:
    is_new = "pyarrow" not in sys.modules
    try:
        found, arrow = importlib.import_module(module), importlib.import_module("pyarrow")
    except ImportError as error:
        raise TableFaultError(
            "tables are published as Parquet, and pyarrow cannot be imported",
            cause=f"it is not installed here, or is broken: {error}",
            next_step='pip install "syncd[parquet]"',
        ) from error
    if is_new:  # pools of its own would keep for good what one large part once took
        arrow.set_memory_pool(arrow.system_memory_pool())
    return found


def _type(arrow: ModuleType, column: Column) -> Any:
    if column.kind is Kind.DECIMAL and column.precision is not None:
        if column.precision > _MOST_DIGITS_256:
            raise TableFaultError(
                f'column "{column.name}" ({column.declared}) has more than {_MOST_DIGITS_256} digits',
                next_step="declare it with fewer digits, or without limits: it is published as text then",
            )
        make = arrow.decimal128 if column.precision <= _MOST_DIGITS_128 else arrow.decimal256
        return make(column.precision, column.scale or 0)
    if column.kind is Kind.ARRAY:
        element = column.element or Kind.TEXT
        return arrow.list_(_field(arrow, "element", _simple_type(arrow, element), element))
    return _simple_type(arrow, column.kind)


def _simple_type(arrow: ModuleType, kind: Kind) -> Any:
    return {
        Kind.BOOLEAN: arrow.bool_,
        Kind.INTEGER: arrow.int64,
        Kind.FLOAT: arrow.float64,
        Kind.BYTES: arrow.binary,
        Kind.DATE: arrow.date32,
        Kind.TIME: lambda: arrow.time64("us"),
        Kind.TIMESTAMP: lambda: arrow.timestamp("us"),
        Kind.TIMESTAMP_TZ: lambda: arrow.timestamp("us", tz="UTC"),
    }.get(kind, arrow.string)()


def _field(arrow: ModuleType, name: str, arrow_type: Any, kind: Kind) -> Any:
    told = {_KIND: kind.encode()} if kind in _TOLD_BY_METADATA and arrow_type == arrow.string() else None
    return arrow.field(name, arrow_type, metadata=told)


def _array(arrow: ModuleType, column: Column, values: list[Any], arrow_type: Any) -> Any:
    if not all_fit(column, values):
        raise TypeError("it is a value of another type")
    as_published = _AS_PUBLISHED.get(column.element or column.kind)
    if column.kind is Kind.ARRAY and as_published:
        values = [None if value is None else as_published(value) for value in values]
    elif as_published and column.precision is None:
        values = as_published(values)
    return arrow.array(values, type=arrow_type)


def _plain(values: list[Any]) -> list[str | None]:
    return [None if value is None else f"{value:f}" for value in values]


def _with_one_nan(values: list[Any]) -> list[float | None]:
    """Return floats with all NaN alike: its bits come from the driver, and no reader asks for them."""
    return [math.nan if value is not None and math.isnan(value) else value for value in values]


_AS_PUBLISHED: dict[Kind, Callable[[list[Any]], list[Any]]] = {Kind.DECIMAL: _plain, Kind.FLOAT: _with_one_nan}


def _refuse_misfit(arrow: ModuleType, column: Column, value: Any, arrow_type: Any, row_key: Any) -> None:
    try:
        _array(arrow, column, [value], arrow_type)
    except (ValueError, TypeError, OverflowError, arrow.ArrowException) as error:
        raise fault(column, row_key, _short(error)) from error


def _short(error: Exception) -> str:
    return str(error)[:_WHY_CHARACTERS].strip().rstrip(".")


def _feed(digest: Any, arrow: ModuleType, chunks: list[Any]) -> None:
    """Feed values in such a way that no two columns of a type feed the same."""
    nulls = sum(chunk.null_count for chunk in chunks)
    digest.update(f"{sum(map(len, chunks))} {nulls};".encode())
    if nulls:
        for chunk in chunks:
            digest.update(_fixed(chunk.is_valid().cast("uint8")))
        chunks = [chunk.drop_null() for chunk in chunks]
    if not any(map(len, chunks)):
        return
    arrow_type, compute = chunks[0].type, _pyarrow("pyarrow.compute")
    if arrow.types.is_list(arrow_type):
        for chunk in chunks:
            digest.update(_fixed(compute.list_value_length(chunk)))
        _feed(digest, arrow, [chunk.flatten() for chunk in chunks])
    elif arrow.types.is_string(arrow_type) or arrow.types.is_binary(arrow_type):
        for chunk in chunks:
            digest.update(_fixed(compute.binary_length(chunk)))
        for chunk in chunks:
            digest.update(_text(chunk))
    else:
        for chunk in chunks:
            digest.update(_fixed(chunk.cast("uint8") if arrow.types.is_boolean(arrow_type) else chunk))


def _fixed(array: Any) -> memoryview | bytes:
    """Return the values of an array without NULLs, of a type of fixed width, next to each other."""
    width, values = array.type.bit_width // 8, array.buffers()[1]
    if not len(array) or values is None:
        return b""
    return memoryview(values)[array.offset * width : (array.offset + len(array)) * width]


def _text(array: Any) -> memoryview | bytes:
    """Return the texts of an array without NULLs, one behind the other."""
    _, offsets, data = array.buffers()
    if not len(array) or data is None:
        return b""
    begins = memoryview(offsets).cast("i")
    return memoryview(data)[begins[array.offset] : begins[array.offset + len(array)]]
