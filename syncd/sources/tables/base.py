"""The words that reading a table and publishing it share. Standard library only: drivers and Parquet are extras.

Rows come in the order of their keys, ascending: integers, decimals and times by value, text by its UTF-8 bytes
(whatever the database's collation says), bytes as they are. No key is NULL and none comes twice; who reads checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from syncd.errors import SourceUnavailableError, SyncdError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
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
