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
CLOSING_S = 10.0  # for a read that is interrupted; it ends within milliseconds


class Reader:
    """A read-only connection, and how many reads use it just now."""

    def __init__(self, path: Path) -> None:
        self.connection = open_for_reading(path)
        self.thread = threading.current_thread()
        self.uses = 0


class Readers:
    """Read-only connections to one journal file, one for each thread that asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._open: list[Reader] = []
        self._changed = threading.Condition()  # held for each look at what is open, and at who uses it
        self._closed = False

    def mine(self) -> Reader:
        """Return the calling thread's reader; what it reads, it reads while it is ``lent``.

        Those of threads that have ended are closed when a new one is made: a source that starts again has other ones.

        Raises:
            JournalError: There is no such journal, it cannot be read, or it has been closed.
        """
        found: Reader | None = getattr(self._local, "reader", None)
        if found is None:
            self._close_those_left()  # first, so that SQLite has their descriptors for this one
            found = Reader(self._path)
            with self._changed:
                if self._closed:
                    found.connection.close()
                    raise closed(self._path)
                self._open.append(found)
            self._local.reader = found
        return found

    @contextmanager
    def lent(self, reader: Reader) -> Iterator[sqlite3.Connection]:
        """Lend a connection, which is not closed meanwhile: Python does not survive that.

        Raises:
            JournalError: It has been closed, or is being closed.
        """
        with self._changed:
            if self._closed:
                raise closed(self._path)
            reader.uses += 1
        try:
            yield reader.connection
        except sqlite3.OperationalError as error:
            if self._closed:  # which interrupted it
                raise closed(self._path) from error
            raise
        finally:
            with self._changed:
                reader.uses -= 1
                self._changed.notify_all()

    def _close_those_left(self) -> None:
        with self._changed:
            if self._closed:  # a file that is opened again has its two others beside it again
                raise closed(self._path)
            left = [reader for reader in self._open if not reader.uses and not reader.thread.is_alive()]
            for reader in left:
                reader.connection.close()
            self._open = [reader for reader in self._open if reader not in left]

    def close(self) -> None:
        """Let nobody begin to read, end the reads under way, and close all connections; blocks until that is done.

        A thread reads on after whoever waited for it was cancelled.
        """
        with self._changed:
            self._closed = True
            for reader in self._open:
                reader.connection.interrupt()
            self._changed.wait_for(lambda: not any(reader.uses for reader in self._open), CLOSING_S)
            for reader in self._open:
                if not reader.uses:  # else it is left to its thread, and to the end of the process
                    reader.connection.close()
            self._open.clear()


def closed(path: Path) -> JournalError:
    """Return the error of who reads from a journal that has been closed."""
    return JournalError(f"the journal {path} has been closed", cause="syncd is ending", next_step="syncd run")


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
