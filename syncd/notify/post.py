"""Hands each event to everyone who is to be told. What they do, or fail to do, holds nobody up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from syncd.notify.events import Kind
from syncd.notify.lane import Lane
from syncd.notify.notice import Dataset, notice_of
from syncd.notify.ping import Ping, Pinger

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from syncd.notify.delivery import Patience, Sender
    from syncd.notify.events import Event

FINISH_S = 2.0  # for what is under way at the end

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivers:
    """Who is told, and of what."""

    on: frozenset[Kind] = frozenset(Kind)
    webhook: Sender | None = None
    command: Sender | None = None
    ping: Ping | None = None


class Post:
    """The lanes and the ping of one dataset.

    Args:
        dataset: Which one, for the notices.
        tally: Counts what became of the notices and pings: "sent", "failed", "dropped".
        new_id: Gives each event its own identifier.
        patience: With receivers that do not work.
    """

    def __init__(
        self, dataset: Dataset, tally: Counter[str], new_id: Callable[[], str], patience: Patience | None = None
    ) -> None:
        self._dataset, self._tally, self._new_id = dataset, tally, new_id
        self._on: frozenset[Kind] = frozenset()
        self._webhook, self._command = (Lane(name, tally, patience) for name in ("webhook", "command"))
        self._pinger = Pinger(tally)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send."""
        self._tasks = [asyncio.create_task(lane.run()) for lane in self._lanes]

    def follow(self, receivers: Receivers) -> None:
        """Tell these from now on; what waits for a receiver that is still there goes to where it is now."""
        self._on, self._pinger.ping = receivers.on, receivers.ping
        self._webhook.sender, self._command.sender = receivers.webhook, receivers.command

    def tell(self, events: Iterable[Event]) -> None:
        """Pass on what the receivers want to know; the end of a trouble only to those who were to hear of it."""
        for event in events:
            if event.kind in self._on and (event.of is None or event.of in self._on):
                notice = notice_of(event, self._dataset, self._new_id())
                for lane in self._lanes:
                    lane.put(notice)

    def ping(self, *, in_step: bool, in_trouble: bool) -> None:
        """See ``Pinger.look``."""
        self._pinger.look(in_step=in_step, in_trouble=in_trouble)

    async def finish(self) -> None:
        """Send what is left, for as long as that may take at the end, and stop."""
        await asyncio.gather(*(lane.finish(FINISH_S) for lane in self._lanes))
        if left := sum(lane.give_up() for lane in self._lanes):
            self._tally["dropped"] += left
            log.warning("notifications_left", count=left, why="the process ends")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._pinger.finish(), *self._tasks, return_exceptions=True)

    @property
    def _lanes(self) -> tuple[Lane, Lane]:
        return self._webhook, self._command
