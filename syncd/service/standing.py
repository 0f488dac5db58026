"""How the dataset stands, in one word and since when, for everyone who shows it: status, systemd, health, metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import JournalError
from syncd.service.report import daemon_picture
from syncd.status import headline, iso, status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from syncd.service.daemon import Daemon
    from syncd.service.engine import Engine
    from syncd.service.reload import Reloading
    from syncd.service.systemd import Notifier

EVERY_S = 2.0
SIGNS_OF_LIFE = 3.0  # in the time that the manager waits for one

log = structlog.get_logger(__name__)


class Standing:
    """What the running daemon says of itself.

    Args:
        engine: Its parts.
        daemon: The loop.
        reloading: What became of a changed configuration.
    """

    def __init__(self, engine: Engine, daemon: Daemon, reloading: Reloading) -> None:
        self._engine, self._daemon, self._reloading = engine, daemon, reloading
        self._state, self._since = "", engine.clock()

    async def status(self) -> dict[str, Any]:
        """Return everything, as ``syncd status --json`` shows it."""
        configuration = {"fault": self._reloading.fault, "at_next_start": list(self._reloading.at_next_start)}
        return {**await self._read(status), "configuration": configuration}

    async def headline(self) -> dict[str, Any]:
        """Return the state, since when, why, and the next step; costs little, whatever waits."""
        return await self._read(headline)

    async def _read(self, picture: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        found = await self._engine.journal.read(picture, daemon_picture(self._engine, self._daemon))
        return {**found, "since": iso(self._since_when(found["state"]))}

    def _since_when(self, state: str) -> datetime:
        if state != self._state:
            self._state, self._since = state, self._engine.clock()
        return self._since


async def tell(standing: Standing, daemon: Daemon, notifier: Notifier) -> None:
    """Keep the service manager told until cancelled: how things stand, and that work moves."""
    every_s = EVERY_S if notifier.watchdog_s is None else min(EVERY_S, notifier.watchdog_s / SIGNS_OF_LIFE)
    while True:
        if not daemon.pulse.stuck:
            notifier.alive()
        elif notifier.watchdog_s is not None:
            log.error("stuck", still_s=round(daemon.pulse.still_s), next="the service manager starts syncd anew")
        try:
            found = await standing.headline()
        except JournalError as error:
            notifier.status(f"failing: {error.fact}")
        else:
            notifier.status(f"{found['state']}: {found['why']}")
        await asyncio.sleep(every_s)
