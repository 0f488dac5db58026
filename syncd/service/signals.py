"""What the daemon does when it gets a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from syncd.service.daemon import Daemon

STOP_BUDGET_S = 20.0  # for the batch or snapshot in flight; the journal makes good what it does not finish

log = structlog.get_logger(__name__)


def reload_on_signal(asked: asyncio.Event) -> None:
    """Ask for the configuration to be read again at each SIGHUP."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)


def stop_on_signals(daemon: Daemon, loop: asyncio.Task[None], stopping: asyncio.Event) -> None:
    """End in good order at the first SIGTERM or SIGINT, at once at the second.

    Args:
        daemon: Asked to finish what is in flight.
        loop: Its task, cancelled when the time for that is over.
        stopping: Set when the end begins.
    """
    running = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if stopping.is_set():
            log.warning("stopped_at_once", signal=number.name)
            os._exit(128 + number)  # the journal is crash-safe, and the embedded server ends with us
        stopping.set()
        log.info("stopping", signal=number.name, at_most_s=STOP_BUDGET_S)
        daemon.stop()
        running.call_later(STOP_BUDGET_S, loop.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop, number)
