"""Looking where hints point and listing everything now and then, one look after another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from syncd.sources.file_systems import obstacle
from syncd.sources.ignore_file import load_rules
from syncd.sources.scans import Scans
from syncd.sources.walk import Walk
from syncd.sources.watcher import COOKIE_SECONDS, Watcher, WatchUnavailableError
from syncd.sources.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.sources.file_systems import Ground
    from syncd.sources.hints import Hints
    from syncd.sources.ignore import Rules
    from syncd.sources.ledger import Ledger
    from syncd.sources.sight import Fault
    from syncd.sources.work import Work

LOOK_PATHS = 1_000
MOST_UNDER_WAY = 20_000  # files settling or being read; listing waits for them, so that memory does not follow it
_PATIENCE_SECONDS = 5.0  # … but not for ever, since some may never settle

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Listing:
    """A walk under way, and the problems below its directory that it has not met again yet."""

    walk: Walk
    unmet: set[str]
    unread: list[str] = field(default_factory=list)


class LookingLoop:
    """The only one who looks at the root; see the rules in ``pending``."""

    def __init__(self, work: Work, ledger: Ledger, hints: Hints) -> None:
        self._work, self._ledger, self._hints = work, ledger, hints
        self.scans = Scans(work.rng)
        self.asked = 0  # rounds that barriers asked for
        self.done = 0  # the newest of these that has ended: all hints from before it have been looked at
        self.watching = Watching(work.settings)
        self.preparing = False  # a full listing has begun, and may place a watcher before it looks at anything
        self.losses = 0  # how often events were lost
        self.watchers = 0  # how many were started
        self._looks = False  # at the paths that hints named
        self._probe_at = 0.0  # when the watcher is asked next whether it still works
        self._mounts: set[str] = set()  # directories below the root on which something was mounted when last looked
        self._full: _Listing | None = None
        self._suspects: set[str] = set()  # to be read again even if they look as known

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            SourceUnavailableError: The root is lost or empty.
        """
        while True:
            await self._until_something_to_do()
            asked, taken = self.asked, self._hints.take()
            if taken.rescan:
                self._lost_events(taken.rescan)
            for path in self._work.pending.take_doubted():
                taken.paths.setdefault(path, False)
            if taken.paths:
                self._looks = True
                try:
                    await self._look(taken.paths)
                finally:
                    self._looks = False
            if asked > self.done or not taken.paths:
                await self._notice_mounts(root=not taken.paths)
            self.done = asked
            self._work.progress.made()
            await self._probe()
            await self._advance_full()

    @property
    def busy(self) -> bool:
        """Whether paths are being looked at or listed, or hints wait: more may be found in a moment."""
        return self._looks or self.scans.outstanding or self._hints.waiting() or self._work.pending.doubted

    def ask_round(self) -> int:
        """Return the number that ``done`` reaches once all hints waiting now have been looked at."""
        self.asked += 1
        self._work.progress.made()
        return self.asked

    def ask_scan(self, reason: str) -> int:
        """Return the number that ``scans.done`` reaches once a full listing that begins after now has ended."""
        number = self.scans.ask(reason)
        self._work.progress.made()
        return number

    def suspect(self, path: str) -> None:
        """Read a file again soon, however it looks."""
        self._suspects.add(path)
        self._hints.add(path)

    def distrust_watcher(self) -> None:
        """Start a new watcher, and with it a full listing: the one there was does not answer."""
        if not self.watching.new_watcher:  # else two have noticed it, and one is on its way
            self.watching.new_watcher = True
            self._lost_events("the watcher did not answer")
            self._work.progress.made()

    def close(self) -> None:
        """Stop watching; blocks for a moment."""
        watcher, self._work.looker.watcher = self._work.looker.watcher, None
        if watcher is not None:
            watcher.close()

    def _lost_events(self, why: str) -> None:
        self.losses += 1
        self.scans.ask("scan")
        log.warning("events_lost", source="images", why=why, losses=self.losses)

    async def _probe(self) -> None:
        """Now and then, see whether the watcher still works: a thread that has died reports nothing, for ever."""
        watcher, now_s = self._work.looker.watcher, asyncio.get_running_loop().time()
        if watcher is not None and now_s >= self._probe_at:
            answers = not watcher.has_cookies or await watcher.cookie(COOKIE_SECONDS)
            self._probe_at = now_s + self._work.settings.probe_seconds
            if not answers:
                self.distrust_watcher()

    async def _notice_mounts(self, *, root: bool) -> None:
        """List everything if something was mounted or unmounted below the root: no event need tell of that.

        Args:
            root: Check the root, too; raises as :meth:`run`.
        """
        before = self._mounts
        await self._ground(check_root=root)
        if self._mounts != before and self._work.looker.watcher is not None:
            self._lost_events("something was mounted or unmounted below the folder")

    async def _ground(self, *, check_root: bool = False) -> Ground:
        """Return what the root lies on, and keep in mind what is mounted below it."""
        looker = self._work.looker

        def look() -> Ground:  # in one go: this is done every second
            if check_root:
                looker.check_root()
            return looker.ground()

        ground = await self._work.thread(look)
        self._mounts = set(ground.below)
        looker.mounted.update(self._mounts)
        return ground

    async def _until_something_to_do(self) -> None:
        loop = asyncio.get_running_loop()

        def found() -> bool:
            waiting = self._hints.waiting() or self._work.pending.doubted or self.asked > self.done
            return waiting or self._full is not None or self.scans.due(loop.time())

        until_scan_s = max(0.0, self.scans.next_at - loop.time())
        await self._work.progress.until(found, min(self._work.settings.check_seconds, until_scan_s))

    async def _look(self, paths: Mapping[str, bool]) -> None:
        ordered = sorted(paths)
        for start in range(0, len(ordered), LOOK_PATHS):
            piece = {path: paths[path] for path in ordered[start : start + LOOK_PATHS]}
            for path in piece:
                self._work.pending.reading(path)
            # If such a directory is gone, nothing is known below it of what is read there now.
            self._work.pending.doubt_reading(*(f"{path}/" for path, everything in piece.items() if everything))
            suspects, self._suspects = self._suspects.intersection(piece), self._suspects.difference(piece)
            sight = await self._work.thread(self._work.looker.look, piece, suspects)
            if sight.rules_changed:
                self.scans.ask("event")
            readable_again = [path for path in sight.entered if self._work.problems.stands(path.removesuffix("/"))]
            there_again = await self._ledger.enter_sight(sight, "event")
            for directory in (*sight.trees, *readable_again, *there_again):
                await self._list_tree(directory)
            await self._room()

    async def _list_tree(self, directory: str) -> None:
        """List a new or moved directory with all below it, to the end: barriers count on that."""
        listing = self._begin(directory)
        try:
            while await self._step(listing, "event"):
                await self._room()
        except WatchUnavailableError as error:
            await self._stop_watching(error, listing)

    async def _advance_full(self) -> None:
        """Begin a full listing if one is due, or do the next piece of the one under way."""
        loop = asyncio.get_running_loop()
        if self._full is None:
            if not self.scans.due(loop.time()):
                return
            self.preparing = True
            self.scans.begin(loop.time())
            self._full = self._begin("")
            await self._load_rules()
            await self._choose_watching(loop.time())
        try:
            await self._place_watcher()
            self._prepared()
            if await self._step(self._full, self.scans.reason):
                await self._room()
                return
        except WatchUnavailableError as error:
            await self._stop_watching(error)
            return
        self._full = None
        watched = self._work.looker.watcher is not None
        self.watching.end_listing(watched=watched, now_s=loop.time())
        interval_s = self._work.settings.rescan_seconds if watched else self._work.settings.poll_seconds
        self.scans.end(loop.time(), interval_s, "scan" if watched else "poll")
        self._work.progress.made()

    def _begin(self, directory: str) -> _Listing:
        self._work.pending.doubt_reading(directory)
        return _Listing(Walk(self._work.looker, directory), self._work.problems.begin_listing(directory))

    async def _step(self, listing: _Listing, reason: str) -> bool:
        """Do one piece of a listing; return whether there is more."""
        sight = await self._work.thread(listing.walk.advance)
        if sight is not None:
            listing.unread.extend(sight.unread)
            for directory in await self._ledger.enter_sight(sight, reason):
                listing.walk.add(directory)
            return True
        self._end(listing, complete=True)
        await self._work.problems.flush()
        return False

    def _end(self, listing: _Listing, *, complete: bool) -> None:
        pending = self._work.pending
        self._work.problems.end_listing(
            listing.unmet, complete=complete, unread=listing.unread, keep=lambda path: path in pending
        )

    async def _room(self) -> None:
        pending = self._work.pending
        await self._work.progress.until(lambda: pending.under_way < MOST_UNDER_WAY, _PATIENCE_SECONDS)

    async def _load_rules(self) -> None:
        rules, fault = await self._work.thread(self._read_rules)
        self._work.looker.judge = replace(self._work.looker.judge, rules=rules)
        if fault is not None:
            self._work.problems.note(*fault)

    def _read_rules(self) -> tuple[Rules, Fault | None]:
        settings, looker = self._work.settings, self._work.looker
        with looker.opened() as root_fd:
            return load_rules(root_fd, settings.include, settings.exclude, looker.judge.rules)

    async def _choose_watching(self, now_s: float) -> None:
        """At the beginning of a full listing: does it place watches? Only then they come to be on all directories."""
        ground = await self._ground()
        why_not = obstacle(self._work.settings.root, ground) if self.watching.asks_for_ground else ""
        self.watching.begin_listing(why_not, now_s)
        if why_not:
            await self._work.thread(self.close)

    async def _place_watcher(self) -> None:
        if self.watching.new_watcher:
            self.scans.need_current()  # until it has ended, some directories are not watched
            await self._work.thread(self.close)
            self.watching.new_watcher = False  # not before: until then the old one may be found dead once more
            looker = self._work.looker
            looker.watcher = await self._work.thread(
                Watcher, self._hints, looker.wanted, self._work.settings.cookie_dir
            )
            self.watchers += 1
            await self._work.thread(looker.watch_root)
            await self._load_rules()  # only from here on does an event tell of a change of them

    def _prepared(self) -> None:
        if self.preparing:
            self.preparing = False
            self._work.progress.made()

    async def _stop_watching(self, error: WatchUnavailableError, tree: _Listing | None = None) -> None:
        """Go on by listing alone; a full listing under way begins anew, so that none counts on a watch."""
        self.watching.failed(str(error), asyncio.get_running_loop().time())
        for listing in (tree, self._full):
            if listing is not None:
                self._end(listing, complete=False)
        await self._work.thread(self.close)
        self._full = None
        if self.scans.under_way:
            self.scans.give_up()
        self.scans.ask("scan")
        self._prepared()
