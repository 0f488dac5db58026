"""Tells open pages that something has changed; one look a second, for all of them, while any is open."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from syncd.errors import JournalError
from syncd.words import size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncd.window import Window

EVERY_S = 1.0
RATE_OVER_S = 10.0
TO_THE_MINUTE = len("2026-11-27T08:10")


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast it goes, over the last seconds."""

    objects: float = 0.0  # a second
    size_bytes: float = 0.0  # a second


def state_id(status: dict[str, Any], rates: Rates) -> str:
    """Return a name for what the first page shows. The passing of time alone makes no other one of it."""
    # A table that cannot say whether it has changed is read again and again.
    tables = [{**table, "read_at": (table["read_at"] or "")[:TO_THE_MINUTE]} for table in status["tables"]]
    shown = {**status, "in_step_at": None, "tables": tables}
    goes = f"{rates.objects:.0f} {size(rates.size_bytes)}"
    return hashlib.blake2b(json.dumps([shown, goes], default=str).encode(), digest_size=8).hexdigest()


class Live:
    """Use it as ``async with``.

    Args:
        window: The dataset.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._open: set[asyncio.Queue[str]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._counted: deque[tuple[float, int, int]] = deque(maxlen=int(RATE_OVER_S / EVERY_S) + 1)
        self._last = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stop()

    @property
    def rates(self) -> Rates:
        """How fast objects go; nothing where no page was open before."""
        if len(self._counted) < 2:  # noqa: PLR2004 - a rate is between two
            return Rates()
        (first_s, objects, size_bytes), (last_s, objects_now, bytes_now) = self._counted[0], self._counted[-1]
        span_s = max(last_s - first_s, EVERY_S / 2)
        return Rates((objects_now - objects) / span_s, (bytes_now - size_bytes) / span_s)

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[asyncio.Queue[str]]:
        """Lend a queue that gets the state: at first, and whenever it has changed. It holds the newest alone."""
        news: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self._open.add(news)
        if self._last:
            news.put_nowait(self._last)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield news
        finally:
            self._open.discard(news)
            if not self._open:
                self._stop()

    def _stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._looking = None
        self._counted.clear()
        self._last = ""

    async def _look(self) -> None:
        while True:
            with suppress(JournalError):  # the page says so itself, when it is asked for
                await self._look_once()
            await asyncio.sleep(EVERY_S)

    async def _look_once(self) -> None:
        tallies = self._window.tallies
        now_s = asyncio.get_running_loop().time()
        self._counted.append((now_s, sum(tallies.objects.values()), tallies.uploaded_bytes))
        state = state_id(await self._window.status(), self.rates)
        if state != self._last:
            self._last = state
            for news in self._open:
                if news.full():
                    news.get_nowait()
                news.put_nowait(state)
