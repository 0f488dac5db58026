"""PostgreSQL, from 13 on, through psycopg 3: a server-side cursor in a REPEATABLE READ, READ ONLY transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.adapt import Loader
from psycopg.pq import Format
from sqlalchemy import event, text

from syncd.sources.tables.dialect_base import CONNECT_SECONDS, Dialect, Selected
from syncd.sources.tables.dialect_errors import MissingTableError
from syncd.sources.tables.dialect_postgres_types import Unreadable, select_columns
from syncd.sources.tables.postgres_changes import PostgresChanges

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from psycopg.abc import AdaptContext, Buffer
    from sqlalchemy import URL, Connection

    from syncd.errors import SyncdError
    from syncd.sources.tables.base import ChangeAware
    from syncd.sources.tables.dialect_reading import Source

_DEFAULTS = {  # of libpq, unless the URL says otherwise; see "Parameter Key Words" in its documentation
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "syncd",
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "client_encoding": "utf8",
}
_SESSION = {  # so that values have one form whatever the server's and the user's settings are
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "cursor_tuple_fraction": "1",  # all rows will be fetched
}
_PROBE_SECONDS = 30
_TIMES = ("date", "time", "timestamp", "timestamptz")
_UNAVAILABLE = re.compile("08|53|57|58|40|55|25P0[34]")  # of SQLSTATE; see appendix A of PostgreSQL's documentation
_NO_TABLE = ("42P01", "3F000")
_STOPPED = "57014"
_NO_PERMISSION = "42501"
# libpq gives no SQLSTATE for a connection that was refused, only the server's words
_WRONG_CREDENTIALS = re.compile(
    r'authentication failed|no password supplied|role ".*" (does not exist|is not permitted)'
)
_NO_DATABASE = re.compile(r'database ".*" does not exist')
_REFUSED = re.compile(
    r"pg_hba\.conf|permission denied for database|certificate|does not support SSL|SSL (error|connection is required)"
    r"|root\.crt|invalid connection option|invalid .* value|private key file"
)

_PROBE = text("""
    SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text END,
           (WITH RECURSIVE family AS (
                SELECT to_regclass(:table)::oid AS oid
                UNION SELECT inhrelid FROM family JOIN pg_inherits ON inhparent = family.oid)
            SELECT bool_and(relkind IN ('r', 'p', 'm') AND relpersistence = 'p' AND NOT relrowsecurity)
            FROM family JOIN pg_class USING (oid))
