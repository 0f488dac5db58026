"""A whole dataset without a process: a pretended folder, a real journal, the real loop, the in-memory lakeFS.

Time stands still unless it is moved. The folder is a dict; what the daemon has seen of it lags behind until
``look`` records it, as with a watcher. ``crash`` throws the process away and starts another on the same journal.
"""

from __future__ import annotations

import asyncio
import io
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Self

from syncd.committer import Committer
from syncd.journal import Journal, snapshots
from syncd.model import Snapshot
from syncd.planner.facts import Policies
from syncd.preparation import Preparation
from syncd.service.daemon import Daemon
from syncd.service.engine import Engine
from syncd.service.requests import SnapshotAnswer, SnapshotRequests
from syncd.sources.base import LeftOut, SourceHealth
from syncd.store.memory import MemoryObjectStore, MemoryRepository, MemoryVersionStore
from syncd.uploader import Uploader
from tests.support.observing import START, absent, present
from tests.support.planning import policies, seconds


class PretendedFolder:
    """A source over a dict of key to content."""

    name = "images"

    def __init__(self, world: World) -> None:
        self._world = world
        self.complete = True
        self.available = True

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def barrier(self, _deadline: datetime) -> list[LeftOut]:
        await self._world.look()
        return []

    scan_once = barrier

    def open(self, key: str) -> BinaryIO:
        if key not in self._world.files:
            raise FileNotFoundError(key)
        return io.BytesIO(self._world.files[key])

    def recheck(self, key: str) -> None:
        self._world.to_recheck.add(key)

    def health(self) -> SourceHealth:
        return SourceHealth(name="images", available=self.available, complete=self.complete, scanning=False, settling=0)


class World:
    """One dataset and everything around it."""

    def __init__(self, directory: Path, *, seed: int = 0, **limits: object) -> None:
        self.directory, self._seed = directory, seed
        self.policies: Policies = policies(**limits)
        self.files: dict[str, bytes] = {}
        self.seen: dict[str, bytes] = {}
        self.to_recheck: set[str] = set()
        self.now = START
        self.repository = MemoryRepository()
        self.objects = MemoryObjectStore(self.repository, "staging")
        self.versions = MemoryVersionStore(self.repository)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.journal.__aexit__(*exc_info)

    async def crash(self) -> None:
        """End the process between two turns, and start another."""
        await self.journal.__aexit__(None, None, None)
        await self._start()

    async def _start(self) -> None:
        self.journal = await Journal(self.directory).__aenter__()
        self.folder = PretendedFolder(self)
        self.seen = {}  # the new process lists everything
        for directory in self.journal.known_directories("images/"):
            for name, _ in self.journal.known_in(directory):
                self.seen[directory + name] = b"?"
        self.engine = self._engine()
        self.daemon = Daemon(self.engine, rng=random.Random(self._seed))

    def _engine(self) -> Engine:
        wake, clock = asyncio.Event(), lambda: self.now
        sources = [self.folder]
        return Engine(
            clock=clock,
            policies=self.policies,
            journal=self.journal,
            sources=sources,
            lakefs=None,
            preparation=Preparation(
                journal=self.journal,
                versions=self.versions,
                repository="photos",
                storage_namespace="local://photos",
                staging_branch="staging",
                publish_branch="main",
                prefix="",
                clock=clock,
            ),
            uploader=Uploader(
                journal=self.journal,
                objects=self.objects,
                contents=self.folder,
                check_branch=lambda: self.versions.head("staging"),
                prefix="",
                concurrency=4,
                clock=clock,
            ),
            committer=Committer(
                journal=self.journal,
                versions=self.versions,
                staging_branch="staging",
                publish_branch="main",
                syncd_version="0",
                clock=clock,
            ),
            requests=SnapshotRequests(sources=sources, journal=self.journal, wake=wake, clock=clock),
            schedule=None,
            wake=wake,
        )

    async def look(self) -> None:
        """Record what differs between the folder and what was seen of it."""
        self.to_recheck.clear()
        found = [
            present(key, content, at=self.now) for key, content in self.files.items() if self.seen.get(key) != content
        ]
        found += [absent(key, at=self.now) for key in self.seen.keys() - self.files.keys()]
        self.seen = dict(self.files)
        await self.journal.record(found)

    def pass_time(self, span: float) -> None:
        self.now += seconds(span)

    async def turn(self) -> None:
        """Let the loop decide and act once."""
        await self.daemon._turn()

    async def settle(self, turns: int = 60) -> None:
        """Let everything work, look, and turn until the loop has nothing to do, long after the last change."""
        await self.look()
        for _ in range(turns):
            self.pass_time(4000)
            await self.turn()

    async def snapshot(self, *, allow_held: bool = False, turns: int = 60) -> SnapshotAnswer:
        """Call for a snapshot and turn until it is answered."""
        asking = asyncio.create_task(self.engine.requests.snapshot(patience=timedelta(days=1), allow_held=allow_held))
        while not asking.done() and not self.engine.requests.facts(self.now):
            await asyncio.sleep(0)  # until its barrier has passed
        for _ in range(turns):
            if asking.done():
                break
            await self.turn()
            self.pass_time(61)
        return await asyncio.wait_for(asking, 5)

    def tree(self, reference: str) -> dict[str, bytes]:
        """What a reference holds."""
        return {key: stored.content for key, stored in self.repository.tree(reference).items()}

    async def history(self) -> list[Snapshot]:
        return await self.journal.read(lambda connection: list(snapshots.history(connection, limit=1000)))
