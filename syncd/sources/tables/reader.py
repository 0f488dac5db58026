"""One look at a database table: is a read due, is what it shows believed, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from syncd.errors import RepeatedRowError, SyncdError
from syncd.model import TableVersion
from syncd.sources.tables.agreement import Agreement
from syncd.sources.tables.base import TableFaultError
from syncd.sources.tables.incremental import ChangesUntoldError, Follower, contents
from syncd.sources.tables.publish import KnownObject, Publisher, part_of
from syncd.sources.tables.publish_csv import publish_csv
from syncd.sources.tables.schema import compare, finds_images_alike, schema_json
from syncd.sources.tables.sign_of_life import SignOfLife
from syncd.sources.tables.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Sequence
    from datetime import datetime

    from syncd.model import KnownTable, RowImage
    from syncd.sources.base import Inventory
    from syncd.sources.settings import DatabaseTableSettings
    from syncd.sources.tables.base import ChangeAware, TableDatabase, TableReading
    from syncd.sources.tables.publish import Published

T = TypeVar("T")


class HeldVersionError(SyncdError):
    """The table is read, and a person must agree before it takes the place of the last version."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """A version that was read and not taken: while the database is as it was, it need not be read again."""

    token: Hashable | None
    fact: str
    cause: str
    next_step: str


class TableReader:
    """Reads one table; one look at a time.

    Args:
        settings: Which table, and how it is published.
        database: Where it is.
        inventory: What is known of it, and where a new version goes.
        stopped: Asked during a read; True ends it.
    """

    def __init__(
        self,
        settings: DatabaseTableSettings,
        database: TableDatabase,
        inventory: Inventory,
        *,
        stopped: Callable[[], bool],
    ) -> None:
        self._settings, self._database, self._inventory = settings, database, inventory
        self._stopped = self.life = SignOfLife(stopped)
        self.limits = settings.limits
        self._spool = Spool(settings.spool_dir)
        self._follower = Follower(settings.name, whole_seconds=settings.full_read_seconds)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"syncd-table-{settings.name}")
        self._job: Future[bool] | None = None
        self._token: Hashable | None = None  # of the version accepted last
        self._refused: _Refused | None = None
        self._agreement = Agreement(settings.name, inventory)
        self._asked = self._answered = 0  # how often it was asked to read anew, and which of these were answered
        self._rewrite: set[str] = set()  # keys whose bodies are written although they may be unchanged
        self.has_version = False  # one is known, from this run or an earlier one
        self.figures: dict[str, Any] = {}  # of the read that ended last, for the log

    async def read(self, now: datetime, reason: str) -> bool:
        """Look at the table; return whether there is a new version, which then is recorded.

        Raises:
            TableUnavailableError: The database does not answer.
            TableFaultError: What it says cannot be published.
            HeldVersionError: A person must agree first.
            PublishingStoppedError: ``stopped`` said so.
            JournalError: The disk is full.
        """
        job = self._threads.submit(self.life.during, self._read, asyncio.get_running_loop(), now, reason)
        self._job = job
        return await asyncio.wrap_future(job)

    async def join(self) -> None:
        """Return once no read is under way any more, also one whose caller was cancelled: the newest comes last."""
        if self._job is not None:
            await asyncio.to_thread(wait, [self._job])

    def open(self, key: str) -> BinaryIO:
        """Open a body that waits to be sent; of a version that was just recorded, too. Blocks.

        Raises:
            FileNotFoundError: There is none, or not any more.
        """
        sha256 = self._inventory.seen_sha256(key)
        if sha256 is None:
            raise FileNotFoundError(key)
        return self._spool.open(sha256)

    def waiting(self) -> int:
        """Return how many objects of the version accepted last are not on the staging branch yet. Blocks."""
        known = self._inventory.known_table(self._settings.name)
        return 0 if known is None else sum(not one.staged for one in known.objects)

    def rewrite(self, key: str) -> None:
        """Let the next look write this body anew."""
        self._rewrite.add(key)

    def read_again(self) -> None:
        """Let the next look read the table although it may be as it was: images that its rows name came or went."""
        self._asked += 1

    def approve(self) -> None:
        """Let the next look take what was held, unless more is gone by then or the columns are others."""
        self._agreement.approve()
        self._refused = None

    def fits_otherwise(self) -> bool:
        """Return whether the version that was not taken fits the images otherwise than when it was read. Blocks."""
        return self._refused is not None and self._agreement.fits_otherwise()

    def _read(self, loop: asyncio.AbstractEventLoop, now: datetime, reason: str) -> bool:
        known = self._inventory.known_table(self._settings.name)
        self.has_version = known is not None
        rewrite = self._keep_bodies(known)
        token = self._database.probe()
        if token is not None and self._refused and token == self._refused.token and not self.fits_otherwise():
            said = self._refused  # one error raised again and again would keep what each of its ways had in hand
            raise HeldVersionError(said.fact, cause=said.cause, next_step=said.next_step)
        asked = self._asked
        nothing_asked = not rewrite and asked == self._answered
        if token is not None and token == self._token and known is not None and nothing_asked and self._has_rows(known):
            return False
        try:
            try:
                is_new = self._read_anew(loop, known, rewrite, token, now, reason)
            except ChangesUntoldError:  # its transaction is over
                is_new = self._read_anew(loop, known, rewrite, token, now, reason)
        except HeldVersionError as error:
            self._refused = _Refused(token, error.fact, error.cause, error.next_step)
            raise
        self._answered = asked
        return is_new

    def _read_anew(
        self,
        loop: asyncio.AbstractEventLoop,
        known: KnownTable | None,
        rewrite: set[str],
        token: Hashable | None,
        now: datetime,
        reason: str,
    ) -> bool:
        began_s = time.monotonic()
        with self._database.read() as reading:
            columns = schema_json(self._settings.name, reading.columns, self._settings.key, 0)
            self._agree_to_columns(known, reading, columns)
            _wait_for(loop, self._inventory.begin_rows(self._settings.name))
            published = self._publish(loop, reading, known, rewrite, now)
            column_count = len(reading.columns)
        changed = self._changed_parts(known, published)
        self._agree_to_rows(known, published, columns, changed, now)
        version = TableVersion(
            name=self._settings.name,
            objects=published.objects,
            rows=published.rows,
            columns=column_count,
            schema=published.schema,
            observed_at=now,
            reason=reason,
        )
        _wait_for(loop, self._inventory.record_table(version, changed_parts=changed))
        self._agreement.accepted(now)
        self._token, self._refused = token, None
        self._follower.accept()
        self._rewrite -= rewrite
        self._keep_bodies(self._inventory.known_table(self._settings.name))
        self.figures = {
            "rows": published.rows,
            "rows_read": published.rows if self._settings.as_csv else self._follower.rows_read,
            "parts": len(published.objects),
            "parts_changed": len(published.changed) + len(published.gone),
            "duration_s": round(time.monotonic() - began_s, 3),
        }
        return known is None or contents(published.objects) != contents(one.object for one in known.objects)

    def _has_rows(self, known: KnownTable) -> bool:
        """Return whether it is known which image each row names, as far as that is wanted."""
        if not self._settings.keeps_rows:
            return True
        return known.keeps_rows and finds_images_alike(known.schema, self._settings.image)

    def _changed_parts(self, known: KnownTable | None, published: Published) -> list[str] | None:
        """Return the pieces whose rows take the place of those there were; None where no rows are kept."""
        if not self._settings.keeps_rows:
            return None
        changed = {*published.changed, *published.gone}
        if known is not None and not self._has_rows(known):  # all rows were told anew
            changed |= {part_of(one.object.key) for one in known.objects}
        return sorted(changed)

    def _keep_bodies(self, known: KnownTable | None) -> set[str]:
        """Keep the bodies that wait to be sent, and no others; return the keys of those that are needed and lost."""
        objects = known.objects if known is not None else ()
        waiting = {one.object.key: one.object.fingerprint.sha256 for one in objects if not one.staged}
        self._spool.sweep(waiting.values())
        lost = {key for key, sha256 in waiting.items() if not self._spool.holds(sha256)}
        return lost | (self._rewrite & {one.object.key for one in objects})

    def _publish(
        self,
        loop: asyncio.AbstractEventLoop,
        reading: TableReading,
        known: KnownTable | None,
        rewrite: set[str],
        now: datetime,
    ) -> Published:
        def tell(rows: Sequence[RowImage]) -> None:
            try:
                _wait_for(loop, self._inventory.add_rows(self._settings.name, rows))
            except RepeatedRowError as error:
                raise TableFaultError(
                    error.fact,
                    cause="its keys did not come in ascending order, or two of them read alike",
                    next_step="report it: syncd reads the keys in order and checks them",
                ) from error

        objects = [one.object for one in known.objects] if known is not None and self._has_rows(known) else []
        how: dict[str, Any] = {
            "name": self._settings.name,
            "image_column": self._settings.image,
            "known": {one.key: KnownObject(published=one, rewrite=one.key in rewrite) for one in objects},
            "spool": self._spool,
            "stopped": self._stopped,
            "on_rows": tell if self._settings.keeps_rows else None,
            "there": self._inventory.staged_images if self._settings.excludes else None,
        }
        if self._settings.as_csv:
            return publish_csv(reading, **how)
        return self._follower.publish(
            reading,
            _changes_in(reading),
            Publisher(**how),
            known=objects if objects and not rewrite else None,
            needed=self._inventory.misshown_parts(self._settings.name) if self._settings.excludes else (),
            now=now,
        )

    def _agree_to_columns(self, known: KnownTable | None, reading: TableReading, columns: bytes) -> None:
        change = compare(known.schema if known is not None else "", reading.columns, self._settings.key)
        if not change.reasons or self._agreement.covers_columns(columns):
            return
        raise HeldVersionError(
            f"the table {self._settings.name} has other columns than before: {'; '.join(change.reasons)}",
            cause="models trained on it may count on them, so the last version stays published",
            next_step="syncd approve, if that is intended",
        )

    def _agree_to_rows(
        self, known: KnownTable | None, published: Published, columns: bytes, changed: list[str] | None, now: datetime
    ) -> None:
        compared = changed if self._settings.excludes else None
        held = self._agreement.why_held(
            known, published.rows, limits=self.limits, now=now, columns=columns, changed_parts=compared
        )
        if held:
            raise HeldVersionError(held)


def _changes_in(reading: TableReading) -> ChangeAware | None:
    """Return what the database tells of changes besides the rows, if it does."""
    changes: ChangeAware | None = getattr(reading, "changes", None)
    return changes


def _wait_for(loop: asyncio.AbstractEventLoop, doing: Coroutine[Any, Any, T]) -> T:
    """Do something in the event loop, from a thread."""
    return asyncio.run_coroutine_threadsafe(doing, loop).result()
