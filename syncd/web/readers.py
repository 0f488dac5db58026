"""Readers of commits, kept open for a while: a page of pictures asks for many objects of one commit."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncd.store.base import ObjectReader
    from syncd.window import Shelf

MOST_KEPT = 6


class Readers:
    """Use it as ``async with``.

    Args:
        shelf: Where snapshots are read from.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._one_opens = shelf, asyncio.Lock()
        self._kept: OrderedDict[str, tuple[ObjectReader, AsyncExitStack]] = OrderedDict()
        self._users: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for _, stack in self._kept.values():
            await stack.aclose()
        self._kept.clear()

    @asynccontextmanager
    async def lend(self, commit_id: str) -> AsyncIterator[ObjectReader]:
        """Lend what reads the objects of a commit."""
        self._users[commit_id] = self._users.get(commit_id, 0) + 1
        try:
            yield await self._opened(commit_id)
        finally:
            self._users[commit_id] -= 1
            if not self._users[commit_id]:
                del self._users[commit_id]

    async def _opened(self, commit_id: str) -> ObjectReader:
        async with self._one_opens:
            if commit_id not in self._kept:
                stack = AsyncExitStack()
                self._kept[commit_id] = (await stack.enter_async_context(self._shelf.objects(commit_id)), stack)
            self._kept.move_to_end(commit_id)
            for known in [one for one in self._kept if one not in self._users][: max(0, len(self._kept) - MOST_KEPT)]:
                await self._kept.pop(known)[1].aclose()
            return self._kept[commit_id][0]
