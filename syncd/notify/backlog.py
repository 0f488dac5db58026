"""What waits to be sent to one receiver, in order and bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncd.notify.notice import Notice

MOST = 100


class Backlog:
    """A queue that gives up what matters least when it is full.

    Args:
        most: How many may wait.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._waiting: deque[Notice] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, notice: Notice) -> Notice | None:
        """Add one; return what had to go for it: the oldest snapshot, itself included, else the oldest of all."""
        dropped = None
        if len(self._waiting) >= self._most:
            dropped = next((one for one in (*self._waiting, notice) if one.gives_way), self._waiting[0])
        if dropped is not None and dropped is not notice:
            self._waiting.remove(dropped)
        if dropped is not notice:
            self._waiting.append(notice)
        self._filled.set()
        return dropped

    async def take(self) -> Notice:
        """Return the oldest, once there is one."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.popleft()

    def clear(self) -> int:
        """Drop all; return how many."""
        count = len(self._waiting)
        self._waiting.clear()
        return count
