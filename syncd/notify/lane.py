"""The way to one receiver: one notice at a time, in order, tried again where that may help."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING

import structlog

from syncd.notify.backlog import Backlog
from syncd.notify.delivery import Patience, UndeliveredError, pause_s

if TYPE_CHECKING:
    from collections import Counter

    from syncd.notify.delivery import Sender
    from syncd.notify.notice import Notice

log = structlog.get_logger(__name__)


class Lane:
    """Sends what it is given, while :meth:`run` runs.

    Args:
        name: Of the receiver, for the log.
        tally: Counts what became of each: "sent", "failed", "dropped".
        patience: With a receiver that does not work.
    """

    def __init__(self, name: str, tally: Counter[str], patience: Patience | None = None) -> None:
        self.sender: Sender | None = None
        self._name, self._tally, self._patience = name, tally, patience or Patience()
        self._backlog, self._idle, self._ending = Backlog(), asyncio.Event(), asyncio.Event()
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._idle.set()

    def put(self, notice: Notice) -> None:
        """Take a notice; returns at once, whatever becomes of it."""
        if self.sender is None:
            return
        self._idle.clear()
        if (dropped := self._backlog.put(notice)) is not None:
            self._tally["dropped"] += 1
            log.warning("notification_dropped", receiver=self._name, kind=dropped.kind.value, id=dropped.id)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            if not len(self._backlog):
                self._idle.set()
            notice = await self._backlog.take()
            await self._deliver(notice)

    async def finish(self, within_s: float) -> None:
        """Wait until all is sent, but not for long: what failed before is tried once more, at once."""
        self._ending.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()

    def give_up(self) -> int:
        """Forget what has not been sent; return how many that are."""
        return self._backlog.clear() + (not self._idle.is_set())

    async def _deliver(self, notice: Notice) -> None:
        tries = 0
        while self.sender is not None:
            tries += 1
            try:
                await self.sender.send(notice)
            except UndeliveredError as error:
                wait_s = self._wait_s(error, tries, time.monotonic() - notice.made_s)
                if wait_s is None:
                    return self._failed(notice, tries, str(error))
                log.debug("notification_delayed", receiver=self._name, why=str(error), retry_in_s=round(wait_s, 1))
                await self._pause(wait_s)
            except Exception as error:  # noqa: BLE001 - the next notice must get its chance
                return self._failed(notice, tries, type(error).__name__)
            else:
                self._tally["sent"] += 1
                log.debug("notification_sent", receiver=self._name, kind=notice.kind.value, id=notice.id, tries=tries)
                return None
        self._tally["dropped"] += 1
        return None

    def _wait_s(self, error: UndeliveredError, tries: int, age_s: float) -> float | None:
        if not error.again or self._ending.is_set():
            return None
        return pause_s(self._patience, tries=tries, age_s=age_s, asked_s=error.after_s, jitter=self._rng.random())

    def _failed(self, notice: Notice, tries: int, why: str) -> None:
        self._tally["failed"] += 1
        log.warning(
            "notification_failed", receiver=self._name, kind=notice.kind.value, id=notice.id, tries=tries, why=why
        )

    async def _pause(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._ending.wait()
