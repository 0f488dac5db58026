"""Blocking work below asyncio code."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread_to_its_end(work: Callable[[], T], *, on_cancel: Callable[[], None] | None = None) -> T:
    """Run it in a thread. A thread cannot be cancelled, so a cancellation is passed on once it is done.

    Args:
        work: What blocks.
        on_cancel: Asks the work to give up.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # taken note of: the cancellation is what counts now
        raise


async def in_thread_apart(work: Callable[[], T], name: str) -> T:
    """Run it in a thread of its own, which nobody waits for once cancelled, not even the process's end.

    For what may hang, such as a disk that does not answer: the threads that the event loop lends are few.

    Args:
        work: What blocks.
        name: Of the thread.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(put: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(lambda: None if done.done() else put())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is for the one who waits
            failure = error
            settle(lambda: done.set_exception(failure))
        else:
            settle(lambda: done.set_result(result))

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
