"""Does a value fit its column? And the words for one that does not, with the row it is in. Pure."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from syncd.sources.tables.base import Kind, TableFaultError

if TYPE_CHECKING:
    from collections.abc import Collection

    from syncd.sources.tables.base import Column

_PYTHON: dict[Kind, type] = {
    Kind.BOOLEAN: bool,
    Kind.INTEGER: int,
    Kind.DECIMAL: Decimal,
    Kind.FLOAT: float,
    Kind.TEXT: str,
    Kind.BYTES: bytes,
    Kind.DATE: date,
    Kind.TIME: time,
    Kind.TIMESTAMP: datetime,
    Kind.TIMESTAMP_TZ: datetime,
    Kind.JSON: str,
    Kind.ARRAY: list,
}
_NOT_MEANT: dict[type, type] = {int: bool, date: datetime}  # a subclass in Python, another kind here
_NONE = type(None)
_SHOWN_CHARACTERS = 60


def all_fit(column: Column, values: Collection[Any]) -> bool:
    """Return whether all values are of the column's kind, or None; how large they are is not looked at.

    Parquet's writer would take 1.5 for an integer column, as 1, and guess at a missing time zone; a database with
    loose types has such values.
    """
    if not _all_of(column.kind, values):
        return False
    if column.kind is Kind.ARRAY:
        elements = list(chain.from_iterable(value for value in values if value is not None))
        return _all_of(column.element or Kind.TEXT, elements)
    return True


def _all_of(kind: Kind, values: Collection[Any]) -> bool:
    wanted = _PYTHON[kind]
    unwanted = _NOT_MEANT.get(wanted, ())
    if not all(
        found in (wanted, _NONE) or (issubclass(found, wanted) and not issubclass(found, unwanted))
        for found in set(map(type, values))
    ):
        return False
    if kind is Kind.TIMESTAMP:
        return all(value is None or value.tzinfo is None for value in values)
    if kind is Kind.TIMESTAMP_TZ:
        return all(value is None or value.tzinfo is not None for value in values)
    return True


def fault(column: Column, row_key: Any, why: str = "") -> TableFaultError:
    """Return the error for a value that does not fit, or for one that is of another kind."""
    return TableFaultError(
        f'column "{column.name}", row with key {_short(row_key)}: the value does not fit {column.kind}'
        f" ({column.declared})",
        cause=why or "it is a value of another type",
        next_step="correct the value, or change the column's type",
    )


def _short(row_key: Any) -> str:
    text = ascii(str(row_key))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
