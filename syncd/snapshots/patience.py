"""What fails in passing while a snapshot is read is tried again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

from syncd.errors import TransientStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

ATTEMPTS = 6  # the pauses between them add up to some 20 s
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Return what a read returns; after failures in passing, or what the server asked for, with growing pauses.

    Raises:
        TransientStoreError: The last attempt failed, too.
    """
    pause_s = FIRST_PAUSE_S
    for _ in range(ATTEMPTS - 1):
        try:
            return await read()
        except TransientStoreError as error:
            await asyncio.sleep(max(pause_s * random.uniform(0.5, 1), error.retry_after_s or 0))  # noqa: S311
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return await read()
