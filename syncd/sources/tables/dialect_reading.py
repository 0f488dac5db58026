"""Reading one table or query through a dialect: in one transaction, a batch at a time, each row checked."""

from __future__ import annotations

import contextlib
import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from syncd.sources.tables.base import KEY_KINDS, TableFaultError, TableUnavailableError
from syncd.sources.tables.dialect_errors import MissingTableError, UnfitError, nearest, value_shown
from syncd.sources.tables.row_width import FIRST_ROWS, MOST_ROWS, rows_to_fetch

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from sqlalchemy import Connection, CursorResult

    from syncd.sources.tables.base import ChangeAware, Column, Row, TableReading
    from syncd.sources.tables.dialect_base import Dialect, Selected

_BLANK = r"(?:\s|--[^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z)|/\*(?!!).*?\*/)"  # "/*!" is a comment that MySQL executes
_SELECT = re.compile(rf"{_BLANK}*+(?:\({_BLANK}*+)*+(select|with|values)\b", re.IGNORECASE | re.DOTALL)
_CORRECT = "correct the row, or leave it out with a query"


class Source(NamedTuple):
    """What is read: a table, or a query."""

    schema: str | None
    table: str | None
    query: str | None

    @classmethod
    def of(cls, table: str | None, query: str | None) -> Self:
        """Return the source for one of the two.

        Raises:
            TableFaultError: The query does not begin as one does that only reads.
        """
        if query is None:
            schema, _, name = (table or "").rpartition(".")
            return cls(schema or None, name, None)
        query = query.strip().rstrip("; \t\r\n")
        if not _SELECT.match(query):
            raise TableFaultError(
                f"The query begins with {value_shown(query[:30])}, and syncd only reads",
                next_step="write it as one SELECT (or WITH ... SELECT, or VALUES)",
            )
        return cls(None, None, query)

    def __str__(self) -> str:
        """Return the table's name as it was given, or "the query"."""
        return ".".join(filter(None, (self.schema, self.table))) if self.query is None else "the query"


