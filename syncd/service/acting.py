"""What a page may ask of the running daemon."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncd.journal import history
from syncd.service import approval
from syncd.service.pinning import pin
from syncd.service.report import answer_json
from syncd.sources.base import Relistable, Rereadable

if TYPE_CHECKING:
    from syncd.model import Snapshot
    from syncd.service.daemon import Daemon
    from syncd.service.engine import Engine

PATIENCE = timedelta(seconds=40)


class Acting:
    """Implements ``window.Actions``.

    Args:
        engine: The parts of the daemon.
        daemon: Its loop.
    """

    def __init__(self, engine: Engine, daemon: Daemon) -> None:
        self._engine, self._daemon = engine, daemon

    async def snapshot(self, reason: str) -> dict[str, Any]:
        """See ``Actions.snapshot``."""
        return answer_json(await self._engine.requests.snapshot(patience=PATIENCE, allow_held=False, reason=reason))

    async def held(self) -> dict[str, Any]:
        """See ``Actions.held``."""
        return await approval.held(self._engine)

    async def answer(self, shown: dict[str, Any], *, discard: bool) -> dict[str, Any]:
        """See ``Actions.answer``."""
        answer = await approval.approve(self._engine, {**shown, "only": [], "discard": discard})
        self._daemon.try_again()
        return answer

    async def pin(self, reference: str, reason: str) -> dict[str, Any]:
        """See ``Actions.pin``."""
        who = f"the page of {socket.gethostname()}"
        return await pin(self._engine.lakefs.reader, reference, reason=reason, who=who, known=self._known)

    async def rescan(self) -> dict[str, Any]:
        """See ``Actions.rescan``."""
        asked = []
        for source in self._engine.sources:
            if isinstance(source, Relistable):
                source.request_rescan()
            elif isinstance(source, Rereadable):
                source.read_again()
            else:
                continue
            asked.append(source.name)
        return {"sources": asked}

    async def _known(self, tag: str) -> Snapshot | None:
        return await self._engine.journal.read(history.by_tag, tag)
