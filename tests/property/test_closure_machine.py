"""Random histories of images and rows, a failing lakeFS and a crashing daemon; no snapshot ever breaks its policy.

Journal, planner, gate, uploader and committer are the real ones. Every commit that is published is compared by brute
force, from its tree alone: with what the tables were when they were read, and rows with images.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import event
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncd.errors import TransientStoreError
from syncd.store.base import Commit
from tests.support.histories import HISTORIES
from tests.support.planning import seconds
from tests.support.world import Row, World, rows_of

IMAGES = [f"images/{name}.png" for name in ("a", "b", "sub/c", "sub/d")]
NAMED = [*IMAGES, *IMAGES, "images/never.png", "images/../a.png", None]
ROW_KEYS = ["1", "2", "10", "é", ""]
CONTENTS = [b"", b"1", b"22"]
OBJECT_CALLS = ["put", "delete", "head"]
VERSION_CALLS = ["ensure_repository", "ensure_branch", "uncommitted", "head_id", "commit", "merge", "create_tag", "log"]
POLICIES = [
    *[{"labels": "hold"}, {"labels": "warn"}, {"labels": "hold", "boxes": "hold"}],
    *[{"labels": "hold", "boxes": "warn"}, {"labels": "warn", "boxes": "off"}],
    *[{"labels": "exclude"}, {"labels": "exclude", "boxes": "exclude"}],
    *[{"labels": "exclude", "boxes": "warn"}, {"labels": "exclude", "boxes": "hold"}],
]
ORDINARY_TURNS = 12  # enough to stage, compare, stage what was found, compare, and publish

names = st.sampled_from(["labels", "boxes"])
sources = st.sampled_from(["images", "labels", "boxes"])
images = st.sampled_from(IMAGES)
row_keys = st.sampled_from(ROW_KEYS)


def unfit(tree: Mapping[str, bytes], name: str) -> tuple[dict[str, str | None], list[str]]:
    """Compare all of a tree: the rows without their image, and the images without a row."""
    rows, there = rows_of(tree, name), {key for key in tree if key.startswith("images/")}
    missing = {key: image for key, image in rows.items() if image not in there}
    return missing, sorted(there - set(rows.values()), key=str.encode)


def told_of(name: str, missing: Mapping[str, str | None], orphaned: list[str]) -> dict[str, object]:
    """What a published list must say of them."""
    keys = sorted(missing, key=str.encode)
    rows = [{"key": key, "image": missing[key]} for key in keys]
    return {
        "table": name,
        "missing": {"count": len(rows), "rows": rows, "more": False},
        "orphaned": {"count": len(orphaned), "images": orphaned, "more": False},
    }


class ClosedSyncMachine(RuleBasedStateMachine):
    """One dataset with tables."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="syncd-machine-"))
        self.world: World | None = None
        self.checked: set[str] = set()  # ids of commits

    def run(self, work):
        return self.runner.run(work)

    @initialize(
        seed=st.integers(0, 2**16),
        tables=st.sampled_from(POLICIES),
        limits=st.fixed_dictionaries(
            {
                "max_changes": st.sampled_from([None, 1, 3]),
                "max_wait": st.sampled_from([None, seconds(600)]),
                "batch_objects": st.sampled_from([1, 3, 100]),
            }
        ),
        sound=st.booleans(),
    )
    def start(self, seed: int, tables: dict[str, str], limits: dict[str, object], *, sound: bool) -> None:
        self.world = World(self.directory, seed=seed, tables=tables, **limits)
        self.world.tables["labels"].sound = sound  # else it cannot be read at first
        self.run(self.world.__aenter__())

    def teardown(self) -> None:
        try:
            if self.world is not None:
                self.run(self._comes_to_rest())
                self._check_commits()
                policies = "/".join(state.closure for state in self.world.tables.values())
                event(f"{policies}: {len(self.world.repository.tags)} snapshots")
        finally:
            if self.world is not None:
                self.run(self.world.__aexit__(None, None, None))
            self.runner.close()
            shutil.rmtree(self.directory)

    def _rows(self, name: str) -> dict[str, Row]:
        """The rows of a table, or of the one there is."""
        return self.world.tables[self._name(name)].rows

    def _name(self, name: str) -> str:
        return name if name in self.world.tables else "labels"

    # The world.

    @rule(key=images, content=st.sampled_from(CONTENTS))
    def an_image_comes_or_is_replaced(self, key: str, content: bytes) -> None:
        self.world.files[key] = content

    @rule(key=images)
    def an_image_goes(self, key: str) -> None:
        self.world.files.pop(key, None)

    @rule(name=names, key=row_keys, image=st.sampled_from(NAMED), part=st.integers(0, 2), label=st.sampled_from("xy"))
    def a_row_comes_or_names_another_image(self, name, key, image, part, label) -> None:
        self._rows(name)[key] = Row(image, part, label)

    @rule(name=names, key=row_keys)
    def a_row_goes(self, name: str, key: str) -> None:
        self._rows(name).pop(key, None)

    @rule(key=row_keys, image=images, part=st.integers(0, 2), content=st.sampled_from(CONTENTS))
    def an_image_comes_with_its_rows(self, key: str, image: str, part: int, content: bytes) -> None:
        self.world.files[image] = content
        for state in self.world.tables.values():
            state.rows[key] = Row(image, part)

    @rule(image=images)
    def an_image_goes_with_its_rows(self, image: str) -> None:
        self.world.files.pop(image, None)
        for state in self.world.tables.values():
            state.rows = {key: row for key, row in state.rows.items() if row.image != image}

    def _make_fit(self) -> None:
        for state in self.world.tables.values():
            state.rows = {key: row for key, row in state.rows.items() if row.image in self.world.files}
            for image in self.world.files.keys() - {row.image for row in state.rows.values()}:
                state.rows[f"for {image}"] = Row(image, len(image) % 3)

    # What is seen of it, and when.

    @rule(fit=st.booleans(), seen=st.sets(sources), turns=st.integers(1, 9), span=st.sampled_from([31.0, 0.0, 700.0]))
    def some_of_it_is_seen(self, fit: bool, seen: set[str], turns: int, span: float) -> None:
        if fit:
            self._make_fit()
        for name in sorted(seen):
            self.run(self.world.look() if name == "images" else self.world.read(self._name(name)))
        for _ in range(turns):
            self.world.pass_time(span)
            self.run(self.world.turn())

    @rule(fit=st.booleans())
    def all_of_it_is_seen(self, fit: bool) -> None:
        if fit:
            self._make_fit()
        self.run(self.world.settle(turns=ORDINARY_TURNS))

    @rule(image=images, part=st.integers(0, 2), content=st.sampled_from(CONTENTS))
    def all_fits_and_is_seen_while_more_comes(self, image: str, part: int, content: bytes) -> None:
        """Of what comes then, each half is seen in its time."""
        self.all_of_it_is_seen(fit=True)
        self.an_image_comes_with_its_rows(f"for {image}", image, part, content)

    @rule(name=names)
    def reading_is_cut_short(self, name: str) -> None:
        self.run(self.world.sources[self._name(name)].lay_by())

    @rule(name=names, sound=st.booleans())
    def a_table_can_be_read(self, name: str, sound: bool) -> None:
        self.world.tables[self._name(name)].sound = sound

    @rule(at_once=st.booleans())
    def what_no_longer_fits_is_read_again_at_once_or_later(self, at_once: bool) -> None:
        self.world.rereads = at_once

    @rule(turns=st.integers(1, 4), span=st.sampled_from([0.0, 31.0]))
    def turn(self, turns: int, span: float) -> None:
        for _ in range(turns):
            self.world.pass_time(span)
            self.run(self.world.turn())

    # What goes wrong.

    @rule(method=st.sampled_from(OBJECT_CALLS), applied=st.booleans(), times=st.integers(1, 5))
    def objects_will_fail(self, method: str, applied: bool, times: int) -> None:
        self.world.objects.fail_next(method, TransientStoreError("reset"), applied=applied, times=times)

    @rule(method=st.sampled_from(VERSION_CALLS), applied=st.booleans())
    def versions_will_fail(self, method: str, applied: bool) -> None:
        self.world.versions.fail_next(method, TransientStoreError("reset"), applied=applied)

    @rule(method=st.sampled_from(["put", "delete"]))
    def crash_in_a_batch(self, method: str) -> None:
        self.run(self.world.crash_while(self.world.objects, method))

    @rule(method=st.sampled_from(["commit", "merge", "create_tag"]))
    def crash_in_a_snapshot(self, method: str) -> None:
        self.world.pass_time(700)
        self.run(self.world.crash_while(self.world.versions, method))

    @rule()
    def crash(self) -> None:
        self.run(self.world.crash())

    # What must hold.

    @precondition(lambda self: all(state.sound for state in self.world.tables.values()))
    @rule()
    def snapshot(self) -> None:
        """P1, P3: a snapshot that was asked for holds all there is; it is refused only for what does not fit."""
        before = self._to_be_published()
        self._heal()
        answer = self.run(self.world.snapshot())
        if answer.snapshot is not None:
            assert self._published(answer.snapshot.tag) == before | self._lists(before)
        else:
            nothing_to_hold = "every image is gone" in answer.held
            assert nothing_to_hold or any(any(unfit(before, name)) for name in self._holding()), answer.held

    def _to_be_published(self) -> dict[str, bytes]:
        """What a commit would hold, without lists, were all seen and read now."""
        excluding = [state for state in self.world.tables.values() if state.closure == "exclude"]
        named = [{row.image for row in state.rows.values()} for state in excluding]
        images = {key: body for key, body in self.world.files.items() if all(key in each for each in named)}
        tables = [state.bodies(images) for state in self.world.tables.values()]
        return images | {key: body for bodies in tables for key, body in bodies.items()}

    def _lists(self, tree: Mapping[str, bytes]) -> dict[str, bytes]:
        """The lists that belong to a tree."""
        found = {name: unfit(tree, name) for name, state in self.world.tables.items() if state.closure == "warn"}
        told = {name: told_of(name, *both) for name, both in found.items() if any(both)}
        return {
            f"tables/{name}/_closure.json": (json.dumps(one, ensure_ascii=False, indent=1) + "\n").encode()
            for name, one in told.items()
        }

    def _published(self, reference: str) -> dict[str, bytes]:
        """What a reference holds, without what is said there of rows and images that it leaves out.

        No snapshot is made for those alone, so a list is as new as the snapshot that holds it.
        """
        excluding = [state.name for state in self.world.tables.values() if state.closure == "exclude"]
        lists = {f"tables/{name}/_closure.json" for name in excluding}
        return {key: body for key, body in self.world.tree(reference).items() if key not in lists}

    def _holding(self) -> list[str]:
        return [name for name, state in self.world.tables.items() if state.closure == "hold"]

    def _heal(self) -> None:
        self.world.objects._faults.clear()
        self.world.versions._faults.clear()

    async def _comes_to_rest(self) -> None:
        """P4: however it rests, once rows and images fit all there is gets published with no human."""
        self._heal()
        self.world.files["images/last.png"] = b"last"
        await self.world.see_all()
        await self.world.rest()
        self._check_commits()
        if all(state.sound and state.closure != "hold" for state in self.world.tables.values()):
            there_is = self._to_be_published()
            assert self._published("main") == there_is | self._lists(there_is)
        for state in self.world.tables.values():
            state.sound = True
        self._make_fit()
        await self.world.see_all()
        await self.world.rest()
        assert self.world.daemon.failure is None, self.world.daemon.failure
        assert self.world.daemon.live.hold == ""
        assert self._published("main") == self._published("staging") == self._to_be_published()
        newest = (await self.world.history())[0]
        assert self._published(newest.tag) == self._to_be_published()

    @invariant()
    def every_commit_is_as_the_policies_say(self) -> None:
        if self.world is not None and self.world.repository.exists:
            self._check_commits()

    def _check_commits(self) -> None:
        repository = self.world.repository
        for branch in {"main", "staging"} & repository.branches.keys():
            for commit in repository.log(branch):
                if commit.id not in self.checked and commit.parents:
                    self._check(commit)
                self.checked.add(commit.id)

    def _check(self, commit: Commit) -> None:
        tree = self.world.tree(commit.id)
        for name, state in self.world.tables.items():
            objects = {key: body for key, body in tree.items() if key.startswith(f"tables/{name}/")}
            told = objects.pop(f"tables/{name}/_closure.json", None)
            assert not objects or objects in state.versions, f"P2: {name} was never read so"
            missing, orphaned = unfit(tree, name)
            counted = [commit.metadata.get(f"syncd.{kind}.{name}") for kind in ("missing", "orphaned")]
            if state.closure in ("hold", "exclude"):
                assert not missing, f"P3: {name} has rows without image: {missing}"
                assert not orphaned, f"P3: {name} lacks rows for {orphaned}"
            if state.closure == "exclude":
                told_counts = json.loads(told) if told else {"missing": {"count": 0}, "orphaned": {"count": 0}}
                assert counted == [str(told_counts[kind]["count"]) for kind in ("missing", "orphaned")]
            elif state.closure != "warn" or not objects:  # before a table is first read there is nothing to compare
                assert told is None
            else:
                assert counted == [str(len(missing)), str(len(orphaned))]
                assert (told is not None) == bool(missing or orphaned)
                assert told is None or json.loads(told) == told_of(name, missing, orphaned)


