"""Shows a repository that a syncd wrote, without one: the snapshots that lakeFS holds, and nothing is written."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from syncd import __version__
from syncd.errors import JournalError, NotFoundStoreError, StoreError
from syncd.journal import Journal
from syncd.journal.journal import open_readonly
from syncd.ownership.recovery import Recovery
from syncd.service import control
from syncd.service.lakefs import open_reader
from syncd.service.shelf import PICTURES, shelf_of
from syncd.status import status
from syncd.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncd.config import Settings
    from syncd.service.lakefs import Reader
    from syncd.window import Shelf

LOOK_EVERY_S = 10.0  # for snapshots that were made meanwhile

log = structlog.get_logger(__name__)


class Alone:
    """Implements ``window.Window``; what a daemon on this host says is shown, where there is one.

    Args:
        settings: The configuration.
        reader: Of the repository.
        journal: Knows the snapshots that lakeFS holds.
        shelf: Of that journal.
    """

    actions = None

    def __init__(self, settings: Settings, reader: Reader, journal: Journal, shelf: Shelf) -> None:
        self._settings, self._reader, self._journal = settings, reader, journal
        self.shelf, self.tallies = shelf, Tallies()
        self._fault = "no snapshot was looked for yet"
        self._head = ""

    async def status(self) -> dict[str, Any]:
        """See ``Window.status``: of the daemon on this host, of its journal, or of what lakeFS holds."""
        state_dir = self._settings.service.state_dir
        with suppress(ConnectionError, OSError):
            return dict(await control.call(state_dir, "status"))
        with suppress(JournalError):
            return await asyncio.to_thread(self._of_journal, state_dir)
        found = await self._journal.read(status, None)
        return {**found, "why": self._fault or "no daemon runs here; this shows what lakeFS holds"}

    def health(self) -> dict[str, Any]:
        """See ``Window.health``."""
        check = {"name": "lakefs", "ok": not self._fault, "why": self._fault}
        return {"live": {"ok": True, "checks": []}, "ready": {"ok": not self._fault, "checks": [check]}}

    async def keep_looking(self) -> None:
        """Learn of snapshots until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Learn of the snapshots that were made since the last look."""
        place = self._settings.lakefs
        try:
            head = await self._reader.versions.head_id(place.publish_branch)
            if head != self._head:
                await self._recover()
                self._head = head
            self._fault = ""
        except (StoreError, JournalError) as error:
            if str(error) != self._fault:
                log.warning("snapshots_not_read", error=str(error))
            self._fault = str(error)

    async def _recover(self) -> None:
        place, versions = self._settings.lakefs, self._reader.versions
        try:
            newest = await versions.head(place.staging_branch)
        except NotFoundStoreError:
            newest = await versions.head(place.publish_branch)
        recovery = Recovery(
            journal=self._journal,
            versions=versions,
            staging=place.staging_branch,
            publish=place.publish_branch,
            name_tag=lambda _time, number: f"unnamed-{number}",
            syncd_version=__version__,
        )
        await recovery.recover(newest)

    @staticmethod
    def _of_journal(state_dir: Path) -> dict[str, Any]:
        with open_readonly(state_dir) as connection:
            return status(connection, None)


@asynccontextmanager
async def open_alone(settings: Settings) -> AsyncIterator[Alone]:
    """Open a repository to show it.

    Raises:
        EmbeddedServerError: The embedded server does not run, and cannot be started.
    """
    place = settings.lakefs
    with tempfile.TemporaryDirectory(prefix="syncd-web-") as folder:
        async with open_reader(settings) as reader, Journal(Path(folder)) as journal:
            await journal.bind(
                {
                    "repository": place.repository,
                    "staging branch": place.staging_branch,
                    "publish branch": place.publish_branch,
                    "prefix": place.prefix,
                }
            )
            shelf = shelf_of(reader, journal.read, Path(folder) / PICTURES)
            alone = Alone(settings, reader, journal, shelf)
            await alone.look()
            looking = asyncio.create_task(alone.keep_looking())
            try:
                yield alone
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
