"""PostgreSQL's types: what each column holds, how it is selected, ordered and checked.

What Python and Parquet have no type for comes as the text that PostgreSQL itself writes and reads: UUIDs, enumerations,
addresses, intervals, ranges, composite types, times with a zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text

from syncd.sources.tables.base import Column, Kind
from syncd.sources.tables.dialect_base import Selected
from syncd.sources.tables.dialect_errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

# Numbers of built-in types never change; source: src/include/catalog/pg_type.dat
_NUMERIC, _UUID = 1700, 2950
_KINDS: dict[int, tuple[Kind, str]] = {  # the kind, and the cast without which it would be something else
    16: (Kind.BOOLEAN, ""),
    17: (Kind.BYTES, ""),
    20: (Kind.INTEGER, ""),
    21: (Kind.INTEGER, ""),
    23: (Kind.INTEGER, ""),
    25: (Kind.TEXT, ""),
    26: (Kind.INTEGER, "bigint"),  # oid
    114: (Kind.JSON, "text"),
    700: (Kind.FLOAT, ""),
    701: (Kind.FLOAT, ""),
    790: (Kind.DECIMAL, "numeric"),  # money, whose text depends on the locale
    1043: (Kind.TEXT, ""),  # varchar
    1082: (Kind.DATE, ""),
    1083: (Kind.TIME, ""),
    1114: (Kind.TIMESTAMP, ""),
    1184: (Kind.TIMESTAMP_TZ, ""),
    _NUMERIC: (Kind.DECIMAL, ""),
    3802: (Kind.JSON, "text"),  # jsonb
}
_OTHERS = (Kind.TEXT, "text")
_TIMES = {Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMP_TZ}
_MOST_DIGITS = 76  # of a decimal in Parquet, as pyarrow writes it

_TYPES = text("""
    WITH RECURSIVE reachable AS (
        SELECT unnest(CAST(:oids AS bigint[]))::oid AS oid
        UNION
        SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE e.oid END
        FROM reachable JOIN pg_type t USING (oid) LEFT JOIN pg_type e ON e.typarray = t.oid
        WHERE t.typtype = 'd' OR e.oid IS NOT NULL)
    SELECT t.oid::bigint, t.typtype = 'd', t.typbasetype::bigint, t.typtypmod, e.oid::bigint, format_type(t.oid, NULL)
    FROM reachable JOIN pg_type t USING (oid) LEFT JOIN pg_type e ON e.typarray = t.oid
""")
_DECLARED = text("""
    SELECT format_type(oid::oid, modifier)
    FROM unnest(CAST(:oids AS bigint[]), CAST(:modifiers AS int[])) WITH ORDINALITY AS given (oid, modifier, n)
    ORDER BY n
""")


class Unreadable(str):
    """A date or time as PostgreSQL writes it, that Python's own cannot hold: "infinity", "0044-03-15 BC"."""

    __slots__ = ()


class _Type(NamedTuple):
    is_domain: bool
    base: int  # of a domain
    modifier: int  # of a domain's base
    element: int | None  # of an array
    name: str


def select_columns(
    connection: Connection, given: Sequence[tuple[str, int, int]], cell: Callable[[str], str], *, text_in_utf8: bool
) -> list[Selected]:
    """Return how columns are read, given their names, type numbers and type modifiers."""
    numbers = {"oids": [oid for _, oid, _ in given], "modifiers": [modifier for _, _, modifier in given]}
    rows = connection.execute(_TYPES, {"oids": numbers["oids"]})
    types = {oid: _Type(*others) for oid, *others in rows}
    declared = connection.execute(_DECLARED, numbers).scalars().all()
    return [
        _selected(column, words, types, cell(column[0]), text_in_utf8=text_in_utf8)
        for column, words in zip(given, declared, strict=True)
    ]


def _selected(
    given: tuple[str, int, int], declared: str, types: Mapping[int, _Type], cell: str, *, text_in_utf8: bool
) -> Selected:
    name, oid, modifier = given
    oid, modifier = _base(oid, modifier, types)
    element = types[oid].element
    if element is not None:
        oid, modifier = _base(element, modifier, types)
    kind, cast = _KINDS.get(oid, _OTHERS)
    if element not in (None, oid):  # an array of a domain, which psycopg does not know
        cast = cast or types[oid].name
    precision, scale = _digits(modifier) if oid == _NUMERIC and element is None else (None, None)
    column = Column(
        name=name,
        kind=kind if element is None else Kind.ARRAY,
        declared=declared,
        precision=precision,
        scale=scale,
        element=None if element is None else kind,
    )
    suffix = "" if element is None else "[]"
    expression = f"{cell}::{cast}{suffix}" if cast else cell
    order = cell
    if column.kind == Kind.TEXT and oid != _UUID:  # a UUID's own order is that of its text
        order = f'{expression} COLLATE "C"' if text_in_utf8 else f"convert_to({expression}, 'UTF8')"
    check = _check(kind, precision)  # of an array's numbers none: they are published as text, NaN too
    return Selected(column, expression, order, check if element is None else _each(check))


def _base(oid: int, modifier: int, types: Mapping[int, _Type]) -> tuple[int, int]:
    while types[oid].is_domain:
        oid, modifier = types[oid].base, types[oid].modifier
    return oid, modifier


def _digits(modifier: int) -> tuple[int | None, int | None]:
    """Return precision and scale as Column has them; PostgreSQL's scale may be negative or above the precision.

    Source: ``make_numeric_typmod`` in src/backend/utils/adt/numeric.c.
    """
    if modifier < 0:
        return None, None
    digits, scale = (modifier - 4) >> 16 & 0xFFFF, ((modifier - 4 & 0x7FF) ^ 1024) - 1024
    precision, scale = (digits - scale, 0) if scale < 0 else (max(digits, scale), scale)
    return (precision, scale) if precision <= _MOST_DIGITS else (None, None)


def _check(kind: Kind, precision: int | None) -> Callable[[Any], Any] | None:
    if kind in _TIMES:
        return _readable
    return _finite if kind == Kind.DECIMAL and precision is not None else None


def _readable(value: Any) -> Any:
    if isinstance(value, Unreadable):
        raise UnfitError(f"{value}, which no Parquet file can hold,")
    return value


def _finite(value: Any) -> Any:
    if not value.is_finite():
        raise UnfitError(f"{value}, which is no number,")
    return value


def _each(check: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    def convert(values: Any) -> Any:
        for value in values:
            if isinstance(value, list):
                raise UnfitError("an array of more than one dimension")
            if check is not None and value is not None:
                check(value)
        return values

    return convert
