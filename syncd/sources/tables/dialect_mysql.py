"""MySQL and MariaDB through PyMySQL: an unbuffered cursor in a consistent snapshot that is READ ONLY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymysql

from syncd.sources.tables.dialect_base import CONNECT_SECONDS, Dialect, Selected
from syncd.sources.tables.dialect_errors import MissingTableError
from syncd.sources.tables.dialect_mysql_types import selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import URL, Connection, CursorResult

    from syncd.errors import SyncdError
    from syncd.sources.tables.dialect_reading import Source

_SILENCE_SECONDS = 30  # beyond the time limit of a statement: then the server is taken for gone
_WRITE_SECONDS = 600  # how long the server waits for a reader that is busy with the rows it has

# Numbers from MySQL's and MariaDB's errmsg lists and from errmsg of their client library (2000 and more)
_GONE = {0, 2002, 2003, 2006, 2013, 2014, 2055, 1053, 1077, 1158, 1159, 1160, 1161, 1184, 1927, 4031}
_BUSY = {1040, 1129, 1203, 1205, 1213, 1226, 1412, 3572}
_STOPPED = {1317, 1969, 3024}
_NO_TABLE = {1146}
_WRONG_CREDENTIALS = {1045, 1698}
_NO_DATABASE = {1044, 1049}
_NO_PERMISSION = {1142, 1143, 1227, 1370}


class MySqlDialect(Dialect):
    """MySQL and MariaDB. They have no token of their state that costs less than a read: ``probe`` cannot tell."""

    driver_errors = (pymysql.Error, UnicodeDecodeError, OSError)
    can_tell = False

    def __init__(self, url: URL, statement_timeout_s: float) -> None:
        super().__init__(url, statement_timeout_s)
        # PyMySQL's own connections: from one that is lost SQLAlchemy leaves no way to it
        self._drivers: dict[Connection, Any] = {}

    def engine_options(self) -> dict[str, Any]:
        """See ``Dialect.engine_options``. PyMySQL sets TCP keep-alive by itself."""
        given = {
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": self.statement_timeout_s + _SILENCE_SECONDS,
            "write_timeout": _SILENCE_SECONDS,
        }
        return {"connect_args": given}

    def connect(self) -> Connection:
        """See ``Dialect.connect``. PyMySQL takes the URL's options as arguments, and says what it lacks as it likes."""
        try:
            return super().connect()
        except (TypeError, ValueError, RuntimeError) as error:
            lacks = "cryptography" in str(error)  # for passwords without TLS, MySQL 8's default
            step = "pip install cryptography, or use TLS" if lacks else "correct the options in the URL"
            raise self.address.fault("cannot be connected to", error, next_step=step) from None

    def begin(self, connection: Connection) -> None:
        """See ``Dialect.begin``."""
        self._drivers[connection] = connection.connection.driver_connection
        limit_s = self.statement_timeout_s
        mariadb = getattr(connection.dialect, "is_mariadb", False)
        limit = f"max_statement_time = {limit_s:g}" if mariadb else f"max_execution_time = {round(limit_s * 1000)}"
        for statement in (
            f"SET SESSION time_zone = '+00:00', net_write_timeout = {_WRITE_SECONDS}, {limit}",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ):
            connection.exec_driver_sql(statement)

    def describe(self, connection: Connection, source: Source) -> Sequence[Selected]:
        """See ``Dialect.describe``. The protocol tells each column's type, for a query too."""
        declared: dict[str, str] = {}
        if source.query is None:
            run = connection.execution_options(no_parameters=True).exec_driver_sql
            declared = {_text(row[0]): _text(row[1]) for row in run(f"SHOW COLUMNS FROM {self.table(source)}")}
            if getattr(connection.dialect, "is_mariadb", False):  # whose JSON is a LONGTEXT with a check
                created = _text(run(f"SHOW CREATE TABLE {self.table(source)}").one()[1])
                declared.update((name, "json") for name in declared if f"json_valid({self.quoted(name)})" in created)
        with connection.connection.driver_connection.cursor() as cursor:  # type: ignore[union-attr] # it is connected
            cursor.execute(f"SELECT * FROM {self.from_clause(source)} LIMIT 0")  # noqa: S608 - the name is quoted
            fields = cursor._result.fields  # noqa: SLF001 - the flags are nowhere else, and without them UNSIGNED is not
        return [selected(field, declared.get(field.name), self.cell(field.name)) for field in fields]

    def probe(self, connection: Connection, source: Source) -> None:
        """See ``Dialect.probe``; not called."""

    def let_go(self, connection: Connection, result: CursorResult[Any] | None = None) -> None:
        """See ``Dialect.let_go``. PyMySQL would first fetch all rows that are left, even from a lost connection."""
        unread = getattr(self._drivers.pop(connection, None), "_result", None)
        if unread is not None:
            unread.unbuffered_active = False
        super().let_go(connection, result)

    def explain(self, error: Exception) -> SyncdError:  # noqa: PLR0911 - one for each meaning
        """See ``Dialect.explain``."""
        address = self.address
        number = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
        if number in _STOPPED:
            return address.unavailable(
                f"stopped the statement; the limit is {self.statement_timeout_s:g} s for a whole reading", error
            )
        if number in _GONE or isinstance(error, OSError):
            return address.unavailable("does not answer", _words(error))
        if number in _BUSY:
            return address.unavailable("does not answer now", _words(error))
        if number in _NO_TABLE:
            return MissingTableError(f"{address.name} has no such table", cause=address.clean(_words(error)))
        if number in _WRONG_CREDENTIALS:
            return address.fault("does not accept the user or the password", next_step="correct them in the URL")
        if number in _NO_DATABASE:
            return address.fault(
                "has no such database, or none for this user", next_step="correct its name at the end of the URL"
            )
        if number in _NO_PERMISSION:
            return address.fault(
                "does not permit this", _words(error), next_step="GRANT SELECT ON the table TO the user"
            )
        if isinstance(error, UnicodeDecodeError):
            return address.fault("holds text that is not UTF-8", error, next_step="correct it, or use a query")
        return address.fault("refuses the statement", _words(error), next_step="correct the table or the query")


def _words(error: Exception) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


DIALECT = MySqlDialect
