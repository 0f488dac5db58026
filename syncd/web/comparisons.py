"""Comparisons of two snapshots, kept for a while, since a person looks at many pages of one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from syncd.snapshots.comparison import compare
from syncd.threads import in_thread_to_its_end
from syncd.web.labels import read_labels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.reference import Pinned
    from syncd.web.labels import Labels
    from syncd.window import Shelf

T = TypeVar("T")

MOST_KEPT = 4  # each may have some hundred megabytes on the disk
IDLE_S, SWEEP_EVERY_S = 900.0, 60.0


class Kept:
    """One comparison: it is made by a task, which holds it until it is let go.

    Args:
        shelf: Where both are read from.
        left: From.
        right: To.
        turn: Held while a table is in memory.
    """

    def __init__(self, shelf: Shelf, left: Pinned, right: Pinned, turn: asyncio.Lock) -> None:
        self._shelf, self._turn, self.left, self.right = shelf, turn, left, right
        self._one_at_a_time, self._let_go = asyncio.Lock(), asyncio.Event()
        self._made: asyncio.Future[tuple[Comparison, Labels]] = asyncio.get_running_loop().create_future()
        self._said_by: tuple[str, str] | None = None  # the column that changes can be asked for by
        self.users, self.used_at_s = 0, asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._hold())

    async def ready(self, patience_s: float) -> bool:
        """Return whether it is made, or was in vain, within a time."""
        await asyncio.wait({self._made}, timeout=patience_s)
        return self._made.done()

    @property
    def in_vain(self) -> bool:
        """Whether it could not be made."""
        return self._made.done() and (self._made.cancelled() or self._made.exception() is not None)

    @property
    def gone(self) -> bool:
        """Whether it has been let go of."""
        return self._task.done()

    async def read(self, query: Callable[[Comparison], T], *, said_by: tuple[str, str] | None = None) -> T:
        """Run a query, which may block, in a thread; raises what went wrong when it was made.

        Args:
            query: What is run.
            said_by: Table and column whose values it asks for changes by.
        """
        told, labels = await asyncio.shield(self._made)
        async with self._one_at_a_time:
            if said_by not in {None, self._said_by}:
                self._said_by = None  # should it be cut off in the middle
                await in_thread_to_its_end(lambda: told.say(labels.values(*said_by).items()))
                self._said_by = said_by
            return await in_thread_to_its_end(partial(query, told))

    async def labels(self) -> Labels:
        """Return what tables say of its images; raises what went wrong when it was made."""
        return (await asyncio.shield(self._made))[1]

    async def end(self) -> None:
        """Let go of it, once nobody reads it any more."""
        async with self._one_at_a_time:
            self._let_go.set()
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _hold(self) -> None:
        shelf = self._shelf
        try:
            async with AsyncExitStack() as stack:
                left_objects, right_objects = [
                    await stack.enter_async_context(shelf.objects(one.commit.id)) for one in (self.left, self.right)
                ]
                told = await stack.enter_async_context(
                    compare(
                        self.left,
                        self.right,
                        versions=shelf.versions,
                        left_objects=left_objects,
                        right_objects=right_objects,
                        prefix=shelf.prefix,
                    )
                )
                labels = await read_labels(
                    shelf.versions,
                    shelf.prefix,
                    (self.left, left_objects),
                    (self.right, right_objects),
                    differing=lambda keys: in_thread_to_its_end(partial(told.among, keys)),
                    turn=self._turn,
                )
                self._made.set_result((told, labels))
                await self._let_go.wait()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - it is for those who look
            if not self._made.done():
                self._made.set_exception(error)
                self._made.exception()  # taken note of, should nobody look any more
        finally:
            self._made.cancel()


class Comparisons:
    """Use it as ``async with``.

    Args:
        shelf: Where snapshots are read from.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._turn = shelf, asyncio.Lock()
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._sweeping.cancel()
        await asyncio.wait({self._sweeping})
        for key in list(self._kept):
            self._end(key)
        while self._ending:
            await asyncio.wait(self._ending)

    @asynccontextmanager
    async def lend(self, left: Pinned, right: Pinned) -> AsyncIterator[Kept]:
        """Lend the comparison of two snapshots; it may not be made yet."""
        key = left.commit.id, right.commit.id
        one = self._kept.get(key)
        if one is None or one.in_vain:
            one = self._kept[key] = Kept(self._shelf, left, right, self._turn)
        self._kept.move_to_end(key)
        one.users += 1
        try:
            self._let_go()
            yield one
        finally:
            one.users -= 1
            one.used_at_s = asyncio.get_running_loop().time()

    async def _sweep(self) -> None:
        """Let go of what nobody looks at any more, also when nobody looks at anything."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            self._let_go()

    def _let_go(self) -> None:
        """Let go of what nobody uses: the longest unused, where there are too many, and what is idle."""
        now_s = asyncio.get_running_loop().time()
        for key, one in list(self._kept.items()):
            too_many, idle = len(self._kept) > MOST_KEPT, now_s - one.used_at_s > IDLE_S
            if not one.users and (too_many or idle):
                self._end(key)

    def _end(self, key: tuple[str, str]) -> None:
        """Forget one, and have it end by itself: who asks for this may be called off, or ask while another one does."""
        ending = asyncio.create_task(self._kept.pop(key).end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
