"""A whole dataset without a process: a pretended folder and tables, a real journal, the real loop, in-memory lakeFS.

Time stands still unless it is moved. The folder is a dict; what the daemon has seen of it lags behind until
``look`` records it, as with a watcher; so are the tables, until ``read`` records a version of them. ``crash`` throws
the process away and starts another on the same journal.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Self

from syncd.committer import Committer
from syncd.gate import ClosedTable, Gate
from syncd.journal import Journal, closure, history, moments
from syncd.model import RowImage, Snapshot
from syncd.ownership.preparation import Preparation
from syncd.planner.facts import Plan, Policies
from syncd.planner.retention import KeepRules
from syncd.retention.retention import Retention
from syncd.service.contents import SourceContents
from syncd.service.daemon import Daemon
from syncd.service.engine import Engine
from syncd.service.pauses import Pauses
from syncd.service.requests import SnapshotAnswer, SnapshotRequests
from syncd.service.rereads import Rereads
from syncd.service.waiting import RESTLESS_S
from syncd.sources.base import LeftOut, SourceHealth
from syncd.sources.tables.spool import Spool
from syncd.store.memory import MemoryObjectStore, MemoryRepository, MemoryVersionStore
from syncd.store.memory_pins import MemoryPins
from syncd.uploader import Uploader
from tests.support.branches import recovery, staging_branch
from tests.support.observing import START, absent, present
from tests.support.planning import policies, seconds
from tests.support.table_versions import table_object, table_version

WAIT = timedelta(seconds=600)  # how long the missing half is waited for in silence
MOST_IN_VAIN = 10


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


@dataclass(frozen=True)
class Row:
    """One row of a pretended table."""

    image: str | None  # the key of the image it names
    part: int = 0  # in which of the table's parts it stands
    label: str = ""


@dataclass
class TableState:
    """What a table holds, and what was ever read of it; outlives the process that reads it.

    It is published as one object for each part that has rows, and one that describes them.
    """

    name: str
    closure: str  # "off", "warn", "hold" or "exclude"
    rows: dict[str, Row] = field(default_factory=dict)
    read: dict[str, bytes] = field(default_factory=dict)  # the version read last: key to body
    versions: list[dict[str, bytes]] = field(default_factory=list)  # all that were read and recorded
    sound: bool = True  # it can be read now

    @property
    def compares(self) -> bool:
        return self.closure != "off"

    def part_of(self, row: Row) -> str:
        return f"tables/{self.name}/part-{row.part}.json"

    def bodies(self, images: Collection[str] = ()) -> dict[str, bytes]:
        """What it would be published as now; under exclude, with these images there."""
        parts: dict[str, dict[str, list[str | None]]] = {}
        shown = self.shown(images)
        for key, row in sorted(self.rows.items()):
            part = parts.setdefault(self.part_of(row), {})
            if key in shown:
                part[key] = [row.image, row.label]
        schema = {f"tables/{self.name}/_schema.json": json.dumps({"rows": len(shown)}).encode()}
        return schema | {key: json.dumps(rows).encode() for key, rows in parts.items()}

    def shown(self, images: Collection[str]) -> set[str]:
        """The keys of the rows that are published, with these images there."""
        return {key for key, row in self.rows.items() if self.closure != "exclude" or row.image in images}


def rows_of(tree: Mapping[str, bytes], name: str) -> dict[str, str | None]:
    """Return which image each row of a published table names, by the rows' keys."""
    parts = [body for key, body in tree.items() if key.startswith(f"tables/{name}/part-")]
    return {key: image for body in parts for key, (image, _) in json.loads(body).items()}


