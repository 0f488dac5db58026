r"""A table as one CSV file, and its values as text. Blocks; for threads. Memory: one batch.

RFC 4180 but for "\n" at the ends of lines: commas, double quotes, quotes doubled within quotes; UTF-8, a header.
Same rows, same bytes. NULL is an empty field and the empty text is "": a reader that tells them apart can.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from syncd.model import Fingerprint
from syncd.sources.tables.base import Kind
from syncd.sources.tables.fit import all_fit, fault
from syncd.sources.tables.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from syncd.sources.tables.base import Column, Row

_QUOTED = frozenset(',"\n\r')


class CsvWritten(NamedTuple):
    """What :func:`write_csv` wrote."""

    rows: int  # without the header
    fingerprint: Fingerprint


def write_csv(path: Path, columns: Sequence[Column], batches: Iterable[Sequence[Row]], key_position: int) -> CsvWritten:
    """Write rows as a CSV file, whole or not at all.

    Args:
        path: Of the file.
        columns: What the rows hold.
        batches: The rows.
        key_position: Where in a row its key stands, to name a row by.

    Raises:
        TableFaultError: A value does not fit its column; the text names both and the row's key.
        OSError: It cannot be written.
    """
    texts = [text_of(column.kind, scale=column.scale, element=column.element) for column in columns]
    rows = 0
    with whole_file(path) as file:
        lines = _Lines(file)
        lines.write([[_field(column.name) for column in columns]])
        for batch in batches:
            lines.write(zip(*_fields(columns, texts, batch, key_position), strict=True))
            rows += len(batch)
    return CsvWritten(rows, lines.fingerprint())


class _Lines:
    """A file that lines are written to, fingerprinted on their way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size_bytes = file, 0
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    def write(self, lines: Iterable[Iterable[str]]) -> None:
        chunk = "".join(f"{','.join(line)}\n" for line in lines).encode()
        self._file.write(chunk)
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self._size_bytes += len(chunk)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self._sha256.digest(), self._md5.digest(), self._size_bytes)


def text_of(kind: Kind, *, scale: int | None = None, element: Kind | None = None) -> Callable[[Any], str]:
    """Return the function that turns a value of this kind, never NULL, into its text.

    Booleans are true and false; decimals have no exponent, and ``scale`` digits after the point if that is given;
    floats are Python's shortest text that reads back as the same; bytes are lower-case hexadecimal, which every tool
    can read; times are ISO 8601, in UTC with a "Z"; arrays are JSON, with numbers and booleans as such and all other
    elements as text.
    """
    if kind is Kind.ARRAY:
        return _array(element or Kind.TEXT)
    if kind is Kind.DECIMAL and scale is not None:
        return lambda value: _decimal(value, scale)
    return _TEXTS[kind]


def _fields(
    columns: Sequence[Column], texts: Sequence[Callable[[Any], str]], rows: Sequence[Row], key_position: int
) -> list[list[str]]:
    """Return the fields of rows, column by column."""
    fields = []
    for position, (column, text) in enumerate(zip(columns, texts, strict=True)):
        try:
            fields.append(_column_fields(column, text, [row[position] for row in rows]))
        except (ValueError, TypeError):
            for row in rows:
                _refuse_misfit(column, text, row[position], row[key_position])
            raise
    return fields


def _column_fields(column: Column, text: Callable[[Any], str], values: list[Any]) -> list[str]:
    if not all_fit(column, values):
        raise TypeError("it is a value of another type")
    return ["" if value is None else _field(text(value)) for value in values]


def _refuse_misfit(column: Column, text: Callable[[Any], str], value: Any, row_key: Any) -> None:
    try:
        _column_fields(column, text, [value])
    except (ValueError, TypeError) as error:
        raise fault(column, row_key, str(error)) from error


def _field(text: str) -> str:
    text.encode()  # here, where the row is known, and not when the batch is written
    if text and _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _decimal(value: Decimal, scale: int) -> str:
    text = f"{value:.{scale}f}"
    if value.is_finite() and Decimal(text) != value:
        raise ValueError(f"it has more than {scale} digits after the point")
    return text


def _utc(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _array(element: Kind) -> Callable[[list[Any]], str]:
    text = _TEXTS[element]

    def plain(value: Any) -> Any:
        if value is None or element in (Kind.BOOLEAN, Kind.INTEGER):
            return value
        if element is Kind.FLOAT and math.isfinite(value):  # JSON has no NaN and no infinity
            return value
        return text(value)

    return lambda values: json.dumps([plain(value) for value in values], ensure_ascii=False)


_TEXTS: dict[Kind, Callable[[Any], str]] = {
    Kind.BOOLEAN: lambda value: "true" if value else "false",
    Kind.INTEGER: str,
    Kind.DECIMAL: lambda value: f"{value:f}",
    Kind.FLOAT: repr,
    Kind.TEXT: str,
    Kind.BYTES: bytes.hex,
    Kind.DATE: lambda value: value.isoformat(),
    Kind.TIME: lambda value: value.isoformat(),
    Kind.TIMESTAMP: lambda value: value.isoformat(),
    Kind.TIMESTAMP_TZ: _utc,
    Kind.JSON: str,
}