ClosedSyncMachine.TestCase.settings = HISTORIES
TestClosedSyncMachine = ClosedSyncMachine.TestCase


async def test_a_list_is_withdrawn_although_its_table_cannot_be_read_just_then(tmp_path: Path) -> None:
    """P5 is about what a source does not show; the list is syncd's own. Else nothing at all could be published."""
    async with World(tmp_path, tables={"labels": "warn"}) as world:
        world.tables["labels"].rows["1"] = Row("images/a.png")
        await world.settle()
        assert "tables/labels/_closure.json" in world.tree("main")
        world.tables["labels"].sound = False
        world.files["images/a.png"] = b"a"
        await world.settle()
        assert world.tree("main") == world.files | world.tables["labels"].read


async def test_a_call_gets_what_came_to_fit_just_before_it(tmp_path: Path) -> None:
    """P1: it is not refused for what a comparison found before it, however long a person has been told of that."""
    async with World(tmp_path, tables={"labels": "hold"}) as world:
        world.tables["labels"].rows["1"] = Row("images/a.png")
        world.files["images/b.png"] = b"b"
        await world.settle()
        assert "1 image has no row" in world.daemon.live.hold
        refused = await world.snapshot()
        assert "1 row names an image that is not there and 1 image has no row" in refused.held
        world.files = {"images/a.png": b"a"}
        answer = await world.snapshot()
        assert answer.held == ""
        assert world.tree(answer.snapshot.tag) == world.files | world.tables["labels"].bodies()


