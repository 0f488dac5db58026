"""SQLite's types: any value may stand in any column, so each is held against what its column is published as.

A column declared INTEGER, REAL, TEXT, BLOB or BOOLEAN is that. Any other, and each of a query, is what its values are:
one pass over them in the same transaction tells.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from syncd.sources.tables.base import Column, Kind
from syncd.sources.tables.dialect_base import Selected
from syncd.sources.tables.dialect_errors import UnfitError, value_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import CursorResult

    Run = Callable[[str], CursorResult[Any]]

_HIDDEN = 1  # of a virtual table; generated columns have 2 and 3, and are part of ``SELECT *``
_AT_A_TIME = 200  # columns in one pass; SQLite takes 2,000 results
# in order of precedence where values are mixed; source: "The typeof() function" in SQLite's documentation
_STORED = {"text": Kind.TEXT, "blob": Kind.BYTES, "real": Kind.FLOAT, "integer": Kind.INTEGER}


class NotUnicode(bytes):
    """Text that is not UTF-8."""

    __slots__ = ()


def decode(raw: bytes) -> str | NotUnicode:
    """Return the text of SQLite's bytes, for a connection's ``text_factory``."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return NotUnicode(raw)


def declared_columns(
    run: Run, columns: Iterable[Sequence[Any]], origin: str, cell: Callable[[str], str]
) -> list[Selected]:
    """Return how a table's columns are read, given the rows of ``PRAGMA table_xinfo``."""
    declared = {name: words for _, name, words, _, _, _, hidden in columns if hidden != _HIDDEN}
    kinds = {name: kind for name, words in declared.items() if (kind := _declared_kind(words)) is not None}
    open_names = [name for name in declared if name not in kinds]
    found = _stored_kinds(run, open_names, origin, cell)
    for name in open_names:
        kinds[name] = found.get(name) or _kind_of_none(declared[name])
        if kinds[name] == Kind.TEXT and "JSON" in declared[name].upper():
            kinds[name] = Kind.JSON
    return [_selected(name, kinds[name], words, cell) for name, words in declared.items()]


def queried_columns(run: Run, names: Sequence[str], origin: str, cell: Callable[[str], str]) -> list[Selected]:
    """Return how a query's columns are read."""
    kinds = _stored_kinds(run, names, origin, cell)
    return [_selected(name, kinds.get(name, Kind.TEXT), "", cell) for name in names]


def _selected(name: str, kind: Kind, words: str, cell: Callable[[str], str]) -> Selected:
    column = Column(name=name, kind=kind, declared=words or f"{kind.value}, as its values are")
    order = f"{cell(name)} COLLATE BINARY" if kind == Kind.TEXT else cell(name)
    return Selected(column, cell(name), order, _CONVERSIONS[kind])


def _declared_kind(words: str) -> Kind | None:
    """Return what a declared type alone decides; source: "Determination Of Column Affinity" in SQLite's docs."""
    words = words.upper()
    if "BOOL" in words:
        return Kind.BOOLEAN
    for kind, parts in (
        (Kind.INTEGER, ("INT",)),
        (Kind.TEXT, ("CHAR", "CLOB", "TEXT")),
        (Kind.BYTES, ("BLOB",)),
        (Kind.FLOAT, ("REAL", "FLOA", "DOUB")),
    ):
        if any(part in words for part in parts):
            return kind
    return None


def _kind_of_none(words: str) -> Kind:
    """Return what a column is published as while it holds nothing."""
    return Kind.FLOAT if any(part in words.upper() for part in ("NUM", "DEC")) else Kind.TEXT


def _stored_kinds(run: Run, names: Sequence[str], origin: str, cell: Callable[[str], str]) -> dict[str, Kind]:
    """Return for each column that holds anything what that is."""
    kinds: dict[str, Kind] = {}
    for start in range(0, len(names), _AT_A_TIME):
        some = names[start : start + _AT_A_TIME]
        wanted = list(itertools.product(some, _STORED.items()))
        tests = ", ".join(f"max(typeof({cell(name)}) = '{stored}')" for name, (stored, _) in wanted)
        answers = run(f"SELECT {tests} FROM {origin}").one()  # noqa: S608 - names are quoted
        for (name, (_, kind)), answer in zip(wanted, answers, strict=True):
            if answer:
                kinds.setdefault(name, kind)
    return kinds


def _instance_of(accepted: type, kind: Kind) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if type(value) is not accepted:
            raise _unfit(value, kind)
        return value

    return convert


def _float(value: Any) -> float:
    if type(value) is int and float(value) == value:
        return float(value)
    if type(value) is not float:
        raise _unfit(value, Kind.FLOAT)
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not int or value not in (0, 1):
        raise _unfit(value, Kind.BOOLEAN)
    return value == 1


def _unfit(value: Any, kind: Kind) -> UnfitError:
    if isinstance(value, NotUnicode):
        return UnfitError(f"text that is not UTF-8 ({value_shown(bytes(value))})")
    return UnfitError(f"{_NAMES[type(value)]} {value_shown(value)} instead of {kind.value}")


_NAMES = {int: "the integer", float: "the number", str: "the text", bytes: "the bytes"}
_CONVERSIONS = {
    Kind.INTEGER: _instance_of(int, Kind.INTEGER),
    Kind.TEXT: _instance_of(str, Kind.TEXT),
    Kind.JSON: _instance_of(str, Kind.JSON),
    Kind.BYTES: _instance_of(bytes, Kind.BYTES),
    Kind.FLOAT: _float,
    Kind.BOOLEAN: _boolean,
}
