"""Makes the tables that the settings name, and the gate that compares their rows with the images."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

from syncd.errors import ConfigError
from syncd.gate import ClosedTable, Gate
from syncd.service.limits import deletion_limits
from syncd.sources.csv_file import CsvTable
from syncd.sources.settings import CsvTableSettings, DatabaseTableSettings
from syncd.sources.tables.base import TableFaultError
from syncd.sources.tables.images import ImageColumn
from syncd.sources.tables.roles import Roles
from syncd.sources.tables.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime
    from pathlib import Path

    from syncd.config import Settings, TableSettings
    from syncd.journal import Journal
    from syncd.sources.base import Source
    from syncd.sources.db_table import DbTable
    from syncd.sources.tables.base import TableDatabase

    Listen = Callable[[Callable[[], None]], Callable[[], None]]  # calls back on each hint; returns what ends it

_BEYOND_SECONDS = 60.0  # the limit on a statement: by then the database must have kept it

SPOOL = "tables"  # in the state directory: what syncd writes itself, until lakeFS has it
_OF_GATE, _SORTING = "_closure", ".sorting"  # beside the tables' own; no table's name has a full stop


def make_table(
    settings: Settings, table: TableSettings, journal: Journal, clock: Callable[[], datetime], state_dir: Path
) -> Source:
    """Return one table as a source, not yet running.

    Raises:
        ConfigError: Its database cannot be named by this url, or the driver is not installed.
    """
    if table.csv is not None and table.published_as_csv and table.closure != "exclude":
        return CsvTable(csv_settings(settings, table), journal, clock=clock)
    try:
        return _database_table(settings, table, journal, clock, state_dir)
    except TableFaultError as error:
        fact = f"The table {table.name} cannot be read: {error.fact}"
        raise ConfigError(". ".join(part for part in (fact, error.cause) if part), next_step=error.next_step) from error


def csv_settings(settings: Settings, table: TableSettings) -> CsvTableSettings:
    """Return what a CSV file's source is told."""
    if table.csv is None:
        raise AssertionError("asked for a table that is in a CSV file")
    return CsvTableSettings(
        name=table.name,
        path=table.csv,
        key=table.key,
        image=_image_column(table),
        keeps_rows=_compares(table),
        limits=deletion_limits(settings),
        settle_seconds=settings.source.settle_seconds,
        poll_seconds=table.poll_seconds,
        events=settings.source.watch != "polling",
    )


def _database_table(
    settings: Settings, table: TableSettings, journal: Journal, clock: Callable[[], datetime], state_dir: Path
) -> DbTable:
    from syncd.sources.db_table import DbTable  # noqa: PLC0415 - who has no such table need not load it

    told = DatabaseTableSettings(
        name=table.name,
        key=table.key,
        spool_dir=state_dir / SPOOL / table.name,
        as_csv=table.published_as_csv,
        image=_image_column(table),
        keeps_rows=_compares(table),
        excludes=table.closure == "exclude",
        poll_seconds=table.poll_seconds,
        limits=deletion_limits(settings),
        silence_seconds=None if table.csv is not None else table.statement_timeout_seconds + _BEYOND_SECONDS,
    )
    rng = random.Random()  # noqa: S311 - jitter, not a secret
    database, listen = _csv_as_database(settings, table, told) if table.csv is not None else _database(table)
    return DbTable(told, database, journal, clock=clock, rng=rng, listen=listen)


def _database(table: TableSettings) -> tuple[TableDatabase, Listen | None]:
    # Here: drivers are extras, and are loaded where a url asks for one.
    from syncd.sources.tables.database import open_database  # noqa: PLC0415

    if table.url is None:
        raise AssertionError("a table is in a CSV file or in a database")
    url, channel = table.url.get_secret_value(), table.channel
    database = open_database(
        url,
        table=table.table,
        query=table.query,
        key=table.key,
        statement_timeout_s=table.statement_timeout_seconds,
    )
    if channel is None:
        return database, None
    from syncd.sources.tables.listening import Listener  # noqa: PLC0415

    Listener(url, channel, lambda: None).stop()  # a channel that cannot be is refused now, not once it is listened to

    def listen(on_notification: Callable[[], None]) -> Callable[[], None]:
        listener = Listener(url, channel, on_notification)
        listener.start()
        return listener.stop

    return database, listen


def _csv_as_database(
    settings: Settings, table: TableSettings, told: DatabaseTableSettings
) -> tuple[TableDatabase, Listen | None]:
    from syncd.sources.file_watch import watch_file  # noqa: PLC0415
    from syncd.sources.tables.csv_database import CsvDatabase  # noqa: PLC0415

    path = table.csv
    if path is None:
        raise AssertionError("asked for a table that is in a CSV file")
    database = CsvDatabase(
        path,
        key=table.key,
        image_column=table.image_column,
        settle_seconds=settings.source.settle_seconds,
        scratch_dir=told.spool_dir.with_name(f"{table.name}{_SORTING}"),
        unique_columns=not told.as_csv,
    )
    return database, None if settings.source.watch == "polling" else lambda on_hint: watch_file(path, on_hint)


def make_gate(
    settings: Settings, journal: Journal, clock: Callable[[], datetime], *, read_again: Callable[[str], None]
) -> Gate:
    """Return what compares rows and images before each snapshot."""
    spool = Spool(settings.service.state_dir / SPOOL / _OF_GATE)
    others = [table.name for table in settings.tables if not _compares(table)]
    return Gate(
        journal=journal,
        tables=compared_tables(settings),
        others=others,
        spool=spool,
        clock=clock,
        read_again=read_again,
    )


def sweep_spools(state_dir: Path, keep: Collection[str]) -> None:
    """Remove what other tables than these have left: rows of a database may be in it, and nobody will send it. Blocks.

    Not while any table is being read.
    """
    for directory in (state_dir / SPOOL).glob("*"):
        if directory.name != _OF_GATE and directory.name.removesuffix(_SORTING) not in keep:
            shutil.rmtree(directory, ignore_errors=True)  # the next start tries again


def excluding_tables(settings: Settings) -> list[str]:
    """Return the names of the tables of which only what fits is published."""
    return [table.name for table in settings.tables if table.closure == "exclude"]


def compared_tables(settings: Settings) -> list[ClosedTable]:
    """Return the tables whose rows are compared with the images."""
    return [
        ClosedTable(
            name=table.name,
            holds=table.closure == "hold",
            excludes=table.closure == "exclude",
            wait=timedelta(seconds=table.closure_wait_seconds),
        )
        for table in settings.tables
        if _compares(table)
    ]


def table_roles(settings: Settings) -> dict[str, Roles]:
    """Return by table what its columns are for."""
    return {
        table.name: Roles(
            key=table.key, image=_image_column(table), closure=table.closure if _compares(table) else "off"
        )
        for table in settings.tables
    }


def _compares(table: TableSettings) -> bool:
    return table.closure != "off" and table.image_column is not None


def _image_column(table: TableSettings) -> ImageColumn | None:
    if table.image_column is None:
        return None
    return ImageColumn(name=table.image_column, prefix=table.image_prefix, pattern=table.image_pattern)
