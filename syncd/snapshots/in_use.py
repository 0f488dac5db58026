"""A commit that is being pulled is held: neither retention nor lakeFS's garbage collection takes it away meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from syncd.errors import NeedsPersonStoreError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from syncd.store.pins import PinStore

log = structlog.get_logger(__name__)

# Whether it still counts is judged by another host's clock, and lakeFS refuses whose clock is 15 minutes off: with an
# hour renewed every ten minutes, no pull that lives is taken for a dead one.
LASTS = timedelta(hours=1)
RENEW_EVERY_S = 600.0


@asynccontextmanager
async def in_use(
    pins: PinStore, commit_id: str, *, clock: Callable[[], datetime], renew_every_s: float = RENEW_EVERY_S
) -> AsyncIterator[None]:
    """Hold a commit while the body runs. If the process dies, that ends by itself an hour later.

    Where the access key may not make branches, the body runs all the same, and the log says so.

    Args:
        pins: Of the repository.
        commit_id: What is read.
        clock: The time now, in UTC.
        renew_every_s: Well below an hour.

    Raises:
        StoreError: lakeFS does not answer, or does not know the commit.
    """
    held = [await _begin(pins, commit_id, clock())]

    async def renew() -> None:
        while held[0]:
            await asyncio.sleep(renew_every_s)
            try:
                held.insert(0, await pins.use(commit_id, clock() + LASTS))
                while len(held) > 1:
                    await pins.end_use(held[-1])
                    held.pop()
            except StoreError as error:
                log.warning("not_held_longer", commit_id=commit_id, error=str(error), retry_in_s=renew_every_s)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with suppress(StoreError):  # then it ends by itself
            for name in filter(None, held):
                await pins.end_use(name)


async def _begin(pins: PinStore, commit_id: str, now: datetime) -> str:
    """Return the name of what is held, or "" where that is not allowed."""
    try:
        return await pins.use(commit_id, now + LASTS)
    except NeedsPersonStoreError as error:
        log.warning("not_held", commit_id=commit_id, error=str(error))
        return ""
