"""Reading the journal: connections that see all that was acknowledged and never write, beside the one that does."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from syncd.errors import JournalError
from syncd.journal import migrate
from syncd.journal.faults import translated
from syncd.presence import is_there

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_TIMEOUT_S = 10.0


class Readers:
    """Read-only connections to one journal file, one for each thread that asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[threading.Thread, sqlite3.Connection]] = []

    def connection(self) -> sqlite3.Connection:
        """Return the calling thread's connection.

        Those of threads that have ended are closed when a new one is made: a source that starts again has other ones.

        Raises:
            JournalError: There is no such journal, or it cannot be read.
        """
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            self._close_those_left()  # first, so that SQLite has their descriptors for this one
            found = open_for_reading(self._path)
            self._local.connection = found
            with self._lock:
                self._open.append((threading.current_thread(), found))
        return found

    def _close_those_left(self) -> None:
        with self._lock:
            alive = []
            for thread, connection in self._open:
                if thread.is_alive():
                    alive.append((thread, connection))
                else:
                    connection.close()
            self._open = alive

    def close(self) -> None:
        """Close all connections; none may be in use."""
        with self._lock:
            for _, connection in self._open:
                connection.close()
            self._open.clear()


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a journal that exists, also while a daemon writes it.

    Raises:
        JournalError: There is none, it cannot be read, or a newer syncd wrote it.
    """
    if not is_there(path):
        raise JournalError(
            f"there is no journal at {path}",
            cause="syncd has not run with this state directory yet",
            next_step="syncd run, or syncd sync",
        )
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA query_only = 1")
        migrate.refuse_newer(connection, path)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return connection


@contextmanager
def one_read(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Let everything read inside see the journal as it stands at one moment."""
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("COMMIT")


def copy(path: Path, target: Path) -> None:
    """Copy a journal, also one that a daemon writes, as it stands at one moment."""
    with closing(open_for_reading(path)) as source, closing(sqlite3.connect(target)) as copied:
        source.backup(copied)
