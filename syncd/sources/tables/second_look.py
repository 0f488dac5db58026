"""A held version of a table may name images that came after it was read: then it is looked at again, soon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_EVERY_S = 5.0
_REST = 20  # times as long as a comparison took


async def wake_once_it_fits(
    fits_otherwise: Callable[[], Awaitable[bool]], wake: asyncio.Event, *, every_s: float = _EVERY_S
) -> None:
    """Set an event whenever something is held that fits otherwise by now, until cancelled."""
    loop = asyncio.get_running_loop()
    pause_s = every_s
    while True:
        await asyncio.sleep(pause_s)
        began_s = loop.time()
        if await fits_otherwise():
            wake.set()
        pause_s = max(every_s, _REST * (loop.time() - began_s))
