"""An event loop in a thread of its own, for calls from code without one, or with another one running."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

T = TypeVar("T")

PAGE = 500  # items handed over between threads at a time
_STOP_S = 5.0


class Portal:
    """A running loop; thread-safe. It ends with :meth:`close`, or with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="syncd", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine in the loop and return its result; interrupted, it is cancelled there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an asynchronous iterator yields, some at a time."""
        try:
            while page := self.call(_page(items)):
                yield from page
        finally:
            if (close := getattr(items, "aclose", None)) is not None and self._loop.is_running():
                self.call(close())

    def close(self, last: Coroutine[object, object, object]) -> None:
        """Run one last coroutine, and end; wait for that, but not for long: a finalizer may call this in any thread."""
        if self._loop.is_closed():
            last.close()
            return
        # what is done by now calls back in this thread, which alone would not wake the loop
        ending = asyncio.run_coroutine_threadsafe(last, self._loop)
        ending.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        if threading.current_thread() is not self._thread:
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()


async def _page(items: AsyncIterator[T]) -> list[T]:
    page: list[T] = []
    async for item in items:
        page.append(item)
        if len(page) == PAGE:
            break
    return page
