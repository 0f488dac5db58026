"""The folder of images as a source: it finds the root, works on it, and waits for it when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import structlog

from syncd.errors import SourceUnavailableError
from syncd.model import IMAGES, ProblemCode
from syncd.sources import tree
from syncd.sources.base import LeftOut, SourceHealth
from syncd.sources.ignore import Rules
from syncd.sources.ignore_file import load_rules
from syncd.sources.judge import Judge
from syncd.sources.looker import Looker, empty_error
from syncd.sources.pending import Clocks, Pending
from syncd.sources.problem_book import ProblemBook
from syncd.sources.session import Session, SessionEndedError
from syncd.sources.work import Progress, Work

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    from syncd.sources.base import Inventory
    from syncd.sources.ignore import Verdict
    from syncd.sources.settings import FolderSettings

NAME = "images"
_THREADS = 4  # one looks, three read
_ROOT = "."  # the root's path where a problem names it

log = structlog.get_logger(__name__)


class FolderSource:
    """The folder of images; implements ``Source``. Nothing is ever written into it.

    Args:
        settings: What to watch, and how.
        inventory: Where observations go.
        clock: The time, time-zone-aware.
        rng: For the jitter of safety rescans.

    Raises:
        BadPatternError: An include or exclude pattern is none.
    """

    def __init__(
        self, settings: FolderSettings, inventory: Inventory, *, clock: Callable[[], datetime], rng: random.Random
    ) -> None:
        self._settings, self._inventory, self._clock, self._rng = settings, inventory, clock, rng
        Rules(settings.include, settings.exclude)  # refuses a bad pattern now, not once there is a root
        self._problems = ProblemBook(NAME, inventory, clock)
        self._progress = Progress()
        self._session: Session | None = None
        self._former_losses = self._former_watchers = 0  # of the sessions that have ended
        self._listed_once = False  # by `scan_once`, to the end and without an error, and not looked at since
        self._unavailable: SourceUnavailableError | None = None
        self._lost = ""  # why the root was given up, until it is looked for again
        self._identity: tree.Identity | None = None  # of the root worked on last
        self._mounted: set[str] = set()  # directories below this root on which something was ever mounted
        self._asked = self._looked = 0  # looks at the root that barriers asked for; the newest of these that is done

    @property
    def name(self) -> str:
        """Return "images"."""
        return NAME

    async def run(self) -> None:
        """See ``Source.run``. A root that is missing, lost or empty is waited for."""
        await self._run(self._settings)

    async def barrier(self, deadline: datetime) -> Sequence[LeftOut]:
        """See ``Source.barrier``."""
        return await self._barrier(deadline)

    async def _barrier(self, deadline: datetime, patience_s: float | None = None) -> Sequence[LeftOut]:
        called_at_s = asyncio.get_running_loop().time()
        self._asked = number = self._asked + 1  # what was found before the call does not count
        self._progress.made()
        while True:
            session = self._session
            if session is not None:
                with contextlib.suppress(SessionEndedError):
                    return await session.barrier(called_at_s, deadline, patience_s=patience_s)
            remaining_s = (deadline - self._clock()).total_seconds()
            ready = await self._progress.until(
                lambda old=session: self._is_gone(number) or self._session not in {None, old},  # type: ignore[misc]
                remaining_s,
            )
            if self._unavailable is not None:
                raise self._unavailable
            if not ready:
                return [LeftOut(path=_ROOT, reason="the folder could not be opened in time")]

    async def scan_once(self, deadline: datetime) -> Sequence[LeftOut]:
        """See ``Source.scan_once``. The deadline is for a root that is not there, and then for each file."""
        patience_s = (deadline - self._clock()).total_seconds()
        running = asyncio.create_task(self._run(replace(self._settings, watch="polling")))
        waiting = asyncio.create_task(self._barrier(deadline, patience_s))
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                running.result()  # raises: it ends only by an error
            left_out = await waiting
            session = self._session
            self._listed_once = session is not None and session.looking.scans.complete
            return left_out
        finally:
            for task in (waiting, running):
                task.cancel()
            await asyncio.gather(running, waiting, return_exceptions=True)

    def approve(self) -> str:
        """See ``Source.approve``: what is held of images, the planner holds by itself, and lets go by itself."""
        return ""

    def health(self) -> SourceHealth:
        """See ``Source.health``."""
        session = self._session
        scans = session.looking.scans if session is not None else None
        complete = scans.complete if scans is not None else self._listed_once
        if self._unavailable is not None:
            reason = str(self._unavailable)
        elif session is None and self._lost:
            reason = self._lost
        else:
            reason = "" if complete else "the folder is being listed for the first time"
        return SourceHealth(
            name=NAME,
            available=session is not None or self._listed_once,
            complete=complete,
            scanning=scans is not None and scans.under_way,
            settling=session.settling if session is not None else 0,
            busy=session is not None and session.looking.busy,
            reason=reason,
            degraded=session.looking.watching.degraded if session is not None else "",
            skipped=self._problems.counts(),
            losses=self._former_losses + (session.looking.losses if session is not None else 0),
            watchers=self._former_watchers + (session.looking.watchers if session is not None else 0),
        )

    @property
    def event_losses(self) -> int:
        """How often events were lost, and made up for by a listing, since the root was last found."""
        return self._session.looking.losses if self._session is not None else 0

    def request_rescan(self) -> None:
        """List everything soon, whether or not there are hints."""
        if self._session is not None:
            self._session.looking.ask_scan("request")

    def open(self, key: str) -> BinaryIO:
        """See ``Source.open``."""
        path = key.removeprefix(IMAGES)
        with (
            tree.open_root(self._settings.root) as root_fd,
            tree.open_beneath(root_fd, tree.directory_of(path)) as directory_fd,
        ):
            return tree.open_file(directory_fd, tree.name_of(path))

    def recheck(self, key: str) -> None:
        """See ``Source.recheck``."""
        if self._session is not None:
            self._session.looking.suspect(key.removeprefix(IMAGES))

    async def _run(self, settings: FolderSettings) -> None:
        self._listed_once = False
        executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="syncd-images")
        try:
            await self._problems.load()
            while True:
                await self._work_on_root(settings, executor)
        finally:
            self._session = None
            executor.shutdown(wait=False)

    def _is_gone(self, number: int) -> bool:
        """Return whether a look that was asked for, or a later one, found no root to work on."""
        return self._unavailable is not None and self._looked >= number

    async def _work_on_root(self, settings: FolderSettings, executor: Executor) -> None:
        """Work on the root until it is lost; where there is none, say so and wait for a moment."""
        asked = self._asked
        try:
            looker = await asyncio.get_running_loop().run_in_executor(executor, self._find_root)
        except SourceUnavailableError as error:
            await self._note_unavailable(error)
            self._looked = asked
            self._progress.made()
            await self._progress.until(lambda: self._asked > asked, settings.check_seconds)
            return
        await self._note_available()
        self._session = Session(self._work(settings, looker, executor))
        self._progress.made()
        try:
            await self._session.run()
        except SourceUnavailableError as error:
            self._lost = str(error)
            log.warning("source_lost", source=NAME, why=error.fact)
        finally:
            looking, self._session = self._session.looking, None
            self._former_losses += looking.losses
            self._former_watchers += looking.watchers

    def _find_root(self) -> Looker:
        """Open the root and see whether it may be worked on. Blocks.

        Raises:
            SourceUnavailableError: It is not there, or empty though files of it are known.
        """
        with tree.open_root(self._settings.root) as root_fd:
            rules, _ = load_rules(root_fd, self._settings.include, self._settings.exclude, None)
            identity = tree.identity_of(root_fd)
            if identity != self._identity:
                self._identity = identity
                self._mounted.clear()
            looker = Looker(
                root=self._settings.root,
                identity=identity,
                inventory=self._inventory,
                judge=Judge(
                    rules=rules,
                    prefix=self._settings.prefix,
                    max_object_bytes=self._settings.max_object_bytes,
                ),
                stopped=threading.Event(),
                mounted=self._mounted,
            )
            known = next(iter(self._inventory.known_directories(IMAGES)), None)
            if known is not None and not looker.holds_something(root_fd):
                raise empty_error(self._settings.root)
            return looker

    def _work(self, settings: FolderSettings, looker: Looker, executor: Executor) -> Work:
        clocks = Clocks(wall=lambda: self._clock().timestamp(), monotonic=asyncio.get_running_loop().time)
        return Work(
            settings=settings,
            inventory=self._inventory,
            looker=looker,
            pending=Pending(settings.settle_seconds, clocks),
            problems=self._problems,
            clock=self._clock,
            rng=self._rng,
            executor=executor,
        )

    async def _note_unavailable(self, error: SourceUnavailableError) -> None:
        if self._unavailable is None or self._unavailable.fact != error.fact:
            log.warning("source_unavailable", source=NAME, why=error.fact)
            self._problems.note(_ROOT, ProblemCode.SOURCE_UNAVAILABLE, str(error))
            await self._problems.flush()
        self._unavailable = error
        self._progress.made()

    async def _note_available(self) -> None:
        if self._unavailable is not None:
            log.info("source_available", source=NAME)
        self._unavailable = None
        self._problems.clear(_ROOT)
        await self._problems.flush()


def verdicts(settings: FolderSettings) -> Callable[[str], Verdict]:
    """Return what tells of a path of the folder whether it is synced and which rule decides it. Blocks.

    Raises:
        SourceUnavailableError: The folder cannot be opened.
    """
    with tree.open_root(settings.root) as root_fd:
        rules, _ = load_rules(root_fd, settings.include, settings.exclude, None)
    return rules.verdict