class PretendedTable:
    """A source over a ``TableState``, which keeps what it read until it is sent, as a database's does."""

    def __init__(self, world: World, state: TableState) -> None:
        self._world, self._state = world, state
        self.name = state.name
        self._complete = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def barrier(self, _deadline: datetime) -> list[LeftOut]:
        await self.read()
        return []

    scan_once = barrier

    def open(self, key: str) -> BinaryIO:
        if key not in self._state.read:
            raise FileNotFoundError(key)
        return io.BytesIO(self._state.read[key])

    def recheck(self, key: str) -> None:
        self._world.to_recheck.add(key)

    def read_again(self) -> None:
        self._world.to_reread.add(self.name)

    def health(self) -> SourceHealth:
        sound = self._state.sound
        return SourceHealth(
            name=self.name, available=sound, complete=self._complete and sound, scanning=False, settling=0
        )

    async def fits_otherwise(self) -> bool:
        return False  # it holds nothing back

    async def lay_by(self) -> tuple[list[str], dict[str, bytes], set[str]]:
        """Read all of it and lay by the rows of the pieces that changed; nothing follows from that yet."""
        state, journal = self._state, self._world.journal
        images = journal.staged_images({row.image for row in state.rows.values() if row.image})
        known, bodies, shown = journal.known_table(self.name), state.bodies(images), state.shown(images)
        same = {}
        if known is not None and (known.keeps_rows or not state.compares):
            same = {one.object.key: one.object.fingerprint for one in known.objects}
        gone = {one.object.key for one in known.objects} - bodies.keys() if known is not None else set()
        changed = {key for key, body in bodies.items() if same.get(key) != table_object(key, body).fingerprint}
        if state.closure == "exclude":  # the rows that are left out may be others
            changed = set(bodies)
        if state.compares:
            await journal.begin_rows(self.name)
            rows = [RowImage(key, state.part_of(row), row.image, key in shown) for key, row in state.rows.items()]
            await journal.add_rows(self.name, [row for row in rows if row.part in changed])
        return sorted(changed | gone), bodies, shown

    async def read(self) -> None:
        """Record a version, if there is a table to be read."""
        state = self._state
        if not state.sound:
            return
        changed, bodies, shown = await self.lay_by()
        parts = Counter(state.part_of(row) for row in state.rows.values())
        hidden = Counter(state.part_of(row) for key, row in state.rows.items() if key not in shown)
        objects = [table_object(key, body, rows=parts[key], hidden=hidden[key]) for key, body in bodies.items()]
        version = table_version(self.name, *objects, at=self._world.now)
        state.read = bodies
        await self._world.journal.record_table(version, changed_parts=changed if state.compares else None)
        state.versions.append(bodies)
        self._complete = True


