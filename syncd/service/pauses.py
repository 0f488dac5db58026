"""Who keeps the daemon from publishing, for as long as they write into the source."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

log = structlog.get_logger(__name__)


class Pauses:
    """The pauses that hold now.

    Args:
        wake: Set for the loop when the last one ends.
    """

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._open: list[str] = []

    @property
    def why(self) -> str:
        """Why nothing is published; "" if nothing keeps it."""
        return "; ".join(self._open)

    @asynccontextmanager
    async def pause(self, why: str) -> AsyncIterator[None]:
        """Let nothing be published meanwhile; changes are still seen and staged."""
        self._open.append(why)
        log.warning("paused", why=why)
        try:
            yield
        finally:
            self._open.remove(why)
            log.info("goes_on", after=why)
            self._wake.set()
