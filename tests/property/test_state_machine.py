"""Random histories of a folder, a failing lakeFS and a crashing daemon; the promises hold throughout.

Source, journal, planner, uploader and committer are the real ones, lakeFS is the in-memory one that passes the same
suite as the server. Every step that talks to it may fail before or after it was applied.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncd.errors import TransientStoreError
from syncd.fingerprint import SetDigest
from syncd.planner.retention import KeepRules, judge
from syncd.retention.checking import check, history
from syncd.service.requests import SnapshotAnswer
from syncd.store.base import INTENT_METADATA
from syncd.store.pins import Keeper, prefix_of
from tests.support.histories import HISTORIES
from tests.support.observing import fingerprint
from tests.support.world import World

KEYS = [f"images/{name}.png" for name in ("a", "b", "sub/c", "sub/d")] + ["tables/labels.csv"]
CONTENTS = [b"", b"1", b"22", b"333"]
OBJECT_CALLS = ["put", "delete", "head"]
PIN_CALLS = ["pin", "unpin", "pins", "uses"]
KEPT = [KeepRules(), KeepRules(last=1), KeepRules(last=3), KeepRules(daily=1, monthly=1)]
VERSION_CALLS = ["ensure_repository", "ensure_branch", "uncommitted", "head_id", "commit", "merge", "create_tag", "log"]


class SyncMachine(RuleBasedStateMachine):
    """One dataset; ``lived`` is every content each key has ever had."""

    MOST_ON_STAGING = 1  # commits of one intent

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="syncd-machine-"))
        self.world: World | None = None
        self.lived: dict[str, set[bytes | None]] = {key: {None} for key in KEYS}
        self.tags: dict[str, str] = {}
        self.trees: dict[str, dict[str, bytes]] = {}

    def run(self, work):
        return self.runner.run(work)

    @initialize(seed=st.integers(0, 2**16), max_changes=st.sampled_from([None, 1, 3]), kept=st.sampled_from(KEPT))
    def start(self, seed: int, max_changes: int | None, kept: KeepRules) -> None:
        self.world = World(self.directory, seed=seed, max_changes=max_changes, batch_objects=3, batch_bytes=4)
        self.world.keep_rules = kept
        self.run(self.world.__aenter__())

    def teardown(self) -> None:
        if self.world is not None:
            self.run(self._converges())
            self.run(self.world.__aexit__(None, None, None))
        self.runner.close()
        shutil.rmtree(self.directory)

    @rule(key=st.sampled_from(KEYS), content=st.sampled_from(CONTENTS))
    def write(self, key: str, content: bytes) -> None:
        self.world.files[key] = content
        self.lived[key].add(content)

    @rule(key=st.sampled_from(KEYS[:-1]))
    def delete(self, key: str) -> None:
        self.world.files.pop(key, None)

    @rule(old=st.sampled_from(KEYS[:-1]), new=st.sampled_from(KEYS[:-1]))
    def rename(self, old: str, new: str) -> None:
        if old in self.world.files:
            content = self.world.files.pop(old)
            self.world.files[new] = content
            self.lived[new].add(content)

    @rule()
    def look(self) -> None:
        self.run(self.world.look())

    @rule(turns=st.integers(1, 4))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.run(self.world.turn())

    @rule(span=st.sampled_from([1.0, 31.0, 700.0]))
    def pass_time(self, span: float) -> None:
        self.world.pass_time(span)

    @rule(minutes=st.sampled_from([-60 * 24 * 365, -60, -2, 2, 60, 60 * 24 * 365]))
    def the_clock_is_set(self, minutes: int) -> None:
        self.world.set_clock(timedelta(minutes=minutes))

    @rule(complete=st.booleans())
    def source_is_sound(self, complete: bool) -> None:
        self.world.folder.complete = complete

    @rule(method=st.sampled_from(OBJECT_CALLS), applied=st.booleans(), times=st.integers(1, 20))
    def objects_will_fail(self, method: str, applied: bool, times: int) -> None:
        self.world.objects.fail_next(method, TransientStoreError("reset"), applied=applied, times=times)

    @rule(method=st.sampled_from(VERSION_CALLS), applied=st.booleans())
    def versions_will_fail(self, method: str, applied: bool) -> None:
        self.world.versions.fail_next(method, TransientStoreError("reset"), applied=applied)

    @rule(method=st.sampled_from(PIN_CALLS), applied=st.booleans())
    def pins_will_fail(self, method: str, applied: bool) -> None:
        self.world.pins.fail_next(method, TransientStoreError("reset"), applied=applied)

    @precondition(lambda self: self.world is not None and self.world.daemon._prepared)
    @rule()
    def apply_retention(self) -> None:
        self.run(self.world.engine.retention.attempt())

    @rule(method=st.sampled_from(["put", "delete"]))
    def crash_in_a_batch(self, method: str) -> None:
        """Kill the process while a request is on its way; whether it is applied, the hold decides."""
        self.run(self.world.crash_while(self.world.objects, method))

    @rule(method=st.sampled_from(["commit", "merge", "create_tag"]))
    def crash_in_a_snapshot(self, method: str) -> None:
        self.world.pass_time(700)
        self.run(self.world.crash_while(self.world.versions, method))

    @rule()
    def crash_before_the_pin(self) -> None:
        self.world.pass_time(700)
        self.run(self.world.crash_while(self.world.pins, "pin"))

    @rule()
    def crash(self) -> None:
        self.run(self.world.crash())

    @precondition(lambda self: self.world.folder.complete)
    @rule()
    def snapshot(self) -> None:
        """P1: a snapshot that was asked for holds what the folder held, exactly."""
        before = dict(self.world.files)
        self.run(self._heal())
        answer = self.run(self._ask())
        if answer.held:
            assert not any(key.startswith("images/") for key in before)
        elif answer.snapshot is not None:
            assert self._own(answer.snapshot.tag) == before
        else:
            assert not before

    async def _ask(self) -> SnapshotAnswer:
        return await self.world.snapshot()

    async def _heal(self) -> None:
        self.world.objects._faults.clear()
        self.world.versions._faults.clear()
        self.world.pins._faults.clear()

    def _own(self, reference: str) -> dict[str, bytes]:
        """What a reference holds of ours, which is all where nobody else writes."""
        return self.world.tree(reference)

    async def _converges(self) -> None:
        """P4: once everything works again, the branches hold what the folder holds, with no human."""
        await self._heal()
        self.world.folder.complete = True
        self.world.files["images/last.png"] = b"last"
        await self.world.settle(turns=120)
        assert self.world.daemon.failure is None, self.world.daemon.failure
        assert self._own("staging") == self.world.files
        assert self._own("main") == self.world.files
        await self._the_digest_fits()
        await self._what_is_kept_is_what_is_pinned()

    async def _what_is_kept_is_what_is_pinned(self) -> None:
        """P6: and nothing else is."""
        await self.world.engine.retention.apply()
        faults = await check(
            lambda: self.world.journal.read(history),
            versions=self.world.versions,
            pins=self.world.pins,
            repository="photos",
            staging="staging",
        )
        assert not faults
        assert (await self.world.history())[0].removed_at is None

    async def _the_digest_fits(self) -> None:
        digest = SetDigest()
        for key, content in self.world.files.items():
            digest.add(key, fingerprint(content).sha256)
        newest = (await self.world.history())[0]
        images = [key for key in self.world.files if key.startswith("images/")]
        assert newest.digest == digest.hexdigest()
        assert newest.images == len(images)
        assert newest.size_bytes == sum(map(len, self.world.files.values()))

    @invariant()
    def tags_never_move(self) -> None:
        """P6."""
        if self.world is None:
            return
        for tag, commit_id in self.tags.items():
            assert self.world.repository.tags[tag] == commit_id
            assert self.world.tree(tag) == self.trees[tag]
        for tag, commit_id in self.world.repository.tags.items():
            if tag not in self.tags:
                self.tags[tag], self.trees[tag] = commit_id, self.world.tree(tag)
                self._is_whole(tag)

    @invariant()
    def what_is_kept_is_pinned(self) -> None:
        """P6. What the rules do not keep may be on its way out."""
        if self.world is not None:
            assert self.run(self._not_pinned()) == []

    async def _not_pinned(self) -> list[str]:
        standing = [one for one in reversed(await self.world.history()) if one.removed_at is None]
        return [
            one.snapshot.tag
            for one in judge(standing, self.world.keep_rules)
            if one.keep
            and prefix_of(Keeper.RETENTION, "staging") + one.snapshot.commit_id not in self.world.repository.branches
        ]

    def _is_whole(self, tag: str) -> None:
        """P2: every object is one that the source once held there, whole."""
        for key, content in self.trees[tag].items():
            assert content in self.lived[key]

    @invariant()
    def no_intent_is_committed_twice(self) -> None:
        """P4."""
        if self.world is None or not self.world.repository.exists:
            return
        for branch, most in (("staging", self.MOST_ON_STAGING), ("main", 2)):
            if branch in self.world.repository.branches:
                intents = [commit.metadata.get(INTENT_METADATA) for commit in self.world.repository.log(branch)]
                assert all(intents.count(intent) <= most for intent in intents if intent)


SyncMachine.TestCase.settings = HISTORIES
TestSyncMachine = SyncMachine.TestCase
