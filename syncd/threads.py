"""Blocking work below asyncio code."""

from __future__ import annotations

import asyncio
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
