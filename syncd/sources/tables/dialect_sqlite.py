"""SQLite: one file, opened for reading only, in one deferred read transaction."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from syncd.sources.tables.base import TableFaultError
from syncd.sources.tables.dialect_base import CONNECT_SECONDS, Dialect, Selected
from syncd.sources.tables.dialect_errors import MissingTableError
from syncd.sources.tables.dialect_sqlite_types import declared_columns, decode, queried_columns

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from sqlalchemy import URL, Connection

    from syncd.errors import SyncdError
    from syncd.sources.tables.dialect_reading import Source

_STEPS = 100_000  # of SQLite's virtual machine between two looks at the clock: some milliseconds
_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_SCHEMA"}
_GONE = {"SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_FULL", "SQLITE_READONLY"}
_NO_DATABASE = {"SQLITE_NOTADB", "SQLITE_CORRUPT"}


class SqliteDialect(Dialect):
    """SQLite. A connection may go from thread to thread, as ``TableDatabase`` does: one call at a time."""

    driver_errors = (sqlite3.Error, OSError)

    def __init__(self, url: URL, statement_timeout_s: float) -> None:
        self._path = Path(url.database or "").absolute()  # a later change of the working directory changes nothing
        self._deadline = 0.0  # monotonic
        if not url.database or url.database == ":memory:" or url.host:
            raise TableFaultError("The database URL names no file", next_step="write it as sqlite:////absolute/path")
        super().__init__(url, statement_timeout_s)

    def engine_options(self) -> dict[str, Any]:
        """See ``Dialect.engine_options``."""
        return {"creator": self._connect}

    def _connect(self) -> sqlite3.Connection:
        self._path.stat()  # its error says more than SQLite's
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=ro",
            uri=True,
            timeout=CONNECT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
        connection.text_factory = decode
        connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _STEPS)
        return connection

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """See ``Dialect.translated``; the time limit begins anew."""
        self._deadline = time.monotonic() + self.statement_timeout_s
        with super().translated():
            yield

    def begin(self, connection: Connection) -> None:
        """See ``Dialect.begin``. The first SELECT then sets the moment that is seen."""
        connection.exec_driver_sql("BEGIN")

    def describe(self, connection: Connection, source: Source) -> Sequence[Selected]:
        """See ``Dialect.describe``."""
        run = connection.execution_options(no_parameters=True).exec_driver_sql
        origin = self.from_clause(source)
        if source.query is not None:
            names = list(run(f"SELECT * FROM {origin} LIMIT 0").keys())  # noqa: S608 - as configured
            return queried_columns(run, names, origin, self.cell)
        schema = f"{self.quoted(source.schema)}." if source.schema else ""
        columns = run(f"PRAGMA {schema}table_xinfo({self.quoted(source.table or '')})").all()
        if not columns:
            raise MissingTableError(f"{self.address.name} has no table {self.table(source)}")
        return declared_columns(run, columns, origin, self.cell)

    def identity(self) -> Hashable:
        """Return which file stands at the path."""
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def probe(self, connection: Connection, source: Source) -> Hashable | None:
        """Return the counter of other connections' commits, which one connection sees grow with each of them.

        In WAL mode it comes from the log's index, which all connections share. It is not told of a query or a view,
        which may read the clock, nor of a virtual table, whose rows may be anywhere.
        """
        if source.query is not None:
            return None
        run = connection.execution_options(no_parameters=True).exec_driver_sql
        version = run("PRAGMA data_version").scalar_one()
        schema = f"{self.quoted(source.schema)}." if source.schema else ""
        name = (source.table or "").replace("'", "''")
        plain = run(
            f"SELECT count(*) FROM {schema}sqlite_master WHERE lower(name) = lower('{name}')"  # noqa: S608 - quoted
            " AND type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        ).scalar_one()
        return int(version) if plain else None

    def explain(self, error: Exception) -> SyncdError:  # noqa: PLR0911 - one for each meaning
        """See ``Dialect.explain``."""
        address = self.address
        if isinstance(error, OSError):
            return address.unavailable("cannot be read", error.strerror or "", next_step="is the disk mounted?")
        name = getattr(error, "sqlite_errorname", "")
        primary = "_".join(name.split("_")[:2])
        if primary == "SQLITE_INTERRUPT":
            return address.unavailable(f"took longer than the limit of {self.statement_timeout_s:g} s for a batch")
        if primary in _BUSY:
            return address.unavailable("is locked by a program that writes to it", error)
        if primary in _GONE:
            return address.unavailable("cannot be read now", f"{error} ({name})")
        if primary in _NO_DATABASE:
            return address.fault(
                "is no SQLite database, or damaged", error, next_step="check it: PRAGMA integrity_check"
            )
        if "no such table" in str(error):
            return MissingTableError(f"{address.name} has no such table", cause=address.clean(error))
        return address.fault("refuses the statement", error, next_step="correct the table or the query")


DIALECT = SqliteDialect