class World:
    """One dataset and everything around it.

    Args:
        directory: For the journal.
        seed: Of what the loop draws.
        tables: What is done, in each, about rows and images that do not fit: "off", "warn" or "hold".
        limits: The planner's policies.
    """

    def __init__(
        self, directory: Path, *, seed: int = 0, tables: Mapping[str, str] | None = None, **limits: object
    ) -> None:
        self.directory, self._seed = directory, seed
        self.tables = {name: TableState(name, closure) for name, closure in (tables or {}).items()}
        compared = any(state.compares for state in self.tables.values())
        self.policies: Policies = policies(checks_closure=compared, **limits)
        self.files: dict[str, bytes] = {}
        self.seen: dict[str, bytes] = {}
        self.to_recheck: set[str] = set()
        self.to_reread: set[str] = set()
        self.keep_rules, self.remove_tags = KeepRules(), False
        self.rereads = True  # what the gate wants read again is read before the next turn
        self.now = START
        self.set_by = timedelta(0)  # by how much of it the clock was set, rather than time passed
        self.repository = MemoryRepository()
        self.objects = MemoryObjectStore(self.repository, "staging")
        self.versions = MemoryVersionStore(self.repository)
        self.pins = MemoryPins(self.repository, "staging")

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.journal.__aexit__(*exc_info)

    async def crash(self) -> None:
        """End the process between two turns, and start another."""
        await self.journal.__aexit__(None, None, None)
        await self._start()

    async def crash_while(self, store: MemoryObjectStore | MemoryVersionStore, method: str) -> None:
        """End the process in a turn, while a call of this method is on its way; the call is not applied."""
        hold = store.hold_next(method)
        turning = asyncio.create_task(self.turn())
        reached = asyncio.create_task(hold.reached.wait())
        await asyncio.wait({turning, reached}, return_when=asyncio.FIRST_COMPLETED)
        turning.cancel()
        reached.cancel()
        await asyncio.gather(turning, reached, return_exceptions=True)
        hold.release.set()
        store._holds.clear()
        await self.crash()

    async def _start(self) -> None:
        self.journal = await Journal(self.directory).__aenter__()
        await self.journal.write(moments.not_after, self.now)
        excluding = [state.name for state in self.tables.values() if state.closure == "exclude"]
        await self.journal.write(closure.configure, excluding)
        self.folder = PretendedFolder(self)
        self.seen = {}  # the new process lists everything
        for directory in self.journal.known_directories("images/"):
            for name, _ in self.journal.known_in(directory):
                self.seen[directory + name] = b"?"
        self.sources = {name: PretendedTable(self, state) for name, state in self.tables.items()}
        self.engine = self._engine()
        self.daemon = Daemon(self.engine, rng=random.Random(self._seed))

    def _engine(self) -> Engine:
        wake, clock = asyncio.Event(), lambda: self.now
        sources = [self.folder, *self.sources.values()]
        rereads = Rereads(sources)
        gate = self._gate(rereads)
        branch = staging_branch(self.journal, self.versions, clock)
        return Engine(
            clock=clock,
            monotonic=self._monotonic_s,
            policies=self.policies,
            journal=self.journal,
            sources=sources,
            gate=gate,
            rereads=rereads,
            lakefs=None,
            lease=None,
            preparation=Preparation(
                journal=self.journal,
                versions=self.versions,
                repository="photos",
                storage_namespace="local://photos",
                staging_branch="staging",
                publish_branch="main",
                prefix="",
                clock=clock,
                branch=branch,
                recovery=recovery(self.journal, self.versions, self.policies.tag_template),
            ),
            uploader=Uploader(
                journal=self.journal,
                objects=self.objects,
                contents=SourceContents(sources, gate, self.journal, self.directory) if self.tables else self.folder,
                check_branch=branch.require_head,
                prefix="",
                concurrency=4,
                clock=clock,
            ),
            committer=Committer(
                journal=self.journal,
                versions=self.versions,
                pins=self.pins,
                branch=branch,
                staging_branch="staging",
                publish_branch="main",
                syncd_version="0",
                clock=clock,
            ),
            retention=Retention(
                journal=self.journal,
                versions=self.versions,
                pins=self.pins,
                rules=self.keep_rules,
                remove_tags=self.remove_tags,
                repository="photos",
                staging="staging",
                clock=clock,
            ),
            requests=SnapshotRequests(
                sources=sources, journal=self.journal, wake=wake, clock=clock, monotonic=self._monotonic_s
            ),
            schedule=None,
            pauses=Pauses(wake),
            wake=wake,
        )

    def _gate(self, rereads: Rereads) -> Gate:
        return Gate(
            journal=self.journal,
            tables=[
                ClosedTable(
                    name=state.name,
                    holds=state.closure == "hold",
                    excludes=state.closure == "exclude",
                    wait=WAIT,
                )
                for state in self.tables.values()
                if state.compares
            ],
            spool=Spool(self.directory / "closure"),
            clock=lambda: self.now,
            read_again=rereads.ask,
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

    async def read(self, name: str) -> None:
        """Record what a table holds now."""
        await self.sources[name].read()

    def pass_time(self, span: float) -> None:
        self.now += seconds(span)

    def _monotonic_s(self) -> float:
        return (self.now - self.set_by).timestamp()

    def set_clock(self, by: timedelta) -> None:
        """Let someone set the machine's clock, while no time passes."""
        self.now += by
        self.set_by += by

    async def turn(self) -> Plan | None:
        """Let the loop decide and act once; return what it decided, None if that failed."""
        while self.rereads and self.to_reread:
            await self.read(self.to_reread.pop())
        return await self.daemon._turn()

    async def rest(self, turns: int = 300) -> None:
        """Turn until nothing more comes of it; time passes only as far as the loop would sleep."""
        self.rereads = True
        in_vain = 0  # turns in a row for a moment that has come, while something else holds it back
        for _ in range(turns):
            plan = await self.turn()
            if plan is None or plan.actions:
                in_vain = 0
                continue
            if plan.wake_at is None or in_vain == MOST_IN_VAIN:
                return
            in_vain = 0 if plan.wake_at > self.now else in_vain + 1
            self.now = max(self.now + seconds(RESTLESS_S), plan.wake_at)
        raise AssertionError(f"it does not come to rest: {self.daemon.live.why}, {self.daemon.failure}")

    async def see_all(self) -> None:
        """Record what the folder and all tables hold now."""
        await self.look()
        for name in self.tables:
            await self.read(name)

    async def settle(self, turns: int = 60) -> None:
        """Let everything work, look, read, and turn until the loop has nothing to do, long after the last change."""
        self.rereads = True
        await self.see_all()
        for _ in range(turns):
            self.pass_time(4000)
            await self.turn()

    async def snapshot(self, *, allow_held: bool = False, turns: int = 60) -> SnapshotAnswer:
        """Call for a snapshot and turn until it is answered."""
        self.rereads = True
        asking = asyncio.create_task(self.engine.requests.snapshot(patience=timedelta(days=1), allow_held=allow_held))
        while not asking.done() and not self.engine.requests.facts():
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
        return await self.journal.read(lambda connection: list(history.finished(connection, limit=1000)))
