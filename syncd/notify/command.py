"""Tells a program on this machine: the event on stdin, its name in the environment, and nothing of syncd's secrets."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from syncd.notify import program
from syncd.notify.delivery import UndeliveredError
from syncd.threads import in_thread_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.notify.notice import Notice

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
LATE_S = 5.0  # after its time limit even the system is not waited for
GOODBYE_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Command:
    """A program, run for each notice; one at a time.

    Args:
        arguments: The program's path and its arguments.
        limit_s: How long it may take.
        environment: syncd's own; little of it is passed on.
    """

    arguments: tuple[str, ...]
    limit_s: float = 30.0
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _running: bool = field(default=False, init=False)

    async def send(self, notice: Notice) -> None:
        """See ``Sender.send``. It is not run again: how far it came, nobody knows."""
        if self._running:  # on a file system that hangs no process can be started, nor one be killed
            raise UndeliveredError("the one before hangs, and cannot be ended", again=False)
        ending, environment = threading.Event(), self._passed_on(notice)
        self._running = True
        running = asyncio.ensure_future(
            in_thread_apart(
                lambda: program.run(self.arguments, environment, notice.body, limit_s=self.limit_s, ending=ending),
                "notify-command",
            )
        )
        running.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(self.limit_s + LATE_S):
                outcome = await asyncio.shield(running)
        except TimeoutError:
            raise UndeliveredError(f"it hangs, and cannot be ended after {self.limit_s:g} s", again=False) from None
        except OSError as error:
            raise UndeliveredError(f"it cannot be started: {error.strerror}", again=False) from None
        except asyncio.CancelledError:
            ending.set()
            await asyncio.wait({running}, timeout=GOODBYE_S)
            raise
        if outcome.fault:
            said = f": {outcome.first_line}" if outcome.first_line else ""
            raise UndeliveredError(outcome.fault + said, again=False)
        log.info("notification_command_done", kind=notice.kind.value, id=notice.id, said=outcome.first_line)

    def _ended(self, running: asyncio.Future[program.Outcome]) -> None:
        self._running = False
        if not running.cancelled():
            running.exception()  # taken note of, also where nobody waits any more

    def _passed_on(self, notice: Notice) -> dict[str, str]:
        kept = {name: self.environment[name] for name in PASSED_ON if name in self.environment}
        return {"PATH": DEFAULT_PATH, **kept, "SYNCD_EVENT": notice.kind.value}
