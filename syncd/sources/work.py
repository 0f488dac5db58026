"""What the parts of one folder source share."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from concurrent.futures import Executor, Future
    from datetime import datetime

    from syncd.sources.base import Inventory
    from syncd.sources.looker import Looker
    from syncd.sources.pending import Pending
    from syncd.sources.problem_book import ProblemBook
    from syncd.sources.settings import FolderSettings

P = ParamSpec("P")
T = TypeVar("T")


class Progress:
    """Wakes everyone who waits for some state of the event loop's to change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def made(self) -> None:
        """Let all who wait look again."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def next(self, timeout_s: float | None) -> None:
        """Return at the next ``made``, or when the time is over; None: no limit."""
        event = self._event
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()

    async def until(self, reached: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Return True once it is reached, asked after each ``made``; False when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while not reached():
                    await self._event.wait()
        except TimeoutError:
            return False
        return True


@dataclass(slots=True, kw_only=True)
class Work:
    """What looking, reading and recording one root need."""

    settings: FolderSettings
    inventory: Inventory
    looker: Looker
    pending: Pending
    problems: ProblemBook
    clock: Callable[[], datetime]
    rng: random.Random
    executor: Executor
    progress: Progress = field(default_factory=Progress)
    newcomers: list[dict[str, str]] = field(default_factory=list)  # for each barrier: what turned out unreadable
    _running: set[Future[Any]] = field(default_factory=set)

    async def thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that blocks in one of the source's threads."""
        future = self.executor.submit(function, *args, **kwargs)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(future)

    async def join(self) -> None:
        """Return once no thread is at work any more, also for a task that was cancelled."""
        await asyncio.to_thread(wait, list(self._running))
