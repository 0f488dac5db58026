"""One root, watched, listed and read from the moment it is found until it is lost or the source is stopped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.errors import first_alone
from syncd.sources.base import LeftOut
from syncd.sources.hints import Hints
from syncd.sources.ledger import Ledger
from syncd.sources.looking_loop import LookingLoop
from syncd.sources.reading_loop import ReadingLoop
from syncd.sources.tree import shown
from syncd.sources.watcher import COOKIE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from syncd.sources.watcher import Watcher
    from syncd.sources.work import Work


class SessionEndedError(Exception):
    """The root was lost, or replaced, while a barrier waited."""


@dataclass(slots=True)
class _WaitsFor:
    """What a barrier waits for, for whom it keeps waiting."""

    what: str = "nothing tells whether its events have all come"


class Session:
    """The work on one root. Ends by being cancelled, or by the error that says how the root was lost."""

    def __init__(self, work: Work) -> None:
        self._work, self._ended = work, False
        loop = asyncio.get_running_loop()
        hints = Hints(lambda: loop.call_soon_threadsafe(work.progress.made))
        ledger = Ledger(work)
        self.looking = LookingLoop(work, ledger, hints)
        self._reading = ReadingLoop(work, ledger)

    @property
    def settling(self) -> int:
        """How many files are on their way into the inventory."""
        return self._work.pending.expected

    async def run(self) -> None:
        """Watch, list, read and record.

        Raises:
            SourceUnavailableError: The root is lost or empty.
        """
        try:
            with first_alone():
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.looking.run())
                    group.create_task(self._reading.run(group))
        finally:
            self._ended = True
            self._work.looker.stopped.set()
            self._work.progress.made()
            await self._work.join()
            await asyncio.to_thread(self.looking.close)

    async def barrier(
        self, called_at_s: float, deadline: datetime, *, patience_s: float | None = None
    ) -> list[LeftOut]:
        """Return once everything in place at the call has been recorded; see ``Source.barrier``.

        Args:
            called_at_s: Moment of the call by the event loop's clock.
            deadline: When to stop waiting.
            patience_s: Instead, wait as long as it goes on: until no file was done for so long.

        Raises:
            SessionEndedError: The root was lost meanwhile.
        """
        unreadable: dict[str, str] = {}
        outstanding: set[str] | None = None
        waits_for = _WaitsFor()
        self._work.newcomers.append(unreadable)
        try:
            remaining_s = (deadline - self._work.clock()).total_seconds()
            async with asyncio.timeout(remaining_s if patience_s is None else None):
                await self._see_everything(called_at_s, waits_for)
                outstanding = self._work.pending.outstanding()
                await self._until_done(outstanding, patience_s)
        except TimeoutError:
            if outstanding is None:
                unreadable["."] = f"the folder could not be listed completely in time: {waits_for.what}"
        finally:
            self._work.newcomers = [known for known in self._work.newcomers if known is not unreadable]
            if outstanding is not None:
                self._work.pending.forget(outstanding)
        for path in outstanding or ():
            unreadable.setdefault(shown(path), self._work.pending.why(path))
        return [LeftOut(path=path, reason=reason) for path, reason in sorted(unreadable.items())]

    async def _until_done(self, outstanding: set[str], patience_s: float | None) -> None:
        """Return once there are none of these any more.

        Raises:
            TimeoutError: None was done for so long.
        """
        while outstanding:
            left = len(outstanding)
            async with asyncio.timeout(patience_s):
                await self._until(lambda left=left: len(outstanding) < left)  # type: ignore[misc]

    async def _see_everything(self, called_at_s: float, waits_for: _WaitsFor) -> None:
        """Return once every file changed before the call is pending or recorded, every absence recorded (P1).

        With events: the watcher's cookie, made now, comes out of the one queue after the events of all that
        happened before, so those are in the hints. The round asked for next begins by taking these hints, and ends
        when all of them have been looked at, with all that is below new directories. What has no watch yet is a
        directory that a listing has still to come to: listings watch first and list afterwards, and one that is
        under way for that, or asked for because hints were lost, is waited for; not one that only makes sure, as every
        ten minutes: of a million files it takes a while. A look is never spoiled by a reading that
        overlaps it: see the rules in ``pending``. A listing that has only just begun may be about to place the watcher.

        Without events, or without an answer: a full listing that begins after the call.
        """
        looking = self.looking
        waits_for.what = "a listing of all of it has not got under way"
        await self._until(lambda: not looking.preparing)
        watcher = self._work.looker.watcher
        if watcher is not None and await self._cookie(watcher):
            number = looking.ask_round()
            waits_for.what = "what changed just before the call has not all been looked at"
            await self._until(lambda: looking.done >= number)
            listing = looking.scans.needed
        else:
            if watcher is not None and watcher is self._work.looker.watcher:
                looking.distrust_watcher()
            begun_at_s = looking.scans.begun_at_s
            fresh = begun_at_s is not None and begun_at_s >= called_at_s
            listing = looking.scans.current if fresh else looking.ask_scan("request")
        waits_for.what = "a listing of all of it has not ended"
        await self._until(lambda: looking.scans.done >= listing)

    async def _cookie(self, watcher: Watcher) -> bool:
        """Return whether a cookie comes back; the watcher of a session that ends answers nobody."""
        asking = asyncio.ensure_future(watcher.cookie(COOKIE_SECONDS))
        asking.add_done_callback(lambda _: self._work.progress.made())
        try:
            await self._until(asking.done)
            return asking.result()
        finally:
            asking.cancel()

    async def _until(self, reached: Callable[[], bool]) -> None:
        await self._work.progress.until(lambda: self._ended or reached())
        if self._ended:
            raise SessionEndedError
