"""What the databases share: how one is connected to, and what each must know of itself."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from syncd.sources.tables.base import Column, TableFaultError
from syncd.sources.tables.dialect_errors import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from sqlalchemy import URL, Connection, CursorResult

    from syncd.errors import SyncdError
    from syncd.sources.tables.base import ChangeAware
    from syncd.sources.tables.dialect_reading import Source

CONNECT_SECONDS = 5
ROWS = "q"  # what the table or query is called in a statement


class Selected(NamedTuple):
    """A column, and how it is read."""

    column: Column
    expression: str  # what is selected for it
    order: str  # by what the rows are ordered if it is the key
    convert: Callable[[Any], Any] | None = None  # of what the driver gives, except None; may raise UnfitError


class Dialect(ABC):
    """One kind of database, at one address. Not for several threads at once."""

    driver_errors: ClassVar[tuple[type[Exception], ...]]
    can_tell: ClassVar[bool] = True  # whether ``probe`` is of use

    def __init__(self, url: URL, statement_timeout_s: float) -> None:
        self.address, self.url, self.statement_timeout_s = Address(url), url, statement_timeout_s
        self.engine = create_engine(url, poolclass=NullPool, hide_parameters=True, **self.engine_options())

    @classmethod
    def of(cls, url: str, statement_timeout_s: float) -> Self:
        """Return the dialect for a URL with SQLAlchemy's name of it.

        Raises:
            TableFaultError: The URL cannot be used.
        """
        try:
            return cls(make_url(url), statement_timeout_s)
        except (ArgumentError, ValueError):  # their texts hold the URL or parts of it
            raise TableFaultError(
                "The database URL cannot be parsed",
                cause="A password with one of @ : / ? # % in it must be percent-encoded",
                next_step="write it as postgresql://user:password@host:port/database",
            ) from None

    @abstractmethod
    def engine_options(self) -> dict[str, Any]:
        """Return what the engine is made with: time limits, keep-alives."""

    def connect(self) -> Connection:
        """Return a new connection.

        Raises:
            TableUnavailableError: The database does not answer, or not now.
            TableFaultError: The URL or the credentials are wrong.
        """
        with self.translated():
            return self.engine.connect()

    @abstractmethod
    def begin(self, connection: Connection) -> None:
        """Begin a transaction that sees one moment and cannot write."""

    @abstractmethod
    def describe(self, connection: Connection, source: Source) -> Sequence[Selected]:
        """Return the columns, in their order, as the database declares them."""

    @abstractmethod
    def explain(self, error: Exception) -> SyncdError:
        """Return what a driver's error means."""

    def identity(self) -> Hashable:
        """Return what the kept connection for probes is a connection to; another one is then opened for another."""
        return None

    @abstractmethod
    def probe(self, connection: Connection, source: Source) -> Hashable | None:
        """Return the state as the kept connection, which is in autocommit, sees it, or None where it cannot be told."""

    def changes(self, key_position: int) -> ChangeAware | None:  # noqa: ARG002 - for those that can tell
        """Return what tells of changes in the reading under way; None where that cannot be told."""
        return None

    def let_go(self, connection: Connection, result: CursorResult[Any] | None = None) -> None:
        """Close a connection at once, whatever it is in the middle of."""
        with contextlib.suppress(SQLAlchemyError, *self.driver_errors):
            if result is not None:
                result.close()
        with contextlib.suppress(SQLAlchemyError, *self.driver_errors):
            connection.invalidate()  # closed without a word more than needed; the server rolls back
        connection.close()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours; one of SQLAlchemy's own would be a mistake here.

        Raises:
            TableUnavailableError: The database does not answer, or not now.
            TableFaultError: Someone must change something.
        """
        try:
            yield
        except (DBAPIError, *self.driver_errors) as error:  # type: ignore[misc] # mypy reads no tuple with a star here
            original = error.orig if isinstance(error, DBAPIError) else None
            raise self.explain(original if isinstance(original, Exception) else error) from None

    def quoted(self, name: str) -> str:
        """Return a name as an identifier."""
        text = self.engine.dialect.identifier_preparer.quote_identifier(name)
        # doubled for statements with parameters, which ours have not
        return text.replace("%%", "%") if "format" in self.engine.dialect.paramstyle else text

    def table_names(self, schema: str | None) -> list[str]:
        """Return the tables and views there are, for a hint."""
        with self.translated():
            inspector = inspect(self.engine)
            return [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]

    def from_clause(self, source: Source) -> str:
        """Return the table or query as it stands after FROM."""
        if source.query is not None:  # on lines of its own: it may end in a comment
            return f"(\n{source.query}\n) AS {ROWS}"
        return f"{self.table(source)} AS {ROWS}"

    def table(self, source: Source) -> str:
        """Return the table's name as an identifier, with its schema if it was given."""
        return ".".join(map(self.quoted, filter(None, (source.schema, source.table))))

    def cell(self, name: str) -> str:
        """Return a column as an identifier."""
        return f"{ROWS}.{self.quoted(name)}"
