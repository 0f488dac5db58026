"""Is the journal's file sound? One that is damaged is set aside, never overwritten; all it held can be found again.

What the source holds is listed again, what lakeFS holds is read from there, and nothing is deleted before both are
whole. After an orderly end the schema alone is compared at first; after any other all pages are read (3 s for a million
files), and all indexes if something was not as it can be. A daemon compares those in any case, beside its work.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from syncd.errors import JournalError
from syncd.journal import migrate
from syncd.journal.faults import MALFORMED, is_damage, is_of_the_file, translated

log = structlog.get_logger(__name__)

_INTERRUPT_AGAIN_S = 0.05
KEPT = 3  # damaged journals that are kept, the newest


def suspect(path: Path, error: sqlite3.Error | None = None) -> None:
    """Have the next start examine the journal thoroughly, or set it aside if this error says enough."""
    with suppress(OSError):  # the disk may be what failed
        _mark(path).write_text(str(error) if error is not None and is_damage(error) else "", encoding="utf-8")


def make_sound(path: Path) -> Path | None:
    """Examine a journal before anyone opens it; return where it was put if it had to be set aside.

    Raises:
        JournalError: It cannot be examined, or not be set aside.
    """
    if not path.exists():
        return None
    if _mark(path).exists():
        fault = _mark(path).read_text(encoding="utf-8") or _fault(path, "integrity_check")
    else:
        fault = _fault(path, "quick_check" if _beside(path, "-wal").exists() else "")
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


class Examination:
    """A thorough look at a journal in use, which can be stopped; 7 s for a million files."""

    def __init__(self, path: Path) -> None:
        self._path, self._stopped, self._idle = path, False, threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._idle.set()

    def run(self) -> None:
        """Look; blocks until done, or stopped.

        Raises:
            sqlite3.Error: What is wrong.
        """
        self._idle.clear()
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
                self._connection = connection
                if not self._stopped:
                    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
                    if found != "ok":
                        raise sqlite3.DatabaseError(f"{MALFORMED}: {found}")
        except sqlite3.OperationalError:
            if not self._stopped:
                raise
        finally:
            self._connection = None
            self._idle.set()

    def stop(self) -> None:
        """Return once nobody looks any more; blocks for a moment."""
        self._stopped = True
        while not self._idle.wait(_INTERRUPT_AGAIN_S):
            if (connection := self._connection) is not None:
                with suppress(sqlite3.ProgrammingError):  # it has just been closed
                    connection.interrupt()


def _fault(path: Path, check: str) -> str:
    """Return what is wrong with the file, "" if nothing is: with its schema, and what a check (or none) finds."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            if fault := _schema_fault(connection):
                return fault
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}").fetchmany(3)] if check else ["ok"]
    except sqlite3.Error as error:
        if is_of_the_file(error):
            return str(error)
        raise translated(error, path) from error
    except UnicodeDecodeError as error:  # the schema as it stands in an error of SQLite's
        return f"its schema is no text: {error}"
    return "" if found == ["ok"] else "; ".join(found)


def _schema_fault(connection: sqlite3.Connection) -> str:
    """Return what is wrong with the schema, and the version that says which it is; SQLite takes each as it comes."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        migrate.bring_up_to_date(new, Path(":memory:"))
        is_ours = _schema(connection) == _schema(new)
    version = migrate.version_of(connection)
    if is_ours and version < migrate.VERSION:  # a newer syncd may have kept the schema: that one is refused
        return f"it says that it is of version {version}, and has the schema of {migrate.VERSION}"
    return "its schema is not that of its version" if version == migrate.VERSION and not is_ours else ""


def _schema(connection: sqlite3.Connection) -> set[tuple[bytes, ...]]:
    """Return everything in the schema, without comments and spaces; as bytes, since it may be no text any more."""
    found = connection.execute("SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema")
    return {(kind, name, re.sub(rb"--[^\n]*|\s+", b"", sql or b"")) for kind, name, sql in found}


def _forget_old(path: Path) -> None:
    kept = sorted(one for one in path.parent.glob(f"{path.name}.damaged-*") if not one.name.endswith("-wal"))
    for old in kept[:-KEPT]:
        for ending in ("", "-wal"):
            _beside(old, ending).unlink(missing_ok=True)


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.suspect")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
