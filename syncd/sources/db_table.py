"""A table of a database as a source: read whole, in one consistent piece, and published in parts.

The read of a whole table is the truth: watermarks miss what commits late and everything that is deleted. A probe of
the database says whether a read is due at all; a notification only makes it look sooner. A database that does not
answer is never an empty table: what was published last stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, BinaryIO

import structlog

from syncd.errors import first_alone
from syncd.model import ProblemCode
from syncd.sources.base import LeftOut, SourceHealth
from syncd.sources.problem_book import ProblemBook
from syncd.sources.tables.base import TableChangingError, TableFaultError, TableUnavailableError
from syncd.sources.tables.pace import Pace
from syncd.sources.tables.publish import PublishingStoppedError
from syncd.sources.tables.reader import HeldVersionError, TableReader
from syncd.sources.tables.second_look import wake_once_it_fits

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from syncd.model import DeletionLimits
    from syncd.sources.base import Inventory
    from syncd.sources.settings import DatabaseTableSettings
    from syncd.sources.tables.base import TableDatabase

log = structlog.get_logger(__name__)

_STAYS = "The last good version stays"
_RETRY_SECONDS = 0.25  # between tries of a barrier while the database does not answer, or a file is being written
_LATE = "it has not been read in time"
_SILENCE_LOOK_SECONDS = 5.0
_SENT_SECONDS = 0.05  # between looks whether the version before is on the staging branch


class DbTable:
    """One table or query; implements ``Source``.

    Args:
        settings: Which table, and how it is published.
        database: Where it is; closed when the source stops.
        inventory: Where versions go.
        clock: The time, time-zone-aware.
        rng: For the jitter of retries.
        listen: Starts to listen for notifications and returns what stops it; None: there are none.
        sending_patience_s: How long a look waits for the version before to be sent, without seeing any of it go. A
            newer version takes the place of what is being sent, so that looks in close order would starve it.
        grace_s: How long a call goes on after its deadline, to get what is at hand.
    """

    def __init__(
        self,
        settings: DatabaseTableSettings,
        database: TableDatabase,
        inventory: Inventory,
        *,
        clock: Callable[[], datetime],
        rng: random.Random,
        listen: Callable[[Callable[[], None]], Callable[[], None]] | None = None,
        sending_patience_s: float = 10.0,
        grace_s: float = 5.0,
    ) -> None:
        self._settings, self._database, self._inventory = settings, database, inventory
        self._clock, self._listen = clock, listen
        self._sending_patience_s, self._grace_s = sending_patience_s, grace_s
        self._problems = ProblemBook(settings.name, inventory, clock)
        self._stopped = threading.Event()
        self._reader = TableReader(settings, database, inventory, stopped=self._stopped.is_set)
        self._pace = Pace(settings.poll_seconds, rng)
        self._turn, self._wake = asyncio.Lock(), asyncio.Event()
        self._begun = self._done = 0  # looks at the table; the newest of these that has ended
        self._fault, self._hold = "it has not been read yet", ""
        self._unavailable = self._reading = False
        self._interrupted = False  # the newest look ended with the source, which is about to run again
        self._complete = False

    @property
    def name(self) -> str:
        """Return the table's name."""
        return self._settings.name

    def limit(self, limits: DeletionLimits) -> None:
        """See ``Limited``."""
        self._reader.limits = limits

    async def run(self) -> None:
        """See ``Source.run``."""
        self._stopped.clear()
        stop_listening: Callable[[], None] | None = None
        try:
            await self._problems.load()
            if self._listen is not None:
                stop_listening = self._listen(self._waker())
            with first_alone():
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._name_silence())
                    group.create_task(wake_once_it_fits(self.fits_otherwise, self._wake))
                    await self._keep_looking()
        finally:
            self._stopped.set()
            if stop_listening is not None:
                await asyncio.to_thread(stop_listening)
            await self._reader.join()  # a read that was cancelled goes on in its thread until it notices
            await asyncio.to_thread(self._database.close)

    async def _keep_looking(self) -> None:
        reason = "poll"
        while True:
            self._wake.clear()
            await self._let_it_be_sent(None)
            await self._look(reason)
            reason = "event" if await self._woken(self._pace.pause_s()) else "poll"

    async def _name_silence(self) -> None:
        """Name a read that neither goes on nor fails, for as long as it does; the look after it has the last word."""
        limit_s, named = self._settings.silence_seconds, False
        while limit_s is not None:
            silent = self._reader.life.silent_s() > limit_s
            if silent and not named:
                error = TableUnavailableError(
                    f"the database has not answered for more than {limit_s:g} s",
                    cause="a lock, or a connection that was lost without a word",
                    next_step="look what syncd's statement waits for there; syncd carries on once it has an answer",
                )
                self._refuse(ProblemCode.SOURCE_UNAVAILABLE, error.fact, str(error))
                self._unavailable = True
                await self._problems.flush()
            elif named and not silent and self._unavailable:
                self._wake.set()
            named = silent
            await asyncio.sleep(min(limit_s / 4, _SILENCE_LOOK_SECONDS))

    async def barrier(self, deadline: datetime) -> Sequence[LeftOut]:
        """See ``Source.barrier``; a table that cannot be read or published is left out, it does not stop the others.

        A database that does not answer is asked again until the deadline, as is one whose reading is paused. One that
        is slow is left out then; its read goes on, and a new version is recorded all the same.
        """
        await self._let_it_be_sent(deadline)
        left_s = max(0.0, (deadline - self._clock()).total_seconds())
        try:
            async with asyncio.timeout(left_s + self._grace_s) as limit:
                return await self._barrier(deadline)
        except TimeoutError:
            if not limit.expired():
                raise
        return [LeftOut(path=self.name, reason=_LATE)]

    async def _barrier(self, deadline: datetime) -> Sequence[LeftOut]:
        while True:
            await self._look("request")
            remaining_s = (deadline - self._clock()).total_seconds()
            if not (self._unavailable or self._interrupted) or remaining_s <= 0:
                return [LeftOut(path=self.name, reason=self._fault)] if self._fault else []
            await asyncio.sleep(min(remaining_s, _RETRY_SECONDS))

    async def scan_once(self, deadline: datetime) -> Sequence[LeftOut]:
        """See ``Source.scan_once``."""
        self._stopped.clear()
        try:
            return await self._barrier(deadline)
        finally:
            self._stopped.set()
            await self._reader.join()
            await asyncio.to_thread(self._database.close)

    def open(self, key: str) -> BinaryIO:
        """See ``Source.open``: what was written when the table was read, for as long as it has to be sent."""
        return self._reader.open(key)

    def recheck(self, key: str) -> None:
        """See ``Source.recheck``: its body is written anew."""
        self._reader.rewrite(key)
        self._wake.set()

    def read_again(self) -> None:
        """Read the table although it may be as it was: images that its rows name came to the branch, or left it."""
        self._reader.read_again()
        self._wake.set()

    async def fits_otherwise(self) -> bool:
        """See ``Rereadable``."""
        return bool(self._hold) and not self._reading and await asyncio.to_thread(self._reader.fits_otherwise)

    def approve(self) -> str:
        """Take the version that is held as it was when it was looked at; return what was held, "" if nothing was."""
        held, self._hold = self._hold, ""
        if held:
            self._reader.approve()
            self._wake.set()
        return held

    def health(self) -> SourceHealth:
        """See ``Source.health``. Complete once read, also by an earlier run: no version is half of a table."""
        return SourceHealth(
            name=self.name,
            available=not self._unavailable or self._pace.waiting,
            complete=self._complete or self._reader.has_version,
            scanning=self._reading,
            settling=0,
            reason=self._fault,
            hold=self._hold,
            skipped=self._problems.counts(),
        )

    def _waker(self) -> Callable[[], None]:
        """Return what makes the table looked at soon, from any thread."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody looks any more
                loop.call_soon_threadsafe(self._wake.set)

        return wake

    async def _woken(self, timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        return self._wake.is_set()

    async def _let_it_be_sent(self, deadline: datetime | None) -> None:
        """Wait while what was read before is on its way to lakeFS, but not for a lakeFS that takes nothing."""
        loop = asyncio.get_running_loop()
        fewest, since_s = None, loop.time()
        while (waiting := await asyncio.to_thread(self._reader.waiting)) and (
            deadline is None or self._clock() < deadline
        ):
            if fewest is None or waiting < fewest:
                fewest, since_s = waiting, loop.time()
            elif loop.time() - since_s >= self._sending_patience_s:
                return
            await asyncio.sleep(_SENT_SECONDS)

    async def _look(self, reason: str) -> None:
        """Look at the table; a look that another caller began after this call is as good."""
        number = self._begun + 1
        async with self._turn:
            if self._done >= number:
                return
            self._begun += 1
            mine = self._begun
            await self._look_once(reason)
            self._done = mine

    async def _look_once(self, reason: str) -> None:
        loop = asyncio.get_running_loop()
        began_s, self._reading, self._interrupted = loop.time(), True, False
        try:
            accepted = await self._reader.read(self._clock(), reason)
        except TableChangingError as error:
            self._unavailable, self._fault = True, error.fact  # a call waits for it, and no one else is told
            self._pace.soon()
        except TableUnavailableError as error:
            self._refuse(ProblemCode.SOURCE_UNAVAILABLE, error.fact, str(error))
            self._unavailable = True
            self._pace.failed()
        except HeldVersionError as error:
            self._refuse(ProblemCode.HELD, error.fact, str(error))
            self._hold = error.fact
            self._pace.worked(loop.time() - began_s)
        except TableFaultError as error:
            self._refuse(ProblemCode.BAD_TABLE, error.fact, f"{str(error).rstrip('.')}. {_STAYS}")
            self._pace.worked(loop.time() - began_s)
        except PublishingStoppedError:
            self._interrupted = True
            return
        else:
            self._accept(accepted)
            self._pace.worked(loop.time() - began_s)
        finally:
            self._reading = False
        await self._problems.flush()

    def _accept(self, accepted: bool) -> None:
        if self._fault and self._complete:
            log.info("table_available", table=self.name)
        self._unavailable, self._fault, self._hold, self._complete = False, "", "", True
        self._problems.clear(self.name)
        if accepted:
            log.info("table_read", table=self.name, **self._reader.figures)

    def _refuse(self, code: ProblemCode, fact: str, detail: str) -> None:
        if self._fault != fact:
            log.warning("table_not_read", table=self.name, code=code.value, why=fact)
        self._unavailable, self._fault, self._hold = False, fact, ""
        self._problems.note(self.name, code, detail)
