"""The SQLite file: opened, migrated, written by one thread, read by any.

WAL with ``synchronous=FULL``: what was acknowledged survives a power cut. Group commit pays for that: all
operations waiting when a transaction begins share it, each in a savepoint of its own. One connection writes and
checkpoints; readers are read-only connections that never checkpoint, one for each thread.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from syncd.errors import JournalBrokenError, JournalError
from syncd.journal import migrate, soundness
from syncd.journal.faults import is_of_the_file, translated
from syncd.journal.reading import BUSY_TIMEOUT_S, Readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

MOST_OPERATIONS_A_TRANSACTION = 64
_SURPRISES = (TypeError, ValueError, KeyError, AttributeError)  # a value where there can be none: damage, or a mistake
DURABLE = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")  # what was acknowledged outlives a power cut


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Database:
    """One journal file. Use as an async context manager."""

    def __init__(self, path: Path, *, broken: Callable[[], None] = lambda: None) -> None:
        self._path, self._tell_broken = path, broken
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="journal-writer")
        self._readers, self._examination = Readers(path), soundness.Examination(path)
        self._connection: sqlite3.Connection | None = None
        self.broken: JournalBrokenError | None = None  # nothing is read or written any more

    async def __aenter__(self) -> Self:
        """Open or create the file and bring its schema up to date.

        Raises:
            JournalError: It cannot be opened, is damaged, or was written by a newer syncd.
        """
        self._connection = await asyncio.to_thread(_open_for_writing, self._path)
        self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Finish what was submitted, then close."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._examination.stop)
        await asyncio.to_thread(self._readers.close)
        if self._connection is not None:  # the last one to close brings everything into the file, and takes -wal away
            await asyncio.to_thread(self._connection.close)

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation on the writing connection; return its result once it is durable.

        Cancelling the wait does not cancel the operation.

        Raises:
            JournalError: The file could not be written, a full disk for example. Nothing of it was kept.
            JournalBrokenError: It may or may not have been kept; the process has to end.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(operation, future, loop))
        return await future

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's read-only connection; it sees all that was acknowledged.

        Raises:
            JournalError: It cannot be read.
        """
        if self.broken is not None:
            raise self.broken
        with self._meaning(), self._readers.lent(self._readers.mine()) as connection:
            yield connection

    def each(self, query: Callable[[sqlite3.Connection], Iterator[T]], *, at_a_time: int) -> Iterator[T]:
        """Yield what a query yields. It reads so many at a time, and nothing while the caller has them.

        Raises:
            JournalError: It cannot be read.
        """
        if self.broken is not None:
            raise self.broken
        with self._meaning():
            reader = self._readers.mine()
            found = query(reader.connection)
        while True:
            with self._meaning(), self._readers.lent(reader):
                some = list(itertools.islice(found, at_a_time))
            yield from some
            if len(some) < at_a_time:
                return

    @contextmanager
    def _meaning(self) -> Iterator[None]:
        """Say what an error of SQLite means."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._failed(error) from error
        except _SURPRISES:
            soundness.suspect(self._path)
            raise

    def examine(self) -> None:
        """Compare every index with what it leads to, beside everything else; blocks until done, or until closed.

        Raises:
            JournalBrokenError: The file is damaged.
        """
        try:
            self._examination.run()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _write(self) -> None:
        connection = cast("sqlite3.Connection", self._connection)
        closing = False
        while not closing:
            jobs, closing = self._waiting_jobs()
            if jobs and self.broken is not None:
                _resolve_all([(job, None, self.broken) for job in jobs])
            elif jobs:
                self._run_together(connection, jobs)

    def _run_together(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        try:
            _run_together(connection, jobs, self._failed, lambda: soundness.suspect(self._path))
        except Exception as error:  # noqa: BLE001 - else the thread would end, and all who wait would wait for ever
            self.broken = JournalBrokenError(f"the journal {self._path} cannot be written: {error!r}")
            soundness.suspect(self._path)
            _resolve_all([(job, None, self.broken) for job in jobs])
            self._tell_broken()

    def _failed(self, error: sqlite3.Error) -> JournalError:
        """Return what an error means; after one that lets nothing be trusted any more, nothing is tried any more."""
        meant = translated(error, self._path)
        if isinstance(meant, JournalBrokenError):
            self.broken = meant
            soundness.suspect(self._path, error)
            self._tell_broken()
        return meant

    def _waiting_jobs(self) -> tuple[list[_Job], bool]:
        job = self._jobs.get()
        jobs: list[_Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == MOST_OPERATIONS_A_TRANSACTION or self._jobs.empty():
                return jobs, False
            job = self._jobs.get()
        return jobs, True


def _open_for_writing(path: Path) -> sqlite3.Connection:
    soundness.make_sound(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    try:
        for pragma in DURABLE:
            connection.execute(pragma)
        migrate.bring_up_to_date(connection, path)
    except sqlite3.Error as error:
        connection.close()
        if is_of_the_file(error):
            soundness.suspect(path, error)
        raise translated(error, path) from error
    except JournalError:
        connection.close()
        raise
    return connection


def _run_together(
    connection: sqlite3.Connection,
    jobs: list[_Job],
    failed: Callable[[sqlite3.Error], JournalError],
    surprised: Callable[[], None],
) -> None:
    """Run the operations in one transaction; one that raises is undone alone."""
    outcomes: list[tuple[_Job, Any, BaseException | None]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [(job, *_run(connection, job.operation)) for job in jobs]
        if any(isinstance(error, _SURPRISES) for _, _, error in outcomes):
            surprised()
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        meant = failed(error)
        outcomes = [(job, None, meant) for job in jobs]
    _resolve_all(outcomes)


def _run(
    connection: sqlite3.Connection, operation: Callable[[sqlite3.Connection], Any]
) -> tuple[Any, BaseException | None]:
    connection.execute("SAVEPOINT operation")
    try:
        result = operation(connection)
    except sqlite3.OperationalError:
        raise  # the disk or the file, not this operation: the whole transaction fails
    except sqlite3.DatabaseError as error:
        if is_of_the_file(error):
            raise
        connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        return None, error
    except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller that awaits it
        connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        return None, error
    connection.execute("RELEASE operation")
    return result, None


def _resolve_all(outcomes: list[tuple[_Job, Any, BaseException | None]]) -> None:
    for job, result, failure in outcomes:
        _resolve(job, result, failure)


def _resolve(job: _Job, result: Any, failure: BaseException | None) -> None:
    def resolve() -> None:
        if job.future.done():  # its waiter was cancelled
            return
        if failure is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(failure)

    job.loop.call_soon_threadsafe(resolve)
