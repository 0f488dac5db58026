"""How the dataset stands, in one word and since when, for everyone who shows it: status, systemd, health, metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import JournalError
from syncd.service import health
from syncd.service.acting import Acting
from syncd.service.report import daemon_picture
from syncd.service.shelf import PICTURES, shelf_of
from syncd.status import IN_STEP, headline, iso, status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from syncd.service.daemon import Daemon
    from syncd.service.engine import Engine
    from syncd.service.listening import Listening
    from syncd.service.reload import Reloading
    from syncd.service.systemd import Notifier
    from syncd.tallies import Tallies

EVERY_S = 5.0
SIGNS_OF_LIFE = 3.0  # in the time that the manager waits for one

log = structlog.get_logger(__name__)


class Standing:
    """What the running daemon says of itself.

    Args:
        engine: Its parts.
        daemon: The loop.
        reloading: What became of a changed configuration.
        listening: Where HTTP is served.
    """

    def __init__(self, engine: Engine, daemon: Daemon, reloading: Reloading, listening: Listening) -> None:
        self._engine, self._daemon = engine, daemon
        pictures = reloading.settings.service.state_dir / PICTURES
        self.shelf = shelf_of(engine.lakefs.reader, engine.journal.read, pictures)
        self.actions = Acting(engine, daemon)
        self.reloading, self.listening = reloading, listening
        self._state, self._since = "", engine.clock()
        self._in_step_at: datetime | None = None

    @property
    def tallies(self) -> Tallies:
        """What has been counted since the start."""
        return self._engine.tallies

    def health(self) -> dict[str, Any]:
        """Return whether it lives and whether it is ready, with all that was checked."""
        return health.report(self._engine, self._daemon)

    async def status(self) -> dict[str, Any]:
        """Return everything, as ``syncd status --json`` shows it."""
        configuration = {"fault": self.reloading.fault, "at_next_start": list(self.reloading.at_next_start)}
        return {
            **await self._read(status),
            "in_step_at": iso(self._in_step_at),
            "configuration": configuration,
            "http": self.listening.as_json(),
        }

    async def headline(self) -> dict[str, Any]:
        """Return the state, since when, why, and the next step; costs little, whatever waits."""
        return await self._read(headline)

    async def _read(self, picture: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        found = await self._engine.journal.read(picture, daemon_picture(self._engine, self._daemon))
        if found["state"] in IN_STEP:
            self._in_step_at = self._engine.clock()
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