async def test_what_does_not_fit_is_still_refused_while_more_keeps_coming(tmp_path: Path) -> None:
    """A steady stream of other changes does not put the answer off to the end of the call's patience."""
    async with World(tmp_path, tables={"labels": "hold"}, batch_objects=1) as world:
        world.tables["labels"].rows["1"] = Row("images/a.png")
        await world.settle()
        asking = asyncio.create_task(world.engine.requests.snapshot(patience=timedelta(days=1), allow_held=False))
        while not asking.done() and not world.engine.requests.facts():
            await asyncio.sleep(0)
        for number in range(40):
            world.files[f"images/{number}.png"] = b"more"
            await world.look()
            await world.turn()
            world.pass_time(10)
        assert asking.done()
        assert "1 row names an image that is not there" in (await asking).held


async def test_it_goes_on_by_itself_once_the_missing_half_came(tmp_path: Path) -> None:
    """P4: no longer than the quiet time after it was staged; a person was told by then."""
    async with World(tmp_path, tables={"labels": "hold"}, max_changes=None, max_wait=None) as world:
        world.files["images/a.png"] = b"a"
        await world.see_all()
        await world.rest()
        assert "1 image has no row" in world.daemon.live.hold
        world.tables["labels"].rows["1"] = Row("images/a.png")
        await world.see_all()
        began = world.now
        await world.rest()
        assert world.tree("main") == world.files | world.tables["labels"].bodies()
        assert world.daemon.live.hold == ""
        assert world.now - began == world.policies.quiet


