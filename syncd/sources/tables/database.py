"""Opening one table or query of a database by its URL.

Nothing of SQLAlchemy or a driver is loaded before a URL asks for it: they are extras, and what is not installed is
named with the command that installs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from syncd.sources.tables.base import TableFaultError

if TYPE_CHECKING:
    from syncd.sources.tables.base import TableDatabase
    from syncd.sources.tables.dialect_base import Dialect


class _Family(NamedTuple):
    dialect: str  # the module in this package that speaks with it
    drivername: str  # SQLAlchemy's
    extra: str  # what is installed with ``pip install "syncd[...]"``


_POSTGRES = _Family("dialect_postgres", "postgresql+psycopg", "postgres")
_MYSQL = _Family("dialect_mysql", "mysql+pymysql", "mysql")
_SQLITE = _Family("dialect_sqlite", "sqlite+pysqlite", "sqlite")
_FAMILIES = {
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "postgresql+psycopg": _POSTGRES,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "mysql+pymysql": _MYSQL,
    "mariadb+pymysql": _MYSQL,
    "sqlite": _SQLITE,
    "sqlite+pysqlite": _SQLITE,
}
_ACCEPTED = "postgresql://user@host/database, mysql://user@host/database or sqlite:////absolute/path"


def open_database(
    url: str, *, table: str | None, query: str | None, key: str, statement_timeout_s: float = 300.0
) -> TableDatabase:
    """Prepare to read one table or query; nothing is connected yet.

    Args:
        url: ``postgresql://``, ``mysql://``, ``mariadb://`` or ``sqlite:///``, with user and password if need be.
        table: Its exact name, "labels" or "schema.labels"; None if ``query`` is given.
        query: One SELECT, instead of a table.
        key: The column whose values are there and unique.
        statement_timeout_s: How long the database may work on one statement. PostgreSQL and SQLite count anew for
            each batch, MySQL and MariaDB count one whole reading, with the time that is spent on its rows.

    Raises:
        TableFaultError: The URL cannot be used, its driver is not installed, the query is not a SELECT.
    """
    if (table is None) == (query is None):
        raise TableFaultError("A database source reads either a table or a query", next_step="give one of the two")
    dialect = dialect_for(url, statement_timeout_s)
    reading = import_module("syncd.sources.tables.dialect_reading")
    return cast("TableDatabase", reading.SqlDatabase(dialect, reading.Source.of(table, query), key))


def dialect_for(url: str, statement_timeout_s: float) -> Dialect:
    """Return what speaks with the database of a URL.

    Raises:
        TableFaultError: The URL cannot be used, or its driver is not installed.
    """
    scheme, separator, rest = url.partition("://")
    family = _FAMILIES.get(scheme.lower()) if separator else None
    if family is None:  # without "://" it may be anything, a password included: nothing of it is shown
        said = f'The database URL begins with "{scheme}://"' if separator and scheme.isprintable() else "It is no URL"
        raise TableFaultError(f"{said}; syncd reads three kinds of databases", next_step=f"use {_ACCEPTED}")
    try:
        module = import_module(f"syncd.sources.tables.{family.dialect}")
        return cast("Dialect", module.DIALECT.of(f"{family.drivername}://{rest}", statement_timeout_s))
    except ModuleNotFoundError as error:
        raise TableFaultError(
            f"{scheme}:// needs the Python package {error.name}, which is not installed",
            next_step=f'pip install "syncd[{family.extra}]"',
        ) from None
