"""Each table: whether its file or database can be read, and has what the configuration names. Blocks; for threads."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from syncd.doctor import account
from syncd.doctor.findings import Finding, fail, of_error, ok, warn
from syncd.errors import SyncdError
from syncd.fingerprint import ChangedDuringReadError, OpenForWritingError, signature_of
from syncd.sources.csv_check import BadTableError, TableStoppedError, read_table
from syncd.sources.tables.database import dialect_for, open_database

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.config import TableSettings
    from syncd.sources.tables.base import TableDatabase

LOOK_S = 8.0  # for one table
_INNODB = "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = '{table}'"


def prepare(table: TableSettings) -> None:
    """Load the driver of a table's database, if it has one."""
    with suppress(SyncdError):
        if table.url is not None:
            _open(table, table.url.get_secret_value())


def look(table: TableSettings) -> Finding:
    """Return what there is to say of a table."""
    if table.csv is not None:
        return _of_csv(table, table.csv)
    if table.url is None:
        raise AssertionError("a table is in a CSV file or in a database")
    try:
        return _of_database(table, table.url.get_secret_value())
    except SyncdError as error:
        return of_error(_name(table), error)


def _name(table: TableSettings) -> str:
    return f"table.{table.name}"


def _of_csv(table: TableSettings, path: Path) -> Finding:
    name, until = _name(table), time.monotonic() + LOOK_S
    try:
        reading = read_table(
            path,
            signature_of(path.stat()),
            key=table.key,
            image_column=table.image_column,
            stopped=lambda: time.monotonic() > until,
        )
    except BadTableError as error:
        return fail(name, f"{path}: {error.fact}", "correct the file, or the key and image_column of the table")
    except TableStoppedError:
        return ok(name, f"{path} can be read and has the columns named; not all its rows were looked at")
    except (ChangedDuringReadError, OpenForWritingError) as error:
        return warn(
            name, f"{path} is being written: {error}", "replace it by a rename, so that it is whole at any time"
        )
    except PermissionError:
        return fail(name, f"{account.name()} may not read {path}", _opening(path))
    except OSError as error:
        return fail(
            name, f"{path} cannot be read: {error.strerror}", f"is the disk mounted? Correct tables.csv of {table.name}"
        )
    return ok(name, f"{path} has {reading.rows:,} rows, each with its own key")


def _opening(path: Path) -> str:
    if (closed := account.closed_way(path)) is not None:
        return account.pass_through(closed)
    return account.grant(path, path.stat(), directory=False)


def _of_database(table: TableSettings, url: str) -> Finding:
    name, limit_s = _name(table), min(table.statement_timeout_seconds, LOOK_S)
    database = _open(table, url)
    with database.read() as reading:
        columns = [column.name for column in reading.columns]
    database.close()
    if table.image_column is not None and table.image_column not in columns:
        return fail(
            name,
            f"there is no column {table.image_column!r} for the images: {', '.join(columns)}",
            f"correct image_column of the table {table.name}",
        )
    engine = _engine(table, url, limit_s)
    if engine and engine.lower() not in {"innodb", "view"}:
        return warn(
            name,
            f"the table {table.table} has the engine {engine}, which reads no single moment while others write",
            f"ALTER TABLE {table.table} ENGINE=InnoDB;",
        )
    return ok(name, f"{_address(url, limit_s)} can be read as of one moment; its key {table.key!r} is there")


def _open(table: TableSettings, url: str) -> TableDatabase:
    limit_s = min(table.statement_timeout_seconds, LOOK_S)
    return open_database(url, table=table.table, query=table.query, key=table.key, statement_timeout_s=limit_s)


def _address(url: str, limit_s: float) -> str:
    return dialect_for(url, limit_s).address.name


def _engine(table: TableSettings, url: str, limit_s: float) -> str:
    """Return a MySQL table's storage engine; "" where there is none, or it cannot be told."""
    if not url.lower().startswith(("mysql", "mariadb")) or table.table is None:
        return ""
    dialect = dialect_for(url, limit_s)
    schema, _, bare = table.table.rpartition(".")
    quoted = [text.replace("\\", "\\\\").replace("'", "''") for text in (schema, bare)]
    connection = dialect.connect()
    try:
        with dialect.translated():
            asked = connection.execution_options(no_parameters=True).exec_driver_sql(
                _INNODB.format(schema=f"'{quoted[0]}'" if schema else "DATABASE()", table=quoted[1])
            )
            return str(asked.scalar() or "")
    finally:
        dialect.let_go(connection)