""")


class PostgresDialect(Dialect):
    """PostgreSQL."""

    driver_errors = (psycopg.Error, UnicodeDecodeError)

    def __init__(self, url: URL, statement_timeout_s: float) -> None:
        super().__init__(url, statement_timeout_s)
        event.listen(self.engine, "connect", _prepare)
        self._described: tuple[Connection, Source, Sequence[Selected]] | None = None  # last, if the table is locked

    def engine_options(self) -> dict[str, Any]:
        """See ``Dialect.engine_options``. Nothing is prepared, so that PgBouncer may stand in between."""
        given = {option: value for option, value in _DEFAULTS.items() if option not in self.url.query}
        return {"connect_args": {**given, "prepare_threshold": None}, "use_native_hstore": False}

    def connect_arguments(self) -> dict[str, Any]:
        """Return what psycopg connects with when SQLAlchemy has no part in it."""
        _, options = self.engine.dialect.create_connect_args(self.url)
        return {**dict(options), **self.engine_options()["connect_args"], "context": None}

    def begin(self, connection: Connection) -> None:
        """See ``Dialect.begin``. The time limit is for each batch; SET LOCAL holds behind PgBouncer too.

        No snapshot is taken by that, which SELECT set_config() would: a table is locked before.
        """
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        settings = {**_SESSION, "statement_timeout": f"{round(self.statement_timeout_s * 1000)}ms"}
        connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items()))

    def describe(self, connection: Connection, source: Source) -> Sequence[Selected]:
        """See ``Dialect.describe``.

        The extended protocol, which binary asks for, takes one statement only: a query that ends itself and begins
        another one is refused here.
        """
        is_locked = source.query is None and self._lock(connection, source)
        with connection.connection.driver_connection.cursor() as cursor:  # type: ignore[union-attr] # it is connected
            statement = f"SELECT * FROM {self.from_clause(source)} LIMIT 0"  # noqa: S608 - the name is quoted
            cursor.execute(statement, binary=True)
            given = [
                (column.name, column.type_code, cursor.pgresult.fmod(n))
                for n, column in enumerate(cursor.description or ())
            ]
            by_bytes = cursor.connection.info.parameter_status("server_encoding") == "UTF8"
        selected = select_columns(connection, given, self.cell, text_in_utf8=by_bytes)
        self._described = (connection, source, selected) if is_locked else None
        return selected

    def changes(self, key_position: int) -> ChangeAware | None:
        """Return what tells of changes in the reading that was described last; None where that is not possible."""
        return None if self._described is None else PostgresChanges(self, *self._described, key_position)

    def ask(self, connection: Connection, statement: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        """Return what a statement gives, all of it."""
        driver: Any = connection.connection.driver_connection
        found: list[Any] = driver.execute(statement, parameters).fetchall()
        return found

    def literal(self, connection: Connection, value: Any) -> str:
        """Return a value as it stands in a statement."""
        driver: Any = connection.connection.driver_connection
        return sql.Literal(value).as_string(driver)

    def _lock(self, connection: Connection, source: Source) -> bool:
        """Lock the table against all that is not MVCC, as the reading itself would a moment later; return whether.

        TRUNCATE and what rewrites a table are seen by snapshots that are older than they are. With the lock first,
        the reading's snapshot is not.
        """
        driver: Any = connection.connection.driver_connection
        driver.execute("SAVEPOINT unlocked")
        try:
            driver.execute(f"LOCK TABLE {self.table(source)} IN ACCESS SHARE MODE")
        except (psycopg.errors.WrongObjectType, psycopg.errors.InsufficientPrivilege):  # a foreign table; a few columns
            driver.execute("ROLLBACK TO SAVEPOINT unlocked")
            return False
        driver.execute("RELEASE SAVEPOINT unlocked")
        return True

    def probe(self, connection: Connection, source: Source) -> Hashable | None:
        """Return the snapshot, when that says for certain that nothing was committed since.

        A snapshot is ``xmin:xmax:xip``: below xmax every transaction has ended but those in xip, from xmax on none
        has. Who writes has a number. If it ends, it leaves xip, or xmax grows beyond it; so as long as the text is
        the same, the same transactions are under way and none was committed in between, not even one that began
        before the first of the two. A standby's snapshot has no xip; there the position in the replayed log is added,
        which is moved on right after a commit became visible.

        That holds for what is written in this database by transactions. It is not told of a query or a view, which
        may read the clock or another server; nor where rows come from foreign tables, depend on policies, or are
        lost without a transaction (unlogged tables, after a crash).
        """
        if source.query is not None:
            return None
        connection.exec_driver_sql("BEGIN READ ONLY")  # for SET LOCAL; it ends at once, or with the connection
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_PROBE_SECONDS}s'")
        snapshot, started, replayed, plain = connection.execute(_PROBE, {"table": self.table(source)}).one()
        connection.exec_driver_sql("COMMIT")
        return (snapshot, started, replayed) if plain else None

    def explain(self, error: Exception) -> SyncdError:  # noqa: PLR0911 - one for each meaning
        """See ``Dialect.explain``."""
        address, state = self.address, getattr(error, "sqlstate", None) or ""
        if state == _STOPPED:
            return address.unavailable(
                f"stopped a statement; the limit is {self.statement_timeout_s:g} s", error, next_step="ask for less"
            )
        if _UNAVAILABLE.match(state):
            return address.unavailable("does not answer now", error)
        if state in _NO_TABLE:
            return MissingTableError(f"{address.name} has no such table", cause=address.clean(error))
        if state == _NO_PERMISSION:
            return address.fault("does not permit this", error, next_step="GRANT SELECT ON the table TO the user")
        if not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return self._explain_refusal(error)
        if not state and isinstance(error, psycopg.ProgrammingError):
            return address.fault("cannot be connected to", error, next_step="correct the options in the URL")
        if isinstance(error, (psycopg.DataError, UnicodeDecodeError)) and not state:
            return address.fault("holds a value that cannot be read", error, next_step="correct it, or use a query")
        return address.fault("refuses the statement", error, next_step="correct the table or the query")

    def _explain_refusal(self, error: Exception) -> SyncdError:
        said, address = str(error), self.address
        if _WRONG_CREDENTIALS.search(said):
            return address.fault("does not accept the user or the password", next_step="correct them in the URL")
        if _NO_DATABASE.search(said):
            return address.fault("has no such database", next_step="correct its name at the end of the URL")
        if _REFUSED.search(said):
            return address.fault("refuses the connection", error, next_step="correct the URL or the server's settings")
        return address.unavailable("does not answer", error)


class _Forgiving(Loader):
    """Gives what Python's dates and times cannot hold as the text it is, instead of failing the whole batch."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        inner = psycopg.adapters.get_loader(oid, Format.TEXT)
        if inner is None:
            raise LookupError(f"psycopg has no loader for the type {oid}")
        self._load = inner(oid, context).load

    def load(self, data: Buffer) -> Any:
        try:
            return self._load(data)
        except psycopg.DataError:
            return Unreadable(bytes(data).decode())


def _prepare(connection: psycopg.Connection[Any], _record: object) -> None:
    for name in _TIMES:
        connection.adapters.register_loader(name, _Forgiving)


DIALECT = PostgresDialect
