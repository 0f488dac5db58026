"""Applies the keep rules beside the loop: a snapshot that no rule keeps loses its pin, and its tag where that is set.

What it costs follows what is removed. After a crash in the middle the same is decided and done again; each step may be
repeated. Whatever fails is said, and tried again; no snapshot waits for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from syncd.errors import JournalError, StoreError
from syncd.journal.history import finished, meant_tag, remove
from syncd.planner.retention import judge
from syncd.planner.tag_name import is_tag_for
from syncd.retention.checking import check, history, repair
from syncd.retention.claims import claims
from syncd.store.pins import Keeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from datetime import datetime

    from syncd.journal import Journal
    from syncd.model import Snapshot
    from syncd.planner.retention import KeepRules
    from syncd.retention.checking import Fault
    from syncd.retention.claims import Claims
    from syncd.store.base import VersionStore
    from syncd.store.pins import PinStore

log = structlog.get_logger(__name__)

PAGE = 200  # removed, before it is asked again who wants one of the others
PAUSE_S = 60.0  # before what failed is tried again
MOST_LOGGED = 10


class Retention:
    """Removes what is not kept, and once after the start sees that all that is kept is pinned.

    Args:
        journal: The history.
        versions: The repository.
        pins: Its pins.
        rules: How many snapshots are kept.
        remove_tags: A removed snapshot loses its tag as well.
        repository: Its name, for people.
        staging: The staging branch, likewise.
        clock: The time now, in UTC.
        may_write: Asked before each page; raises if the staging branch is another syncd's.
    """

    def __init__(  # noqa: PLR0913  # what it works with, and what it is told
        self,
        *,
        journal: Journal,
        versions: VersionStore,
        pins: PinStore,
        rules: KeepRules,
        remove_tags: bool,
        repository: str,
        staging: str,
        clock: Callable[[], datetime],
        may_write: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._journal, self._versions, self._pins = journal, versions, pins
        self._rules, self._remove_tags = rules, remove_tags
        self._repository, self._staging = repository, staging
        self._clock, self._may_write = clock, may_write
        self.due = asyncio.Event()
        self._begun = False
        self.failure = ""  # why it did not work the last time
        self.faults: Sequence[Fault] = ()  # what only a person can put right, as found at the start
        self.page = PAGE
        self._checked = False

    def follow(self, rules: KeepRules, *, remove_tags: bool) -> None:
        """Go by other rules from now on."""
        self._rules, self._remove_tags = rules, remove_tags
        if self._begun:
            self.due.set()

    def begin(self) -> None:
        """The repository is known to be there and ours, or has a new snapshot: what is not kept can go."""
        self._begun = True
        self.due.set()

    async def serve(self) -> None:
        """Apply the rules whenever that is due, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S if self.failure else None):
                    await self.due.wait()
            self.due.clear()
            await self.attempt()

    async def attempt(self) -> None:
        """Apply the rules; what goes wrong is kept in ``failure``, and logged once."""
        try:
            await self.apply()
        except (StoreError, JournalError) as error:
            (log.debug if self.failure else log.warning)("retention_failed", error=str(error))
            self.failure = str(error)
        else:
            self.failure = ""

    async def apply(self) -> int:
        """Remove what is not kept; return how many. The first time, see to all pins as well.

        Raises:
            StoreError: lakeFS does not answer or refuses; what was removed by then is recorded.
        """
        count = await self._remove()
        if not self._checked:
            await self._see_to_pins()
            self._checked = True
        return count

    async def _remove(self) -> int:
        count = 0
        while doomed := await self._doomed():
            page = doomed[: self.page]
            for one in page:
                if self._remove_tags:
                    await self._remove_tag(one)
                await self._pins.unpin(Keeper.RETENTION, one.commit_id)
            await self._journal.write(remove, page, self._clock())
            for one in page:
                log.info("snapshot_removed", tag=one.tag, commit_id=one.commit_id, made_at=one.created_at.isoformat())
            count += len(page)
        return count

    async def _doomed(self) -> list[Snapshot]:
        """Return what is not kept, the oldest first. Where the rules keep everything, lakeFS is not asked."""
        if self._rules.keep_all:
            return []
        kept = (await self._journal.read(lambda read: list(finished(read, limit=-1, kept=True))))[::-1]
        if not await self._removed_of(kept):
            return []
        wanted = await self._claims()
        return await self._removed_of(kept, wanted.pinned, wanted.in_use)

    async def _removed_of(
        self, kept: Sequence[Snapshot], pinned: Collection[str] = (), in_use: Collection[str] = ()
    ) -> list[Snapshot]:
        """Judge in a thread: there may be many, the first time. What shares its commit with one that stays, stays."""
        reasons = dict.fromkeys(pinned, "")
        verdicts = await asyncio.to_thread(judge, kept, self._rules, pinned=reasons, in_use=in_use)
        staying = {one.snapshot.commit_id for one in verdicts if one.keep}
        return [one.snapshot for one in verdicts if not one.keep and one.snapshot.commit_id not in staying]

    async def _claims(self) -> Claims:
        """Return who wants what, and let go of what was held for pulls that have died."""
        if self._may_write is not None:
            await self._may_write()
        found = await claims(self._pins, self._clock())
        for use in found.over:
            await self._pins.end_use(use.name)
        return found

    async def _remove_tag(self, one: Snapshot) -> None:
        """Remove a snapshot's tag, and never one that may be a person's: as read back from lakeFS, it may be."""
        if not is_tag_for(one.tag, await self._journal.read(meant_tag, one)):
            log.info("tag_left", tag=one.tag, commit_id=one.commit_id, why="its commit does not name it")
            return
        target = await self._versions.tag_target(one.tag)
        if target == one.commit_id:
            await self._pins.delete_tag(one.tag)
        elif target is not None:
            log.warning("tag_left", tag=one.tag, points_at=target, was_put_on=one.commit_id)

    async def _see_to_pins(self) -> None:
        await self._claims()
        found = await check(
            lambda: self._journal.read(history),
            versions=self._versions,
            pins=self._pins,
            repository=self._repository,
            staging=self._staging,
        )
        repaired, self.faults = await repair(found, self._pins)
        if repaired:
            log.info("pins_repaired", count=repaired)
        for fault in self.faults[:MOST_LOGGED]:
            log.warning("pin_fault", code=fault.code.value, tag=fault.tag, commit_id=fault.commit_id, why=fault.why)
        if len(self.faults) > MOST_LOGGED:
            log.warning("pin_faults", count=len(self.faults))