@pytest.mark.parametrize("half", ["row", "image", "both"])
async def test_under_exclude_a_row_and_its_image_go_and_come_back_in_one_snapshot(tmp_path: Path, half: str) -> None:
    """P3: in batches of one, each of them due to be published; no commit holds one half of the pair."""
    async with World(tmp_path, tables={"labels": "exclude"}, batch_objects=1, max_changes=1) as world:
        rows = world.tables["labels"].rows
        rows |= {"1": Row("images/a.png"), "2": Row("images/b.png", part=1)}
        world.files |= {"images/a.png": b"a", "images/b.png": b"b"}
        await world.settle()
        whole = world.tree("main")
        assert {"images/a.png", "images/b.png"} < whole.keys()
        if half != "image":
            del rows["2"]
        if half != "row":
            del world.files["images/b.png"]
        await world.settle()
        assert "images/b.png" not in world.tree("main")
        assert rows_of(world.tree("main"), "labels") == {"1": "images/a.png"}
        rows["2"], world.files["images/b.png"] = Row("images/b.png", part=1), b"b"
        await world.settle()
        assert world.tree("main") == whole
        for commit in world.repository.log("main"):
            assert unfit(world.tree(commit.id), "labels") == ({}, [])


async def test_under_exclude_images_that_keep_coming_do_not_put_a_snapshot_off(tmp_path: Path) -> None:
    """P8: the images stay as they are while the table is read again to fit them."""
    async with World(tmp_path, tables={"labels": "exclude"}, batch_objects=1, max_changes=5) as world:
        for number in range(60):
            for image in (f"images/{number}-{one}.png" for one in range(5)):
                world.files[image] = b"more"
                world.tables["labels"].rows[image] = Row(image)
            await (world.look() if number else world.see_all())
            for _ in range(6):
                await world.turn()
                world.pass_time(1)
        assert len(await world.history()) > 3
        assert len((await world.journal.due(world.now, 100))[0]) > 50, "images did not keep coming"


async def test_under_exclude_a_table_that_cannot_be_read_again_keeps_images_from_being_staged_for_a_while_only(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, tables={"labels": "exclude"}) as world:
        world.tables["labels"].rows |= {str(number): Row(f"images/{number}.png") for number in range(3)}
        world.files["images/0.png"] = b"0"
        world.rereads = False
        await world.see_all()
        for _ in range(4):
            world.pass_time(31)
            await world.turn()
        world.files["images/1.png"] = b"1"
        await world.look()
        await world.turn()  # what was staged since the last comparison is compared for it; it prolongs nothing
        assert not (await world.turn()).actions
        assert "images/1.png" not in world.tree("staging")
        world.pass_time(61)
        await world.turn()
        assert "images/1.png" in world.tree("staging")
        assert not await world.history()
        await world.settle()
        assert rows_of(world.tree("main"), "labels").keys() == {"0", "1"}
