"""`syncd snapshot` calls: from their barrier to their answer (promise P1)."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from syncd.planner.facts import RequestFacts
from syncd.sources.base import Rereadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from syncd.errors import SyncdError
    from syncd.journal import Journal
    from syncd.model import Snapshot
    from syncd.sources.base import LeftOut, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotAnswer:
    """What a call gets."""

    snapshot: Snapshot | None  # None: something is held, or there has never been anything to commit
    left_out: Sequence[LeftOut] = ()
    held: str = ""  # why there is no snapshot


@dataclass(slots=True)
class _Request:
    facts: RequestFacts
    future: asyncio.Future[SnapshotAnswer]
    deadline_s: float  # monotonic
    reason: str
    left_out: list[LeftOut] = field(default_factory=list)


class SnapshotRequests:
    """The calls that wait for an answer; owned by the loop."""

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        journal: Journal,
        wake: asyncio.Event,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """Keep what is needed.

        Args:
            sources: Asked for their barriers.
            journal: Tells up to which observation a call waits.
            wake: Set for the loop when there is a new call.
            clock: The time now, in UTC, for the sources.
            monotonic: Seconds, for the patience of callers: no clock that is set ends or prolongs it.
        """
        self._sources, self._journal, self._wake = sources, journal, wake
        self._clock, self._monotonic = clock, monotonic
        self._ids = itertools.count(1)
        self._open: dict[int, _Request] = {}

    async def snapshot(
        self,
        *,
        patience: timedelta,
        allow_held: bool,
        once: bool = False,
        reason: str = "",
        ends_pause: bool = False,
    ) -> SnapshotAnswer:
        """Wait until everything in place before this call is in a published snapshot.

        Args:
            patience: How long files that are still changing are waited for; also how long a failing lakeFS is.
            allow_held: Publish without held deletions, rather than answer that they are held.
            once: The sources are not running: list each of them once.
            reason: The caller's, for the commit.
            ends_pause: Others wait for this one's snapshot: it is published although nothing else is.

        Raises:
            SourceUnavailableError: A source cannot be read.
            StoreError: lakeFS still failed when the time ran out.
        """
        called_s = self._monotonic()
        left_out = await self.barrier(self._clock() + patience, once=once)
        since_s = self._monotonic() if once else called_s  # a first listing of very much takes what it takes
        deadline_s = since_s + patience.total_seconds()
        standing = await self._journal.standing(count_up_to=1)
        facts = RequestFacts(
            id=next(self._ids), revision=standing.revision, allow_held=allow_held, ends_pause=ends_pause
        )
        request = _Request(facts, asyncio.get_running_loop().create_future(), deadline_s, reason, left_out)
        self._open[facts.id] = request
        self._wake.set()
        try:
            return await request.future
        finally:
            self._open.pop(facts.id, None)

    async def barrier(self, deadline: datetime, *, once: bool = False) -> list[LeftOut]:
        """Wait until everything in place before this call is observed; return what was not in time.

        Raises:
            SourceUnavailableError: A source cannot be read.
        """
        calls = [
            asyncio.ensure_future(source.scan_once(deadline) if once else source.barrier(deadline))
            for source in self._sources
        ]
        try:
            answers = await asyncio.gather(*calls)
            for number, source in enumerate(self._sources):
                # a table that was read before the folder was listed may be held for images that are there
                if isinstance(source, Rereadable) and await source.fits_otherwise():
                    answers[number] = await (source.scan_once(deadline) if once else source.barrier(deadline))
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        return [left_out for answer in answers for left_out in answer]

    def facts(self) -> tuple[RequestFacts, ...]:
        """Return the calls whose barrier has passed."""
        now_s = self._monotonic()
        waiting = [request for request in self._open.values() if not request.future.done()]
        return tuple(replace(request.facts, expired=now_s >= request.deadline_s) for request in waiting)

    def reasons(self) -> list[str]:
        """Return why those who call want a snapshot, as far as they say."""
        return list(dict.fromkeys(request.reason for request in self._open.values() if request.reason))

    def newest(self) -> int:
        """Return the id of the newest call; 0: there is none."""
        return max(self._open, default=0)

    def revision_of(self, request_id: int) -> int | None:
        """Return up to which observation a call waits; None if it has gone away."""
        request = self._open.get(request_id)
        return None if request is None else request.facts.revision

    def answer(self, request_id: int, snapshot: Snapshot | None, *, held: str, refused: Sequence[LeftOut]) -> None:
        """Give a call its answer; one that has gone away is no matter."""
        request = self._open.get(request_id)
        if request is not None and not request.future.done():
            left_out = (*request.left_out, *refused)
            request.future.set_result(SnapshotAnswer(snapshot=snapshot, left_out=left_out, held=held))

    def failed(self, error: SyncdError, *, in_vain_up_to: int) -> None:
        """Tell those whose time has run out, and those up to this id, which wait in vain, that lakeFS fails."""
        now_s = self._monotonic()
        for request in self._open.values():
            in_vain = request.facts.id <= in_vain_up_to
            if not request.future.done() and (in_vain or now_s >= request.deadline_s):
                request.future.set_exception(error)

    def next_deadline_in_s(self) -> float | None:
        """Return in how long the next call runs out of time; those whose time has run out need no waking."""
        now_s = self._monotonic()
        return min((r.deadline_s - now_s for r in self._open.values() if r.deadline_s > now_s), default=None)
