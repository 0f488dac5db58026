"""What the daemon does when it gets a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import structlog

from syncd.errors import EXIT_FAILED

if TYPE_CHECKING:
    from syncd.service.daemon import Daemon

STOP_BUDGET_S = 20.0  # for the batch or snapshot in flight; the journal makes good what it does not finish
REST_S = 60.0  # after that, for the lease, what is to be told, and the embedded server

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
        running.call_later(STOP_BUDGET_S + REST_S, _end_by_force)

    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop, number)


def _end_by_force() -> None:
    """Something does not end: the manager, which is asked for more time meanwhile, would wait for ever."""
    tasks = asyncio.all_tasks()
    told = [task for task in tasks if task.cancelling()] or tasks
    left = sorted(getattr(task.get_coro(), "__qualname__", task.get_name()) for task in told)
    log.error("stopped_by_force", still_running=left, why="it had not ended in time; the next start goes on from there")
    os._exit(EXIT_FAILED)
