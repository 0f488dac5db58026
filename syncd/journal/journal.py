"""The journal as the rest of syncd sees it: every write awaits durability, every read is a picture."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from syncd.journal import (
    adoption,
    closure,
    history,
    listings,
    observations,
    paired_loss,
    pictures,
    problems,
    snapshots,
    staging,
    table_rows,
    tables,
)
from syncd.journal.database import Database
from syncd.journal.faults import translated
from syncd.journal.reading import copy, one_read, open_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from syncd.model import (
        Agreed,
        KnownTable,
        Observation,
        PairedLoss,
        PendingChange,
        Problem,
        RowImage,
        Signature,
        Snapshot,
        TableVersion,
        Trigger,
    )

T = TypeVar("T")

FILE_NAME = "journal.db"
_MANY = 256  # keys; so few that no caller waits for them


class Journal:
    """The journal of one state directory; an async context manager, opened by one process at a time.

    Implements ``sources.base.Inventory``. Methods without ``async`` read, block for a moment, and may be called
    from any thread; those with ``async`` return once the write is durable.
    """

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE_NAME
        self.recorded = asyncio.Event()  # set after each observation or problem; the loop clears it
        self._database = Database(self.path, broken=self._wake_loop)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        """Open, create or migrate the file.

        Raises:
            JournalError: It cannot be used. One that is damaged is set aside instead, and begun anew.
        """
        self._loop = asyncio.get_running_loop()
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Finish what was submitted, then close."""
        await self._database.__aexit__(*exc_info)

    async def read(self, query: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run one of this room's read functions in a thread, as of one moment.

        As in ``await journal.read(pictures.counts)``.
        """

        def run() -> T:
            with self._one_read() as connection:
                return query(connection, *args, **kwargs)

        return await asyncio.to_thread(run)

    @contextmanager
    def _one_read(self) -> Iterator[sqlite3.Connection]:
        with self._database.reading() as connection, one_read(connection):
            yield connection

    async def examine(self) -> None:
        """Find damage that no statement has met yet; takes 7 s for a million files, beside everything else.

        Raises:
            JournalBrokenError: There is some.
        """
        await asyncio.to_thread(self._database.examine)

    async def write(self, operation: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run one of this room's write functions; its result, once it is durable."""
        return await self._database.write(lambda connection: operation(connection, *args, **kwargs))

    def _wake_loop(self) -> None:
        """Have whoever waits for observations find out that there will be none; called in any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self.recorded.set)

    # What sources need.

    def known_in(self, directory: str) -> Iterator[tuple[str, Signature]]:
        """See ``Inventory.known_in``."""
        return self._database.each(lambda connection: observations.known_in(connection, directory), at_a_time=_MANY)

    def known(self, keys: Sequence[str]) -> Mapping[str, Signature]:
        """See ``Inventory.known``."""
        with self._database.reading() as connection:
            return observations.known(connection, keys)

    def known_below(self, directory: str) -> Iterator[str]:
        """See ``Inventory.known_below``."""
        return self._database.each(lambda connection: observations.known_below(connection, directory), at_a_time=_MANY)

    def known_directories(self, below: str) -> Iterator[str]:
        """See ``Inventory.known_directories``."""
        # one at a time: each costs a look-up, and one is all that some ask for
        return self._database.each(lambda connection: observations.known_directories(connection, below), at_a_time=1)

    def listed_as(self, directory: str) -> bytes | None:
        """See ``Inventory.listed_as``."""
        with self._database.reading() as connection:
            return listings.listed_as(connection, directory)

    async def note_listed(self, found: Sequence[Agreed]) -> None:
        """See ``Inventory.note_listed``."""
        await self.write(listings.note, found)

    def problem_paths(self, source: str, below: str = "") -> set[str]:
        """See ``Inventory.problem_paths``."""
        with self._database.reading() as connection:
            return problems.paths(connection, source, below)

    async def record(self, found: Sequence[Observation]) -> None:
        """See ``Inventory.record``."""
        await self.write(observations.record, found)
        self.recorded.set()

    def known_table(self, name: str) -> KnownTable | None:
        """See ``Inventory.known_table``."""
        with self._one_read() as connection:
            return tables.known(connection, name)

    def seen_sha256(self, key: str) -> bytes | None:
        """See ``Inventory.seen_sha256``."""
        with self._one_read() as connection:
            found = pictures.entry(connection, key)
        return None if found is None else found.seen

    def staged_images(self, keys: Collection[str]) -> set[str]:
        """See ``Inventory.staged_images``."""
        with self._one_read() as connection:
            return staging.held(connection, keys)

    def misshown_parts(self, name: str) -> set[str]:
        """See ``Inventory.misshown_parts``."""
        with self._one_read() as connection:
            return closure.misshown(connection, name)

    def paired_loss(self, name: str, changed_parts: Sequence[str], *, counts_all: bool = False) -> PairedLoss:
        """See ``Inventory.paired_loss``."""
        with self._one_read() as connection:
            return paired_loss.paired_loss(connection, name, changed_parts, counts_all=counts_all)

    def published_rows(self, name: str, since: datetime) -> Sequence[tuple[datetime, int]]:
        """See ``Inventory.published_rows``."""
        with self._one_read() as connection:
            return history.rows_since(connection, name, since)

    async def begin_rows(self, name: str) -> None:
        """See ``Inventory.begin_rows``."""
        await self.write(table_rows.begin, name)

    async def add_rows(self, name: str, rows: Sequence[RowImage]) -> None:
        """See ``Inventory.add_rows``."""
        await self.write(table_rows.add, name, rows)

    async def record_table(self, version: TableVersion, *, changed_parts: Sequence[str] | None) -> None:
        """See ``Inventory.record_table``."""
        await self.write(tables.record, version, changed_parts=changed_parts)
        self.recorded.set()

    async def set_problems(self, source: str, found: Sequence[Problem]) -> None:
        """See ``Inventory.set_problems``."""
        if any(problem.source != source for problem in found):
            raise ValueError("a source reports its own problems only")
        await self.write(problems.put, found)
        self.recorded.set()  # what is held has changed, perhaps

    async def clear_problems(self, source: str, paths: Sequence[str]) -> None:
        """See ``Inventory.clear_problems``."""
        await self.write(problems.clear, source, paths)
        self.recorded.set()

    # What the loop, the uploader and the committer need.

    async def standing(self, *, count_up_to: int) -> pictures.Standing:
        """Return how things stand; counts stop at ``count_up_to``."""
        return await self.read(pictures.standing, count_up_to=count_up_to)

    async def due(self, now: datetime, limit: int) -> tuple[tuple[PendingChange, ...], tuple[PendingChange, ...]]:
        """Return the puts and the deletes that may be staged now, each oldest first and at most ``limit``."""
        return await self.read(staging.due, now, limit)

    async def begin_batch(self, changes: Sequence[PendingChange], now: datetime) -> staging.Begun:
        """Write the intent to send these changes."""
        return await self.write(staging.begin, changes, now)

    async def finish_in_batch(self, outcomes: Sequence[staging.Staged], now: datetime) -> None:
        """Write what the branch holds now at some keys of a batch."""
        await self.write(staging.finish, outcomes, now)

    async def end_batch(self, batch: int, now: datetime, outcomes: Sequence[staging.Staged] = ()) -> None:
        """Mark a batch as ended, and write what the branch holds now at the last of its keys."""
        await self.write(staging.end, batch, now, outcomes)

    async def open_snapshot(self) -> snapshots.OpenSnapshot | None:
        """Return the snapshot that was begun and is not tagged."""
        return await self.read(snapshots.open_snapshot)

    async def begin_snapshot(
        self,
        summary: snapshots.Summary,
        *,
        intent: str,
        trigger: Trigger,
        tag: str,
        message: str,
        metadata: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Write the intent to publish."""
        await self.write(
            snapshots.begin,
            summary,
            intent=intent,
            trigger=trigger,
            tag=tag,
            message=message,
            metadata=metadata,
            now=now,
        )

    async def latest_snapshot(self) -> Snapshot | None:
        """Return the newest finished snapshot."""
        return await self.read(lambda connection: next(history.finished(connection, limit=1), None))

    async def bind(self, target: Mapping[str, str]) -> None:
        """Remember what this journal is about, or check that it still is; see ``adoption.bind``."""
        await self.write(adoption.bind, target)


@contextmanager
def open_readonly(state_dir: Path) -> Iterator[sqlite3.Connection]:
    """Open the journal of a state directory for reading, as of one moment; beside a running daemon, too.

    Raises:
        JournalError: There is none, or it cannot be read.
    """
    path = state_dir / FILE_NAME
    with closing(open_for_reading(path)) as connection:
        try:
            with one_read(connection):
                yield connection
        except sqlite3.Error as error:
            raise translated(error, path) from error


def copy_to(state_dir: Path, target_dir: Path) -> None:
    """Copy a state directory's journal into another directory; nothing to copy is fine."""
    if (state_dir / FILE_NAME).exists():
        copy(state_dir / FILE_NAME, target_dir / FILE_NAME)
