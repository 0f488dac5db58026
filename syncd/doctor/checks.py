"""The checks of ``syncd doctor``, and those of them that ``syncd config check --online`` makes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from syncd.config import FaultyConfigError, advice
from syncd.doctor import disk, events, folder, host, running, tables
from syncd.doctor.examination import CHECK_LIMIT_S, Check, in_thread
from syncd.doctor.findings import CONFIGURATION, Finding, fail, ok, warn
from syncd.doctor.store import LakeFSLook

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
    from pathlib import Path

    from syncd.config import Loaded
    from syncd.config.tables_section import TableSettings
    from syncd.errors import ConfigError

_ELSEWHERE = ("source.root:", "tables[", "lakefs.ca_file:")  # advice on what has a check of its own


def of_loaded(loaded: Loaded, environ: Mapping[str, str]) -> list[Check]:
    """Return every check of a configuration that can be used."""
    settings, lakefs = loaded.settings, loaded.settings.lakefs
    checks = [
        Check(CONFIGURATION, partial(_configuration, loaded)),
        *of_host(loaded.path, environ),
        Check("host.open_files", partial(_one, partial(host.of_descriptors, settings.upload.concurrency))),
        Check(folder.READABLE, partial(_folder, loaded)),
        Check(events.NAME, partial(_events, loaded)),
        Check(disk.WRITABLE, partial(_several, partial(disk.look, settings.service.state_dir))),
        Check(running.NAME, partial(_running, settings.service.state_dir)),
    ]
    if lakefs.embedded:
        checks.append(Check("lakefs.binary", partial(_one, partial(host.of_binary, environ))))
    return [*checks, *online(loaded, writes=True)]


def online(loaded: Loaded, *, writes: bool) -> list[Check]:
    """Return the checks of what the configuration names elsewhere: lakeFS and the tables.

    Args:
        loaded: The configuration.
        writes: Whether rights may be tried, on a branch of the doctor's own.
    """
    look = LakeFSLook(loaded.settings, loaded.origins, writes)
    return [
        Check("lakefs", look.findings),
        *(Check(f"table.{table.name}", partial(_table, table)) for table in loaded.settings.tables),
    ]


def of_host(config: Path | None, environ: Mapping[str, str]) -> list[Check]:
    """Return the checks that need no configuration."""
    return [
        Check("syncd", partial(_one, host.of_syncd)),
        Check("host.sqlite", partial(_one, host.of_sqlite)),
        Check("service.unit", partial(_unit, config, environ)),
    ]


def of_faulty(error: ConfigError, environ: Mapping[str, str]) -> list[Check]:
    """Return what can be checked although the configuration cannot be used: its faults, and this machine."""
    path = error.path if isinstance(error, FaultyConfigError) else None
    return [Check(CONFIGURATION, partial(_faults, error)), *of_host(path, environ)]


async def _faults(error: ConfigError) -> AsyncGenerator[Finding, None]:
    fix = error.next_step or "syncd config check"
    for fault in error.faults if isinstance(error, FaultyConfigError) else [error.fact]:
        yield fail(CONFIGURATION, str(fault), fix)
    yield warn(
        "not_looked_at", "folder, state directory, lakeFS and tables: which they are, the configuration says", fix
    )


async def _configuration(loaded: Loaded) -> AsyncGenerator[Finding, None]:
    yield ok(CONFIGURATION, f"{loaded.path or 'the environment'} can be used")
    for said in advice(loaded):
        if not said.startswith(_ELSEWHERE):
            yield warn(CONFIGURATION, said, f"edit {loaded.path or 'the environment'}")


async def _one(look: Callable[[], Finding]) -> AsyncGenerator[Finding, None]:
    yield await in_thread(look, limit_s=CHECK_LIMIT_S)


async def _several(look: Callable[[], Iterable[Finding]]) -> AsyncGenerator[Finding, None]:
    for finding in await in_thread(lambda: list(look()), limit_s=CHECK_LIMIT_S):
        yield finding


async def _table(table: TableSettings) -> AsyncGenerator[Finding, None]:
    yield await in_thread(partial(tables.look, table), limit_s=CHECK_LIMIT_S)


async def _folder(loaded: Loaded) -> AsyncGenerator[Finding, None]:
    pid = await in_thread(partial(running.holder, loaded.settings.service.state_dir), limit_s=CHECK_LIMIT_S)
    limits = await in_thread(partial(folder.limits_now, pid), limit_s=CHECK_LIMIT_S)
    async for finding in _several(partial(folder.look, loaded.settings, limits)):
        yield finding


async def _events(loaded: Loaded) -> AsyncGenerator[Finding, None]:
    source = loaded.settings.source
    if source.watch == "polling":
        yield ok(events.NAME, 'events are not asked for: source.watch is "polling"')
    elif (found := await events.trial(source.root)) is not None:
        yield found


async def _running(state_dir: Path) -> AsyncGenerator[Finding, None]:
    pid = await in_thread(partial(running.holder, state_dir), limit_s=CHECK_LIMIT_S)
    async for finding in running.look(state_dir, pid):
        yield finding


async def _unit(config: Path | None, environ: Mapping[str, str]) -> AsyncGenerator[Finding, None]:
    if (found := await host.of_unit(host.unit_of(config), environ)) is not None:
        yield found
