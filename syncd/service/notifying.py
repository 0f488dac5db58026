"""Looks at the running dataset every other second and has told what changed. None of this delays or fails the sync."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import JournalError
from syncd.notify.command import Command
from syncd.notify.events import Kind, Memory, Rules, Sight, compare
from syncd.notify.notice import Dataset
from syncd.notify.ping import Ping
from syncd.notify.post import Post, Receivers
from syncd.notify.webhook import Webhook
from syncd.service import news_report
from syncd.status import IN_STEP, State, snapshot_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncd.config import Settings
    from syncd.config.notify_section import NotifySettings
    from syncd.model import Snapshot
    from syncd.service.daemon import Daemon
    from syncd.service.engine import Engine
    from syncd.service.standing import Standing

EVERY_S = 2.0
GOODBYE_S = 1.0  # for the last look
log = structlog.get_logger(__name__)


@asynccontextmanager
async def notifying(engine: Engine, daemon: Daemon, standing: Standing) -> AsyncIterator[None]:
    """Notify while this is entered, which must be before the loop runs; at its end, of what happened by then.

    Args:
        engine: The parts of the dataset.
        daemon: The loop.
        standing: What is said of it; and the settings, as they are reloaded.
    """
    watch = _Watch(engine, daemon, standing)
    await watch.begin()
    looking = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait({looking})
        await watch.finish()


def receivers_of(notify: NotifySettings) -> Receivers:
    """Return whom the settings name."""
    url, secret, ping = (
        "" if one is None else one.get_secret_value()
        for one in (notify.webhook_url, notify.webhook_secret, notify.ping_url)
    )
    return Receivers(
        on=frozenset(Kind(name) for name in notify.on),
        webhook=Webhook(url=url, secret=secret, ca_file=notify.ca_file) if url else None,
        command=Command(arguments=notify.command, limit_s=notify.command_seconds) if notify.command else None,
        ping=Ping(url=ping, every_s=notify.ping_seconds, ca_file=notify.ca_file) if ping else None,
    )


class _Watch:
    def __init__(self, engine: Engine, daemon: Daemon, standing: Standing) -> None:
        self._engine, self._daemon, self._standing = engine, daemon, standing
        self._post = Post(_dataset(standing.reloading.settings), engine.tallies.notifications, lambda: uuid.uuid4().hex)
        self._post.start()
        self._settings: NotifySettings | None = None
        self._memory = Memory(in_step_s=engine.monotonic())
        self._failing = False  # to look
        self._told_up_to: str | None = None  # commit of the newest snapshot that is no news; None: not known yet

    async def begin(self) -> None:
        """Note the snapshots that are there: they are no news. How things stand shows once the sources run."""
        with contextlib.suppress(JournalError):
            await self._new_snapshots()

    async def run(self) -> None:
        """Look from time to time, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()

    async def look(self, *, ending: bool = False) -> None:
        """Look once. Whatever goes wrong with it is said, and that is all.

        Args:
            ending: The process ends: what is under way is no trouble any more, nor in step for long.
        """
        try:
            await self._look(ending=ending)
        except Exception:  # the sync goes on; and this is said once
            if not self._failing:
                log.warning("notifying_failed", exc_info=True)
            self._failing = True
        else:
            self._failing = False

    async def finish(self) -> None:
        """Tell of what happened since the last look, and let what is under way arrive."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self.look(ending=True)
        await self._post.finish()

    async def _look(self, *, ending: bool) -> None:
        notify = self._standing.reloading.settings.notify
        if notify != self._settings:
            self._post.follow(receivers_of(notify))
            self._settings = notify
        if not (notify.webhook_url or notify.command or notify.ping_url):
            self._told_up_to, self._memory = None, Memory(in_step_s=self._engine.monotonic())
            return
        sight = await self._sight()
        rules = Rules(grace_s=notify.grace_seconds, stale_s=notify.stale_seconds)
        self._memory, events = compare(self._memory, sight, rules)
        self._post.tell(event for event in events if event.kind is Kind.SNAPSHOT or not ending)
        if not ending:
            self._post.ping(in_step=sight.in_step, in_trouble=bool(self._memory.told))

    async def _sight(self) -> Sight:
        engine = self._engine
        now: dict[str, Any] = {"at": engine.clock(), "moment_s": engine.monotonic()}
        try:
            found = await self._standing.headline()
            in_step = found["state"] in IN_STEP and await self._all_is_well()
            made = await self._new_snapshots()
        except JournalError as error:
            words = {"state": State.FAILING.value, "since": None, "why": str(error), "next_step": error.next_step}
            return Sight(**now, **_plain(words), failing=True, held_by=frozenset(), in_step=False)
        held_by = self._held_by(found["why"]) if found["state"] == State.HELD else {}
        return Sight(
            **now,
            **_plain({**found, "why": "; ".join(held_by.values()) or found["why"]}),
            failing=found["state"] == State.FAILING,
            held_by=frozenset(held_by),
            in_step=in_step,
            snapshots=tuple(snapshot_json(one) for one in made),
        )

    async def _new_snapshots(self) -> list[Snapshot]:
        known = self._told_up_to
        made = await self._engine.journal.read(news_report.new_snapshots, known)
        self._told_up_to = made[-1].commit_id if made else known or ""
        return made if known is not None else []

    async def _all_is_well(self) -> bool:
        """Return whether it is certain that what was seen of the source is all there is, and that lakeFS is there.

        What cannot be synced is a difference, too, as it is for ``syncd status --wait``.
        """
        ready = bool(self._standing.health()["ready"]["ok"])
        return ready and await self._engine.journal.read(news_report.leaves_nothing_out)

    def _held_by(self, why: str) -> dict[str, str]:
        """Return what holds something, and why: sources by their names, "" for the dataset as a whole."""
        healths = [source.health() for source in self._engine.sources]
        unavailable = {one.name: one.reason for one in healths if one.reason and not one.available}
        held = unavailable | {one.name: one.hold for one in healths if one.hold}
        rest = self._daemon.live.hold
        for words in held.values():
            rest = rest.replace(words, "")
        whole = rest.strip("; ")
        return held | ({"": whole} if whole else {}) or {"": why}


def _plain(words: dict[str, Any]) -> dict[str, Any]:
    """Return state, since, why and next step; the next step is told once, not at the end of the reason too."""
    why = str(words["why"]).partition("\n  next: ")[0]
    return {"state": words["state"], "since": words["since"], "why": why, "next_step": words["next_step"]}


def _dataset(settings: Settings) -> Dataset:
    place = settings.lakefs
    return Dataset(repository=place.repository, branch=place.publish_branch, source=str(settings.source.root))
