"""Is the journal's file sound? One that is damaged is set aside, never overwritten; all it held can be found again.

What the source holds is listed again, what lakeFS holds is read from there, and nothing is deleted before both are
whole. After an orderly end nothing is looked at; after any other all pages are read (3 s for a million files); what
a running syncd could not trust is examined to the last index.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from syncd.errors import JournalError
from syncd.journal.faults import is_of_the_file, translated

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)

KEPT = 3  # damaged journals that are kept, the newest


def suspect(path: Path) -> None:
    """Have the next start examine the journal thoroughly."""
    with suppress(OSError):  # the disk may be what failed
        _mark(path).touch(mode=0o600)


def make_sound(path: Path) -> Path | None:
    """Examine a journal before anyone opens it; return where it was put if it had to be set aside.

    Raises:
        JournalError: It cannot be examined, or not be set aside.
    """
    if not path.exists():
        return None
    if _mark(path).exists():
        fault = _fault(path, "integrity_check")
    else:
        fault = _fault(path, "quick_check") if _beside(path, "-wal").exists() else _fault(path, "schema_version")
    if not fault:
        _mark(path).unlink(missing_ok=True)
        return None
    put = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    try:
        for ending in ("-wal", ""):
            if _beside(path, ending).exists():
                _beside(path, ending).rename(_beside(put, ending))
        _beside(path, "-shm").unlink(missing_ok=True)
        _mark(path).unlink(missing_ok=True)
        _forget_old(path)
    except OSError as error:
        raise JournalError(
            f"the journal {path} is damaged ({fault}), and cannot be set aside: {error.strerror}",
            cause="permissions, or a disk that fails",
            next_step=f"ls -ld {path.parent} {path}",
        ) from error
    log.error("journal_set_aside", path=str(put), fault=fault, next="it is rebuilt from the source and from lakeFS")
    return put


def _fault(path: Path, check: str) -> str:
    """Return what a check finds wrong with the file, "" if nothing is."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}").fetchmany(3)]
    except sqlite3.Error as error:
        if is_of_the_file(error):
            return str(error)
        raise translated(error, path) from error
    return "" if found == ["ok"] or found[0].isdecimal() else "; ".join(found)


def _forget_old(path: Path) -> None:
    kept = sorted(one for one in path.parent.glob(f"{path.name}.damaged-*") if not one.name.endswith("-wal"))
    for old in kept[:-KEPT]:
        for ending in ("", "-wal"):
            _beside(old, ending).unlink(missing_ok=True)


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.suspect")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