class SqlDatabase:
    """One table or query of one database; implements ``TableDatabase``. One connection for each read."""

    def __init__(self, dialect: Dialect, source: Source, key: str) -> None:
        self._dialect, self._source, self._key = dialect, source, key
        self._kept: Connection | None = None  # for probes
        self._identity: Hashable = None  # what it is connected to
        self._nonce = ""  # of the kept connection: nothing is concluded across two

    def probe(self) -> Hashable | None:
        """See ``TableDatabase.probe``; None too for a table with a fault, which a read then names.

        Equal tokens come from one connection: after a restart, a failover or a crash there is another.
        """
        if not self._dialect.can_tell:
            return None
        try:
            with self._dialect.translated():
                identity = self._dialect.identity()
                if self._kept is not None and identity == self._identity:
                    with contextlib.suppress(TableUnavailableError):
                        return self._ask()
                self.close()
                kept = self._dialect.connect()
                # in autocommit: no snapshot is held between two probes
                self._kept, self._identity = kept.execution_options(isolation_level="AUTOCOMMIT"), identity
                self._nonce = uuid.uuid4().hex
                return self._ask()
        except TableFaultError:
            self.close()
            return None
        except TableUnavailableError:
            self.close()
            raise

    def _ask(self) -> Hashable | None:
        if self._kept is None:
            return None
        with self._dialect.translated():
            state = self._dialect.probe(self._kept, self._source)
            return None if state is None else (self._nonce, self._identity, state)

    @contextlib.contextmanager
    def read(self) -> Iterator[TableReading]:
        """See ``TableDatabase.read``."""
        connection = self._dialect.connect()
        reading: SqlReading | None = None
        try:
            with self._named(), self._dialect.translated():
                self._dialect.begin(connection)
                selected = self._dialect.describe(connection, self._source)
            reading = SqlReading(self._dialect, connection, self._source, selected, self._position(selected))
            yield reading
        finally:
            self._dialect.let_go(connection, reading.result if reading else None)

    def close(self) -> None:
        """See ``TableDatabase.close``."""
        if self._kept is not None:
            self._dialect.let_go(self._kept)
            self._kept = None

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Say of a missing table which others there are."""
        try:
            yield
        except MissingTableError as error:
            names = [] if self._source.query is not None else self._dialect.table_names(self._source.schema)
            raise TableFaultError(
                error.fact, cause=error.cause, next_step=nearest(self._source.table or "", names)
            ) from None

    def _position(self, selected: Sequence[Selected]) -> int:
        where = f"{self._dialect.address.name}, {self._source}"
        names = [one.column.name for one in selected]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise TableFaultError(
                f"{where}: two columns are named {value_shown(doubled[0])}",
                next_step="give each column a name of its own with AS",
            )
        if self._key not in names:
            raise TableFaultError(
                f"{where}: there is no column {value_shown(self._key)}", next_step=nearest(self._key, names)
            )
        column = selected[names.index(self._key)].column
        if column.kind not in KEY_KINDS:
            raise TableFaultError(
                f"{where}: the key column {value_shown(self._key)} has the type {column.declared},"
                " which does not make keys",
                next_step="choose a column of numbers, text, bytes, dates or timestamps",
            )
        return names.index(self._key)


class SqlReading:
    """One consistent read, under way; implements ``TableReading``."""

    def __init__(
        self, dialect: Dialect, connection: Connection, source: Source, selected: Sequence[Selected], key_position: int
    ) -> None:
        self._dialect, self._connection, self._source = dialect, connection, source
        self._selected, self._key = selected, selected[key_position].column
        self.columns: Sequence[Column] = [one.column for one in selected]
        self.key_position = key_position
        self.result: CursorResult[Any] | None = None  # of the statement, once it was sent
        self._conversions = [(n, one.convert) for n, one in enumerate(selected) if one.convert]

    @property
    def changes(self) -> ChangeAware | None:
        """What the database tells of changes besides the rows; None where it tells nothing."""
        return self._dialect.changes(self.key_position)

    def batches(self) -> Iterator[Sequence[Row]]:
        """See ``TableReading.batches``."""
        last = None
        for rows in self._fetched():
            batch = [self._fitted(row) for row in rows]
            last = self._checked(batch, last)
            yield batch

    def _fetched(self) -> Iterator[Sequence[Any]]:
        columns = ", ".join(f"{one.expression} AS c{n}" for n, one in enumerate(self._selected))
        statement = (
            f"SELECT {columns} FROM {self._dialect.from_clause(self._source)}"  # noqa: S608 - names are quoted
            f" ORDER BY {self._selected[self.key_position].order}"
        )
        with self._dialect.translated():
            streaming = self._connection.execution_options(stream_results=True, yield_per=MOST_ROWS, no_parameters=True)
            self.result = streaming.exec_driver_sql(statement)
        count = FIRST_ROWS
        while True:
            with self._dialect.translated():
                rows = self.result.fetchmany(count)
            if not rows:
                return
            count = rows_to_fetch(rows)
            yield rows

    def _fitted(self, row: Any) -> Row:
        values = list(row)
        for position, convert in self._conversions:
            if values[position] is not None:
                try:
                    values[position] = convert(values[position])
                except UnfitError as error:
                    raise self._fault(self._unfit(position, values, error), next_step=_CORRECT) from None
        return tuple(values)

    def _unfit(self, position: int, values: Sequence[Any], error: UnfitError) -> str:
        column = self._selected[position].column
        where = "its key" if position == self.key_position else f"the row with the key {self._shown_key(values)}"
        return f"the column {value_shown(column.name)} ({column.declared}) holds {error} in {where}"

    def _shown_key(self, values: Sequence[Any]) -> str:
        return value_shown(values[self.key_position])

    def _checked(self, batch: Sequence[Row], last: Any) -> Any:
        """Hold each key against the one before it, and return the last one, both as they compare."""
        position, as_bytes = self.key_position, self._key.kind == "text"
        for row in batch:
            key = row[position]
            if key is None:
                raise self._fault(f"the key column {value_shown(self._key.name)} holds NULL", next_step=_CORRECT)
            if isinstance(key, Decimal) and not key.is_finite():
                raise self._fault(f"the key column {value_shown(self._key.name)} holds {key}", next_step=_CORRECT)
            compared = key.encode() if as_bytes else key
            if last is not None and not last < compared:
                if last != compared:
                    raise self._fault(f"the rows do not come in the order of their keys at {value_shown(key)}")
                raise self._fault(
                    f"the key column {value_shown(self._key.name)} holds {value_shown(key)} twice",
                    next_step="choose a column whose values are unique, or correct the rows",
                )
            last = compared
        return last

    def _fault(self, fact: str, *, next_step: str = "") -> TableFaultError:
        return TableFaultError(f"{self._dialect.address.name}, {self._source}: {fact}", next_step=next_step)
