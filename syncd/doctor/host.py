"""This machine: SQLite, open files, a lakeFS binary, the systemd unit."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from syncd import __version__
from syncd.doctor import account
from syncd.doctor.findings import Finding, fail, ok, warn
from syncd.doctor.outside import said_by
from syncd.embedded.binary import cached_path, version_of
from syncd.embedded.build import PINNED_VERSION
from syncd.embedded.toolchain import FOR_A_UNIT
from syncd.presence import expanded
from syncd.service.descriptors import EACH, RESERVE

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEMCTL_LIMIT_S = 5.0
_OLDEST_SQLITE = (3, 35, 0)  # of what CPython 3.11 is built with
_REPAIRED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))  # the write-ahead log's reset; the first of each line
_UNIT_PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "User", "Result")


def of_syncd() -> Finding:
    """Return which syncd this is, and who looks."""
    python = ".".join(map(str, sys.version_info[:3]))
    fact = f"syncd {__version__} on Python {python}, looking as {account.name()}"
    if os.geteuid() == 0:
        fact += ", whom no permission stops; --user NAME looks as the user of the service"
    return ok("syncd", fact)


def of_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """Return whether SQLite can be trusted with the journal."""
    said = ".".join(map(str, version))
    if version < _OLDEST_SQLITE:
        return fail(
            "host.sqlite", f"SQLite {said} is too old for the journal", "use a Python with SQLite 3.35 or newer"
        )
    if any(version >= fixed and version[:2] == fixed[:2] for fixed in _REPAIRED) or version >= _REPAIRED[0]:
        return ok("host.sqlite", f"SQLite {said}")
    fact = f"SQLite {said} has a fault in its write-ahead log; syncd's one writer does not meet it"
    return ok("host.sqlite", f"{fact}, other programs must not write into the journal")


def of_descriptors(concurrency: int, hard: int | None = None) -> Finding:
    """Return whether this process may open enough files.

    Args:
        concurrency: How many uploads are wanted at a time.
        hard: The limit; None: ask the system.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    if limit == resource.RLIM_INFINITY:
        return ok("host.open_files", "there is no limit of open files")
    uploads, needed = (limit - RESERVE) // EACH, RESERVE + EACH * concurrency
    fix = f"LimitNOFILE={max(needed, 1024)} in the systemd unit, or ulimit -Hn {max(needed, 1024)}"
    if uploads < 1:
        return fail("host.open_files", f"{limit} files may be open, and syncd needs {RESERVE + EACH}", fix)
    if uploads < concurrency:
        return warn(
            "host.open_files", f"{limit} files may be open: {uploads} uploads at a time, not {concurrency}", fix
        )
    return ok("host.open_files", f"{limit:,} files may be open")


def of_binary(environ: Mapping[str, str]) -> Finding:
    """Return where the embedded lakeFS's binary is, without building one. Blocks, for a fraction of a second."""
    name, chosen = "lakefs.binary", environ.get("SYNCD_LAKEFS_BINARY")
    if chosen:
        version = version_of(Path(expanded(chosen)))
        if version is None:
            return fail(name, f"$SYNCD_LAKEFS_BINARY is {chosen}, which does not run", "unset SYNCD_LAKEFS_BINARY")
        return _of_version(name, chosen, version)
    on_path = shutil.which("lakefs", path=environ.get("PATH"))
    for candidate in (on_path, str(cached_path("lakefs"))):
        if candidate is not None and (version := version_of(Path(candidate))) is not None:
            return _of_version(name, candidate, version)
    return warn(
        name,
        "there is no lakeFS binary yet: the first start builds one, which takes minutes and needs the network",
        f"syncd lakefs path; for a systemd unit, which may reach none: {FOR_A_UNIT}",
    )


def _of_version(name: str, binary: str, version: str) -> Finding:
    if version != PINNED_VERSION:
        fact = f"{binary} is lakeFS {version}; syncd is tested with {PINNED_VERSION}"
        return warn(
            name, fact, f"use lakeFS {PINNED_VERSION}, or take it away and let syncd build one: syncd lakefs path"
        )
    return ok(name, f"{binary} is lakeFS {version}")


def unit_of(config: Path | None) -> str:
    """Return the systemd unit that runs a configuration, by the names that systemd/ in the distribution gives."""
    if config is not None and config.parent == Path("/etc/syncd") and config.stem != "syncd":
        return f"syncd@{config.stem}.service"
    return "syncd.service"


async def of_unit(unit: str, environ: Mapping[str, str]) -> Finding | None:
    """Return how the systemd unit is; None where there is no systemctl."""
    properties = f"--property={','.join(_UNIT_PROPERTIES)}"
    try:
        said = await said_by(
            *("systemctl", "show", unit, properties, "--no-pager"),
            within_s=SYSTEMCTL_LIMIT_S,
            path=environ.get("PATH"),
        )
    except TimeoutError:
        return warn(
            "service.unit", f"systemctl does not answer within {SYSTEMCTL_LIMIT_S:g} s", "systemctl is-system-running"
        )
    if said is None:
        return None
    return of_properties(unit, dict(line.split("=", 1) for line in said.splitlines() if "=" in line))


def of_properties(unit: str, told: Mapping[str, str]) -> Finding:  # noqa: PLR0911 - one for each state
    """Return what systemd's properties of a unit mean."""
    name, state = "service.unit", told.get("ActiveState")
    if not told:
        return ok(name, "systemd does not run this machine")
    if told.get("LoadState") != "loaded":
        return ok(name, f"there is no systemd unit {unit}; whatever runs syncd must start it again at each boot")
    if state == "failed":
        return fail(
            name, f"{unit} has failed ({told.get('Result')})", f"journalctl -u {unit} -n 50; systemctl restart {unit}"
        )
    if state not in {"active", "reloading", "activating"}:
        return warn(name, f"{unit} is installed, and {state}", f"sudo systemctl enable --now {unit}")
    if told.get("UnitFileState") == "disabled":
        return warn(name, f"{unit} runs, and will not be started at the next boot", f"sudo systemctl enable {unit}")
    user = told.get("User") or "root"
    if os.geteuid() == 0 and user != "root":
        fact = f"{unit} runs as {user}, and this look was root's, whom no permission stops"
        return warn(name, fact, f"sudo syncd doctor --user {user}")
    return ok(name, f"{unit} is {state} ({told.get('SubState')}), as {user}")
