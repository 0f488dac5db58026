"""Has tables read again whose published rows no longer fit the images on the staging branch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from syncd.sources.base import Rereadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.sources.base import Source


class Rereads:
    """What the gate asked for. A source that runs sees to it by itself; for one that does not, :meth:`serve` does."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = {source.name: source for source in sources}
        self._asked: set[str] = set()
        self._news = asyncio.Event()

    def ask(self, name: str) -> None:
        """Have a table read again, soon."""
        source = self._sources[name]
        if isinstance(source, Rereadable):
            source.read_again()
            self._asked.add(name)
            self._news.set()

    async def serve(self, deadline: datetime) -> None:
        """Read what is asked for until cancelled; each read gives up at the deadline."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._asked:
                await self._sources[self._asked.pop()].scan_once(deadline)
