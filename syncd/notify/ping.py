"""A dead man's switch: an address that hears from syncd for as long as the newest snapshot holds what the source holds.

Where it hears nothing for a while, whoever watches it raises the alarm: of a machine that is gone, too.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import structlog

from syncd.notify.delivery import UndeliveredError

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

AGAIN_S = 10.0  # after one that did not arrive

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ping:
    """Where it goes, and how often."""

    url: str
    every_s: float = 60.0
    ca_file: Path | None = None


@dataclass(slots=True)
class Pinger:
    """Pings when it is time to.

    Args:
        tally: Counts what became of each.
    """

    tally: Counter[str]
    ping: Ping | None = None
    _next_s: float = 0.0
    _failure_said: bool = False  # /fail has arrived, and no ping since
    _in_vain: int = 0  # pings that did not arrive, in a row
    _sending: asyncio.Task[None] | None = None

    def look(self, *, in_step: bool, in_trouble: bool) -> None:
        """Send what is due after a look at the dataset; returns at once.

        Args:
            in_step: The newest snapshot holds what the source holds.
            in_trouble: A hold, a failure or staleness that is told stands.
        """
        if self.ping is None or (self._sending is not None and not self._sending.done()):
            return
        failed = in_trouble and not in_step
        if not (failed or in_step) or (failed and self._failure_said):
            return
        is_news = failed != self._failure_said and not self._in_vain
        if is_news or time.monotonic() >= self._next_s:
            self._sending = asyncio.create_task(self._send(self.ping, failed=failed))

    async def finish(self) -> None:
        """Let go of what is under way."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})

    async def _send(self, ping: Ping, *, failed: bool) -> None:
        from syncd.notify import http  # noqa: PLC0415 - as in ``Webhook``

        try:
            await http.request("GET", _with_fail(ping.url) if failed else ping.url, ca_file=ping.ca_file)
        except UndeliveredError as error:
            self._in_vain += 1
            self._next_s = time.monotonic() + min(AGAIN_S, ping.every_s)
            self.tally["failed"] += 1
            say = log.warning if self._in_vain == 1 else log.debug
            say("notification_failed", receiver="ping", kind="fail" if failed else "ping", why=str(error))
        else:
            if self._in_vain:
                log.info("ping_arrives_again", after=self._in_vain)
            self._in_vain, self._failure_said = 0, failed
            self._next_s = time.monotonic() + ping.every_s
            self.tally["sent"] += 1


def _with_fail(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))
