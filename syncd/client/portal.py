"""An event loop in a thread of its own, for calls from code without one, or with another one running."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from syncd.errors import SyncdError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

T = TypeVar("T")

PAGE = 500  # items handed over between threads at a time
_STOP_S = 5.0


class ConnectionClosedError(SyncdError):
    """The connection was closed while a call was under way, or half-way through an iteration."""


class Portal:
    """A running loop; thread-safe. It ends with :meth:`close`, or with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.RLock()  # a signal's handler may close what its own thread is calling
        self._open = True  # guarded by the lock: what is submitted before the end is known to it
        self._last: Coroutine[object, object, object] | None = None
        self._tasks: dict[Future[Any], asyncio.Task[Any]] = {}  # of the calls; this and the next: only in the loop
        self._cleaning_up: set[asyncio.Task[Any]] = set()  # which is not to be cut off by another cancellation
        self._thread = threading.Thread(target=self._run, name="syncd", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine in the loop and return its result.

        Interrupted, it is cancelled there, and its cleanup waited for, but not for long.

        Raises:
            ConnectionClosedError: The loop ended before the coroutine did, or does not run in this process.
            UsageError: This is the loop's own thread.
        """
        outcome: Future[T] = Future()
        try:
            self._submit(work, outcome)
            return outcome.result()
        except BaseException:
            if not outcome.done():  # it is this thread that was interrupted
                with suppress(RuntimeError, TimeoutError, CancelledError):  # the first: the loop has ended meanwhile
                    self._loop.call_soon_threadsafe(self._cancel, outcome)
                    outcome.exception(_STOP_S)
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an asynchronous iterator yields, some at a time; raises as :meth:`call`."""
        pages = _Pages(items)
        try:
            while page := self.call(pages.next()):
                yield from page
        finally:  # not waited for: the garbage collector may come here in any thread, the loop's own among them
            if self._thread.is_alive():  # it is not in a process that was forked off
                with suppress(RuntimeError):  # the loop has ended, and closed it
                    self._loop.call_soon_threadsafe(self._let_go, pages)

    def close(self, last: Coroutine[object, object, object]) -> None:
        """End what is under way, run one last coroutine, and end.

        Waits for that, but not for long: a finalizer may call this in any thread.
        """
        with self._lock:
            if not self._open:
                last.close()
                return
            self._open, self._last = False, last
        self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_STOP_S)

    def _submit(self, work: Coroutine[object, object, T], outcome: Future[T]) -> None:
        refusal: SyncdError = _closed()
        if threading.current_thread() is self._thread:
            refusal = UsageError(
                "syncd was called by a function that syncd itself waits for",
                cause="a progress function, for instance, that reads the snapshot which is pulled",
                next_step="call it from another thread",
            )
        elif self._thread.is_alive():  # else nobody lets go of the lock, either
            with self._lock:
                if self._open:
                    self._loop.call_soon_threadsafe(self._start, work, outcome)
                    return
        work.close()
        outcome.set_exception(refusal)

    # What follows runs in the loop's thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with suppress(SystemExit, KeyboardInterrupt):  # of a program's function that is called here: its caller gets it
            self._loop.run_forever()
        with self._lock:
            self._open = False
        try:
            self._loop.run_until_complete(self._end())
        finally:
            self._loop.close()

    async def _end(self) -> None:
        """End the calls; then what they need; then what they have left behind."""
        for outcome in list(self._tasks):
            self._cancel(outcome)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._last is not None:
            await asyncio.gather(self._last, return_exceptions=True)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    def _start(self, work: Coroutine[object, object, T], outcome: Future[T]) -> None:
        task = self._tasks[outcome] = self._loop.create_task(work)
        task.add_done_callback(partial(self._settle, outcome))

    def _cancel(self, outcome: Future[Any]) -> None:
        task = self._tasks.get(outcome)
        if task is None:  # it never began, or is done
            outcome.cancel()
        elif task not in self._cleaning_up:
            self._cleaning_up.add(task)
            task.cancel()

    def _let_go(self, pages: _Pages[Any]) -> None:
        closing: Future[None] = Future()
        self._start(pages.close(), closing)
        self._cleaning_up.add(self._tasks[closing])

    def _settle(self, outcome: Future[T], task: asyncio.Task[T]) -> None:
        del self._tasks[outcome]
        self._cleaning_up.discard(task)
        if task.cancelled():
            if self._open:
                outcome.cancel()
            else:
                outcome.set_exception(_closed())
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())


class _Pages(Generic[T]):
    """An asynchronous iterator, read a page at a time; closed only once a reading that was broken off is over."""

    def __init__(self, items: AsyncIterator[T]) -> None:
        self._items, self._one_at_a_time = items, asyncio.Lock()

    async def next(self) -> list[T]:
        page: list[T] = []
        async with self._one_at_a_time:
            async for item in self._items:
                page.append(item)
                if len(page) == PAGE:
                    break
        return page

    async def close(self) -> None:
        if (close := getattr(self._items, "aclose", None)) is not None:
            async with self._one_at_a_time:
                await close()


def _closed() -> ConnectionClosedError:
    return ConnectionClosedError(
        "the connection was closed while it was in use",
        cause="another thread closed it, or an iteration that began before is to go on after, or in a forked process",
        next_step="call or iterate anew: the connection is opened again; close it once no thread uses it",
    )
