"""The words that reading a table and publishing it share. Standard library only: drivers and Parquet are extras.

Rows come in the order of their keys, ascending: integers, decimals and times by value, text by its UTF-8 bytes
(whatever the database's collation says), bytes as they are. No key is NULL and none comes twice; who reads checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from syncd.errors import SourceUnavailableError, SyncdError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

WHOLE = ""  # the name of the only piece of a table that is not cut into parts
Row = tuple[Any, ...]  # one value for each column, None for NULL, else as its kind says


class Kind(StrEnum):
    """What a column holds, and as which Python value it comes."""

    BOOLEAN = "boolean"  # bool
    INTEGER = "integer"  # int, within 64 bits signed
    DECIMAL = "decimal"  # decimal.Decimal with ``precision`` digits, ``scale`` of them after the point; see Column
    FLOAT = "float"  # float, 64 bits
    TEXT = "text"  # str; also UUIDs, enumerations, addresses, intervals: their text
    BYTES = "bytes"  # bytes
    DATE = "date"  # datetime.date
    TIME = "time"  # datetime.time without zone
    TIMESTAMP = "timestamp"  # datetime without zone
    TIMESTAMP_TZ = "timestamp with time zone"  # datetime in UTC
    JSON = "json"  # str: the text of the document
    ARRAY = "array"  # list of values of ``element``'s kind, None within allowed; one dimension


KEY_KINDS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.TEXT, Kind.BYTES, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMP_TZ})


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table, as published."""

    name: str
    kind: Kind
    declared: str  # the type in the database's own words: "numeric(10,2)", "character varying(20)"
    precision: int | None = None  # of a DECIMAL, 1 to 76, and None for one without limits, which is published as text
    scale: int | None = None  # of a DECIMAL, 0 to precision
    element: Kind | None = None  # of an ARRAY


class TableUnavailableError(SourceUnavailableError):
    """The database does not answer, or not now: nothing may be concluded about the table."""


class TableChangingError(TableUnavailableError):
    """The table's file is being written: it is looked at again soon, and nothing is wrong with it."""


class TableFaultError(SyncdError):
    """The database answers, and what it says cannot be published; someone must change something.

    Wrong credentials, no such table or column, an unsupported type, a key that is NULL or not unique. The text names
    where, the likely cause and the next step; never a password.
    """


class TableReading(Protocol):
    """One consistent read, under way."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns, in the table's order."""

    @property
    def key_position(self) -> int:
        """Where in a row its key stands."""

    def batches(self) -> Iterator[Sequence[Row]]:
        """Yield all rows in the order of their keys, a bounded number at a time, once.

        Raises:
            TableUnavailableError: The connection was lost.
            TableFaultError: A key is NULL or comes twice, a value does not fit its column's kind.
        """


class KeyRange(NamedTuple):
    """The rows from one key on, up to another one that is not among them."""

    begin: Any | None  # None: from the first row on
    end: Any | None  # None: up to the last row


class Tally(NamedTuple):
    """The rows between two keys, counted."""

    rows: Mapping[int, int]  # how many, by which table of a family (partitions, heirs) has them; none that has none
    may_be_new: bool  # False: for certain, each of them was among the rows of the earlier reading


@runtime_checkable
class ChangeAware(Protocol):
    """What some databases can tell within one reading besides its rows: all of it as of the reading's one moment.

    Keys are those of rows, as ``TableReading`` gives them.
    """

    def mark(self) -> Hashable | None:
        """Return what a later reading is to be compared with; None: changes of this table cannot be told."""

    def tally(self, begins: Sequence[Any], since: Hashable | None) -> Sequence[Tally] | None:
        """Count the rows before the first of the keys, from each one to the next, and from the last one on.

        Args:
            begins: Ascending.
            since: The mark of an earlier reading, to tell which rows may be new; None: none is told to be.

        Returns:
            One more than there are keys. None: nothing can be told, or not since then; or a row has no key.
        """

    def present(self, keys: Sequence[Any]) -> Sequence[bool]:
        """Return of each key whether there is a row with it."""

    def rows(self, ranges: Sequence[KeyRange]) -> TableReading:
        """Return a reading of the rows in these ranges alone, which are ascending and do not touch."""


class TableDatabase(Protocol):
    """One table or query of one database. Blocks: for threads, one call at a time."""

    def probe(self) -> Hashable | None:
        """Return a token of the database's state.

        Equal to the one taken before an earlier read: for certain nothing has changed since. None: it cannot be told.

        Raises:
            TableUnavailableError: The database does not answer.
        """

    def read(self) -> AbstractContextManager[TableReading]:
        """Begin one consistent read: everything in it is as of one moment between transactions.

        Raises:
            TableUnavailableError: The database does not answer.
            TableFaultError: The table cannot be read as configured.
        """

    def close(self) -> None:
        """Give back the connections."""
