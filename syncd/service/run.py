"""Runs the daemon as a process: sources, loop, control socket, signals, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import JournalBrokenError, JournalError, SourceUnavailableError, StoreError
from syncd.service.control import ControlServer
from syncd.service.daemon import Daemon
from syncd.service.engine import Engine, open_engine
from syncd.service.handlers import handlers_of
from syncd.service.listening import Listening
from syncd.service.notifying import notifying
from syncd.service.pulse import Pulse
from syncd.service.recent import Recent
from syncd.service.reload import Reloading
from syncd.service.report import answer_json
from syncd.service.signals import STOP_BUDGET_S, reload_on_signal, stop_on_signals
from syncd.service.standing import Standing, tell
from syncd.service.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta
    from pathlib import Path

    from syncd.config import Settings
    from syncd.sources.base import Source

log = structlog.get_logger(__name__)

EXAMINED_AFTER_S, LOOK_EVERY_S = 60.0, 0.5  # the journal, at the latest; until then it waits for the first listings
PAUSE_S = 5.0  # before a source that could not go on is started again


async def run(
    settings: Settings,
    *,
    config: Path | None = None,
    listening: Listening | None = None,
    recent: Recent | None = None,
    hide: Callable[[Iterable[str]], None] = lambda _secrets: None,
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP has the configuration read again.

    Args:
        settings: The configuration.
        config: The file it came from.
        listening: Where HTTP is served; None: nowhere.
        recent: Keeps the newest lines of the log; None: nobody does.
        hide: Told of secrets that a changed configuration brings, before anything is done with them.

    Raises:
        SyncdError: It cannot start: the state directory is in use, the journal cannot be opened, and so on.
        JournalBrokenError: The journal cannot be trusted any more; started again, syncd examines it.
    """
    pulse, stopping = Pulse(), asyncio.Event()
    with Notifier.from_environment() as notifier:
        async with notifier.told_of_the_end(stopping), AsyncExitStack() as stack:
            async with notifier.taking_long():  # it may have to build a lakeFS
                engine = await stack.enter_async_context(open_engine(settings, on_progress=pulse.moved))
            gc.freeze()  # what is loaded by now stays: looking through it for garbage cost a tenth of an upload
            daemon, reloading = Daemon(engine, pulse=pulse), Reloading(settings, config, hide)
            standing = Standing(engine, daemon, reloading, listening or Listening(None, None))
            broken = await _serve(engine, daemon, standing, recent or Recent(), notifier, stopping)
    if broken is not None:
        raise broken
    log.info("stopped")


async def _serve(
    engine: Engine,
    daemon: Daemon,
    standing: Standing,
    recent: Recent,
    notifier: Notifier,
    stopping: asyncio.Event,
) -> JournalBrokenError | None:
    """Run everything until the loop has ended; return what ended it if that was the journal."""
    reloading, ending, reload = standing.reloading, asyncio.Event(), asyncio.Event()
    state_dir = reloading.settings.service.state_dir
    handlers = handlers_of(engine, daemon, standing, recent)
    lenders = {"pause": lambda request: engine.pauses.pause(str(request["why"]))}
    telling = notifying(engine, daemon, standing)
    async with telling, ControlServer(state_dir, handlers, lenders), asyncio.TaskGroup() as group:
        background = [group.create_task(_keep_running(source, ending)) for source in engine.sources]
        background.append(group.create_task(engine.lakefs.keep_alive()))
        background.append(group.create_task(engine.lease.keep()))
        background.append(group.create_task(engine.retention.serve()))
        background.append(group.create_task(_examine(engine)))
        background.append(group.create_task(tell(standing, daemon, notifier)))
        background.append(group.create_task(standing.listening.keep(standing)))
        background.append(group.create_task(reloading.serve(engine, reload, notifier)))
        loop = asyncio.create_task(daemon.loop())
        stop_on_signals(daemon, loop, stopping)
        reload_on_signal(reload)
        log.info("started", state_dir=str(state_dir), **engine.target)
        notifier.ready()
        try:
            return await _until_done(loop)
        finally:
            ending.set()
            for task in (*background, loop):
                task.cancel()
            await asyncio.gather(loop, return_exceptions=True)


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
    """Examine the journal once the start is over: it takes seconds of the disk and of a core."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EXAMINED_AFTER_S):
            while not all(source.health().complete for source in engine.sources):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(LOOK_EVERY_S)
    while True:
        try:
            return await engine.journal.examine()
        except JournalBrokenError:
            return None  # the loop finds out, and ends the process
        except JournalError as error:  # of the disk, or no file can be opened just now
            log.warning("journal_not_examined", error=str(error), retry_in_s=EXAMINED_AFTER_S)
        await asyncio.sleep(EXAMINED_AFTER_S)


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
