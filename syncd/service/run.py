"""Runs the daemon as a process: sources, loop, control socket, signals, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import JournalBrokenError, JournalError, SourceUnavailableError, StoreError
from syncd.service import approval
from syncd.service.control import ControlServer
from syncd.service.daemon import Daemon
from syncd.service.engine import Engine, open_engine
from syncd.service.report import answer_json, daemon_picture
from syncd.status import status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config import Settings
    from syncd.sources.base import Source

log = structlog.get_logger(__name__)

STOP_BUDGET_S = 20.0  # for the batch or snapshot in flight; the journal makes good what it does not finish
PAUSE_S = 5.0  # before a source that could not go on is started again


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        SyncdError: It cannot start: the state directory is in use, the journal cannot be opened, and so on.
        JournalBrokenError: The journal cannot be trusted any more; started again, syncd examines it.
    """
    async with open_engine(settings) as engine:
        gc.freeze()  # what is loaded by now stays: looking through it for garbage cost a tenth of an upload
        daemon, ending = Daemon(engine), asyncio.Event()
        handlers = {
            "snapshot": _snapshot_handler(engine),
            "status": _status_handler(engine, daemon),
            "held": lambda _request: approval.held(engine),
            "approve": _approve_handler(engine, daemon),
            "agree": lambda request: approval.agree(engine, request),
        }
        lenders = {"pause": lambda request: engine.pauses.pause(str(request["why"]))}
        async with ControlServer(settings.service.state_dir, handlers, lenders), asyncio.TaskGroup() as group:
            background = [group.create_task(_keep_running(source, ending)) for source in engine.sources]
            background.append(group.create_task(engine.lakefs.keep_alive()))
            background.append(group.create_task(engine.lease.keep()))
            background.append(group.create_task(engine.retention.serve()))
            background.append(group.create_task(_examine(engine)))
            loop = asyncio.create_task(daemon.loop())
            _stop_on_signals(daemon, loop)
            log.info("started", state_dir=str(settings.service.state_dir), **engine.target)
            try:
                broken = await _until_done(loop)
            finally:
                ending.set()
                for task in (*background, loop):
                    task.cancel()
                await asyncio.gather(loop, return_exceptions=True)
    if broken is not None:
        raise broken
    log.info("stopped")


async def _until_done(loop: asyncio.Task[None]) -> JournalBrokenError | None:
    """Return once the loop has ended, and what ended it if that was the journal."""
    try:
        await loop
    except JournalBrokenError as error:
        return error  # whoever runs it is told by how it ends
    except asyncio.CancelledError:
        if not loop.cancelled():
            raise
        log.warning("stopped_with_work_in_flight", reason="the time to finish it ran out; it is done at the next start")
    return None


async def _examine(engine: Engine) -> None:
    with contextlib.suppress(JournalBrokenError):  # the loop finds out, and ends the process
        await engine.journal.examine()


async def _keep_running(source: Source, ending: asyncio.Event) -> None:
    """A full disk or a folder that is gone stops a source for a while, never for good."""
    while True:
        try:
            await source.run()
        except JournalBrokenError:
            return  # the loop finds out, too, and ends the process
        except (JournalError, SourceUnavailableError) as error:
            if ending.is_set():
                return  # the error came on the way out, and hides that it was cancelled
            log.warning("source_paused", source=source.name, error=str(error), retry_in_s=PAUSE_S)
        await asyncio.sleep(PAUSE_S)


def _stop_on_signals(daemon: Daemon, loop: asyncio.Task[None]) -> None:
    running = asyncio.get_running_loop()
    signals_seen = 0

    def stop(number: signal.Signals) -> None:
        nonlocal signals_seen
        signals_seen += 1
        if signals_seen > 1:
            log.warning("stopped_at_once", signal=number.name)
            os._exit(128 + number)  # the journal is crash-safe, and the embedded server ends with us
        log.info("stopping", signal=number.name, at_most_s=STOP_BUDGET_S)
        daemon.stop()
        running.call_later(STOP_BUDGET_S, loop.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop, number)


def _snapshot_handler(engine: Engine) -> Any:
    async def handle(request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await engine.requests.snapshot(
            patience=timedelta(seconds=float(request["timeout_s"])),
            allow_held=bool(request["allow_held"]),
            reason=str(request.get("reason", "")),
            ends_pause=bool(request.get("ends_pause")),
        )
        return answer_json(answer)

    return handle


def _approve_handler(engine: Engine, daemon: Daemon) -> Any:
    async def handle(request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await approval.approve(engine, request)
        daemon.try_again()
        return answer

    return handle


def _status_handler(engine: Engine, daemon: Daemon) -> Any:
    async def handle(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        return await engine.journal.read(status, daemon_picture(engine, daemon))

    return handle


async def sync_once(
    settings: Settings, *, patience: timedelta, allow_held: bool, progress: Any, reason: str = ""
) -> Mapping[str, Any]:
    """List everything once, stage what differs, publish, and return the answer.

    Raises:
        SourceUnavailableError: A source cannot be read.
        StoreError: lakeFS does not answer or refuses.
    """
    async with open_engine(settings, progress=progress) as engine:
        gc.freeze()  # as above; and the exit need not look through it either
        daemon = Daemon(engine)
        asking = asyncio.create_task(
            engine.requests.snapshot(patience=patience, allow_held=allow_held, once=True, reason=reason)
        )
        loop = asyncio.create_task(daemon.loop())
        keeping = asyncio.create_task(engine.lease.keep())
        rereading = asyncio.create_task(engine.rereads.serve(engine.clock() + patience))
        try:
            await asyncio.wait({asking, loop, rereading}, return_when=asyncio.FIRST_COMPLETED)
            for task in (loop, rereading):
                if task.done():
                    task.result()
            answer = answer_json(await asking)
        except StoreError as error:
            raise daemon.failure.error if daemon.failure else error from error
        else:
            await engine.retention.attempt()
            return answer
        finally:
            daemon.stop()
            asking.cancel()
            await asyncio.wait({loop}, timeout=STOP_BUDGET_S)
            loop.cancel()
            for task in (rereading, keeping):
                task.cancel()
            await asyncio.gather(asking, loop, rereading, keeping, return_exceptions=True)
