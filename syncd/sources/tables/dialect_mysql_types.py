"""The types of MySQL and MariaDB, as their protocol tells them: for a column of a table and of a query alike."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from pymysql.constants import FIELD_TYPE as TYPES
from pymysql.constants import FLAG

from syncd.sources.tables.base import Column, Kind
from syncd.sources.tables.dialect_base import Selected
from syncd.sources.tables.dialect_errors import UnfitError, value_shown

if TYPE_CHECKING:
    from collections.abc import Callable

_BINARY = 63  # the number of the character set that is none
_DAY = timedelta(days=1)
_INTEGERS = {TYPES.TINY: "tinyint", TYPES.SHORT: "smallint", TYPES.INT24: "mediumint", TYPES.LONG: "int"}
_TIMES = {
    TYPES.DATE: (Kind.DATE, "date"),
    TYPES.NEWDATE: (Kind.DATE, "date"),
    TYPES.TIME: (Kind.TIME, "time"),
    TYPES.DATETIME: (Kind.TIMESTAMP, "datetime"),
    TYPES.TIMESTAMP: (Kind.TIMESTAMP_TZ, "timestamp"),
}
_BIGINT_DIGITS = 20  # of the largest BIGINT UNSIGNED


class Field(Protocol):
    """What PyMySQL keeps of a column's definition."""

    name: str
    type_code: int
    charsetnr: int
    length: int
    scale: int
    flags: int


def selected(field: Field, declared: str | None, cell: str) -> Selected:
    """Return how a column is read; ``declared`` is its type in the table's words, None for a query."""
    kind, words, convert, precision, scale = _meaning(field)
    kind = Kind.JSON if declared == "json" else kind
    column = Column(name=field.name, kind=kind, declared=declared or words, precision=precision, scale=scale)
    order = f"CAST(CONVERT({cell} USING utf8mb4) AS BINARY)" if kind == Kind.TEXT else cell
    # a FLOAT is written with six digits, as a DOUBLE with all it has
    expression = f"({cell} + 0E0)" if field.type_code == TYPES.FLOAT else cell
    return Selected(column, expression, order, convert)


_Meaning = tuple[Kind, str, "Callable[[Any], Any] | None", int | None, int | None]


def _meaning(field: Field) -> _Meaning:  # noqa: PLR0911 - one for each family of types
    code, unsigned = field.type_code, bool(field.flags & FLAG.UNSIGNED)
    sign = " unsigned" if unsigned else ""
    if code == TYPES.TINY and field.length == 1 and not unsigned:
        return Kind.BOOLEAN, "tinyint(1)", _boolean, None, None
    if code in _INTEGERS:
        return Kind.INTEGER, _INTEGERS[code] + sign, None, None, None
    if code == TYPES.LONGLONG and unsigned:
        return Kind.DECIMAL, "bigint unsigned", Decimal, _BIGINT_DIGITS, 0
    if code in (TYPES.LONGLONG, TYPES.YEAR):
        return Kind.INTEGER, "bigint" if code == TYPES.LONGLONG else "year", None, None, None
    if code in (TYPES.DECIMAL, TYPES.NEWDECIMAL):
        # length counts a point and a sign; source: my_decimal_length_to_precision in sql/my_decimal.h
        digits = max(field.length - (field.scale > 0) - (not unsigned), field.scale, 1)
        return Kind.DECIMAL, f"decimal({digits},{field.scale}){sign}", None, digits, field.scale
    if code in (TYPES.FLOAT, TYPES.DOUBLE):
        return Kind.FLOAT, ("float" if code == TYPES.FLOAT else "double") + sign, None, None, None
    if code in _TIMES:
        kind, words = _TIMES[code]
        return kind, words, _CONVERSIONS[kind], None, None
    return _text_or_bytes(field)


def _text_or_bytes(field: Field) -> _Meaning:
    code = field.type_code
    if code == TYPES.JSON:
        return Kind.JSON, "json", None, None, None
    if code == TYPES.BIT:
        return Kind.BYTES, f"bit({field.length})", None, None, None
    if code == TYPES.GEOMETRY:
        return Kind.BYTES, "geometry", None, None, None
    if code != TYPES.NULL and field.charsetnr == _BINARY:
        return Kind.BYTES, "blob" if field.flags & FLAG.BLOB else f"varbinary({field.length})", None, None, None
    flagged = (
        name for flag, name in ((FLAG.ENUM, "enum"), (FLAG.SET, "set"), (FLAG.BLOB, "text")) if field.flags & flag
    )
    return Kind.TEXT, next(flagged, "varchar"), None, None, None


def _boolean(value: int) -> bool:
    if value not in (0, 1):
        raise UnfitError(f"{value}, which is neither 0 nor 1,")
    return value == 1


def _date(value: Any) -> date:
    if not isinstance(value, date):  # PyMySQL leaves what it cannot make a date of as text
        raise UnfitError(f"{value_shown(value)}, which is no date,")
    return value


def _timestamp(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise UnfitError(f"{value_shown(value)}, which is no date,")
    return value


def _timestamp_tz(value: Any) -> datetime:
    return _timestamp(value).replace(tzinfo=UTC)  # the session's time zone


def _time(value: Any) -> time:
    """Return a time of day; MySQL's TIME may be negative or of many days."""
    if not isinstance(value, timedelta) or not timedelta(0) <= value < _DAY:
        raise UnfitError(f"{value_shown(value)}, which is no time of a day,")
    return (datetime.min + value).time()  # noqa: DTZ901 - only its time is used


_CONVERSIONS: dict[Kind, Callable[[Any], Any]] = {
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMP_TZ: _timestamp_tz,
}
