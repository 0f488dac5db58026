"""The committer: one commit for one intent, one tag that never moves, and every step can be resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.committer import Committer
from syncd.errors import ConflictStoreError, NeedsPersonStoreError, TransientStoreError
from syncd.fingerprint import SetDigest
from syncd.journal import Journal, adoption, branch
from syncd.model import Trigger
from syncd.ownership.preparation import Preparation
from syncd.ownership.staging_branch import BranchChangedError
from syncd.planner.facts import Stage
from syncd.store.base import INTENT_METADATA, TAG_METADATA
from syncd.store.memory import MemoryObjectStore, MemoryRepository, MemoryVersionStore
from syncd.store.memory_pins import MemoryPins
from syncd.store.pins import Keeper
from syncd.uploader import Uploader
from tests.support.branches import recovery, staging_branch
from tests.support.observing import START, absent, fingerprint, present
from tests.support.table_versions import csv_version
from tests.unit.test_uploader import Files

LATER = START + timedelta(seconds=100)


class Desk:
    """A committer over a real journal and the in-memory store; ``stage`` puts files on both."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.repository = journal, MemoryRepository()
        self.objects = MemoryObjectStore(self.repository, "staging")
        self.versions = MemoryVersionStore(self.repository)
        self.pins = MemoryPins(self.repository, "staging")
        self.branch = staging_branch(journal, self.versions, lambda: LATER)
        self.committer = self.restarted()

    def restarted(self) -> Committer:
        """A new process over the same journal."""
        return Committer(
            journal=self.journal,
            versions=self.versions,
            pins=self.pins,
            branch=self.branch,
            staging_branch="staging",
            publish_branch="main",
            syncd_version="0.0",
            clock=lambda: LATER,
        )

    async def prepare(self) -> None:
        await Preparation(
            journal=self.journal,
            versions=self.versions,
            repository="photos",
            storage_namespace="local://photos",
            staging_branch="staging",
            publish_branch="main",
            prefix="",
            clock=lambda: LATER,
            branch=self.branch,
            recovery=recovery(self.journal, self.versions),
        ).prepare()

    async def remove(self, key: str) -> None:
        await self.journal.record([absent(key)])
        await self.stage()

    async def stage(self, **contents: bytes) -> None:
        files = Files()
        files.content = {name if "/" in name else f"images/{name}.png": content for name, content in contents.items()}
        await self.journal.record([present(key, content) for key, content in files.content.items()])
        uploader = Uploader(
            journal=self.journal,
            objects=self.objects,
            contents=files,
            check_branch=self.branch.require_head,
            prefix="",
            concurrency=4,
            clock=lambda: LATER,
        )
        puts, deletes = await self.journal.due(LATER, 1000)
        await uploader.stage(Stage(puts=puts, deletes=deletes, reason="test"))

    async def publish(self, tag: str = "snap-1"):
        return await self.committer.publish(Trigger.QUIET, tag)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Journal(tmp_path) as journal:
        desk = Desk(journal)
        await desk.prepare()
        yield desk


async def test_a_snapshot_is_committed_merged_and_tagged(desk):
    await desk.stage(a=b"a", b=b"bb")
    snapshot = await desk.publish()
    tree = desk.repository.tree(snapshot.commit_id)
    assert {key: stored.content for key, stored in tree.items()} == {"images/a.png": b"a", "images/b.png": b"bb"}
    assert desk.repository.tags == {"snap-1": snapshot.commit_id}
    assert desk.repository.head("main").id == snapshot.commit_id
    assert (snapshot.added, snapshot.images, snapshot.size_bytes) == (2, 2, 3)
    assert snapshot.uri == "lakefs://photos/snap-1/"


async def test_the_commit_says_what_it_holds(desk):
    await desk.journal.record_table(csv_version("labels", b"id", rows=7), changed_parts=None)
    await desk.stage(a=b"a", **{"tables/labels.csv": b"id"})
    snapshot = await desk.publish()
    metadata = desk.repository.head("main").metadata
    digest = SetDigest()
    digest.add("images/a.png", fingerprint(b"a").sha256)
    digest.add("tables/labels.csv", fingerprint(b"id").sha256)
    assert metadata["syncd.digest"] == digest.hexdigest() == snapshot.digest
    assert metadata["syncd.trigger"] == "quiet"
    assert (metadata["syncd.added"], metadata["syncd.images"], metadata["syncd.bytes"]) == ("2", "1", "3")
    assert metadata["syncd.rows.labels"] == "7"
    assert metadata["syncd.observed_at"] == START.isoformat()
    assert len(metadata[INTENT_METADATA]) == 32
    assert desk.repository.head("staging").metadata == metadata


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("step", ["commit", "merge", "create_tag"])
async def test_a_lost_step_is_done_once_whether_it_was_applied_or_not(desk, step, applied):
    """P4, P6: after a lost reply the branch is asked; there is one commit, one merge, one tag."""
    await desk.stage(a=b"a")
    desk.versions.fail_next(step, TransientStoreError("no answer"), applied=applied)
    with pytest.raises(TransientStoreError):
        await desk.publish()

    snapshot = await desk.restarted().resume()

    log = [commit async for commit in desk.versions.log("main")]
    assert sum(INTENT_METADATA in commit.metadata for commit in log) == 2  # the commit, and the merge that carries it
    assert desk.repository.tags == {"snap-1": snapshot.commit_id}
    assert await desk.journal.open_snapshot() is None


@pytest.mark.parametrize("applied", [False, True])
async def test_a_crash_between_tag_and_pin_leaves_no_snapshot_unpinned(desk, applied):
    """P4, P6: it is recorded as done only when lakeFS keeps its objects; the tag is the same one."""
    await desk.stage(a=b"a")
    desk.pins.fail_next("pin", TransientStoreError("killed"), applied=applied)
    with pytest.raises(TransientStoreError):
        await desk.publish()
    assert (await desk.journal.open_snapshot()).step == "merged"

    snapshot = await desk.restarted().resume()

    assert desk.repository.tags == {"snap-1": snapshot.commit_id}
    assert [pin.head async for pin in desk.pins.pins(Keeper.RETENTION)] == [snapshot.commit_id]


async def test_each_snapshot_is_pinned_at_what_its_tag_is_put_on(desk):
    made = []
    for name in ("a", "b"):
        await desk.stage(**{name: b"x"})
        made.append((await desk.publish(f"snap-{name}")).commit_id)
    assert [pin.commit_id async for pin in desk.pins.pins(Keeper.RETENTION)] == sorted(made)


async def test_a_crash_between_commit_and_its_record_makes_no_second_commit(desk):
    """P4: the commit went through and the journal does not know."""
    await desk.stage(a=b"a")
    desk.versions.fail_next("commit", TransientStoreError("killed"), applied=True)
    with pytest.raises(TransientStoreError):
        await desk.publish()
    await desk.restarted().resume()
    assert desk.versions.calls["commit"] == 1


async def test_what_turns_out_to_be_committed_already_is_no_commit_and_the_next_change_is_one_as_ever(desk):
    """P7: lakeFS is not asked for a commit of nothing, each of which would make its branch slower to read.

    What the branch held was not known, as where another tool wrote it, and was sent anew; it was the very same.
    """
    await desk.stage(a=b"a")
    first = await desk.publish()
    await desk.journal.write(adoption.adopt_committed, [("images/a.png", None, 1)], LATER)
    await desk.stage(a=b"a")
    assert (await desk.journal.standing(count_up_to=9)).uncommitted == 1
    assert await desk.publish("snap-2") is None
    assert desk.versions.calls["commit"] == 1
    assert await desk.journal.open_snapshot() is None
    assert (await desk.journal.standing(count_up_to=9)).uncommitted == 0
    assert desk.repository.tags == {"snap-1": first.commit_id}

    await desk.stage(b=b"b")
    snapshot = await desk.publish("snap-2")
    assert (snapshot.tag, snapshot.added, snapshot.changed, snapshot.images) == ("snap-2", 1, 0, 2)
    assert desk.repository.tree("snap-2").keys() == {"images/a.png", "images/b.png"}
    assert desk.versions.calls["commit"] == 2


async def test_what_was_acknowledged_and_is_gone_is_no_commit_and_is_staged_anew(desk):
    """P1: someone reset the branch between the upload and the snapshot."""
    await desk.stage(a=b"a")
    desk.repository.branches["staging"].staged.clear()
    with pytest.raises(TransientStoreError, match="1 changes that lakeFS acknowledged are not on the branch"):
        await desk.publish()
    assert desk.versions.calls["commit"] == 0
    assert await desk.journal.open_snapshot() is None

    await desk.stage(a=b"a", b=b"b")
    snapshot = await desk.publish()
    assert (snapshot.tag, snapshot.added, snapshot.images) == ("snap-1", 2, 2)
    assert desk.repository.tree("snap-1").keys() == {"images/a.png", "images/b.png"}
    assert desk.versions.calls["commit"] == 1


async def test_what_replaced_anothers_object_and_is_reset_is_staged_anew(desk):
    """P1: what the branch held before says no digest; reset, the key holds that again and not what was acknowledged."""
    await desk.stage(a=b"a", b=b"b")
    await desk.publish()
    await desk.journal.write(adoption.adopt_committed, [("images/a.png", None, 1), ("images/b.png", None, 1)], LATER)
    await desk.stage(a=b"new", b=b"b", c=b"c")
    del desk.repository.branches["staging"].staged["images/a.png"]
    with pytest.raises(TransientStoreError, match="1 changes that lakeFS acknowledged are not on the branch"):
        await desk.publish("snap-2")
    assert desk.versions.calls["commit"] == 1

    await desk.stage(a=b"new", b=b"b", c=b"c")
    snapshot = await desk.publish("snap-2")
    tree = desk.repository.tree(snapshot.commit_id)
    assert {key: stored.content for key, stored in tree.items()} == {
        "images/a.png": b"new",
        "images/b.png": b"b",
        "images/c.png": b"c",
    }


async def test_the_deletion_of_anothers_object_that_is_reset_is_staged_anew(desk):
    """P1: the same where the acknowledged change is a deletion."""
    await desk.stage(a=b"a", b=b"b")
    await desk.publish()
    await desk.journal.write(adoption.adopt_committed, [("images/a.png", None, 1)], LATER)
    await desk.remove("images/a.png")
    desk.repository.branches["staging"].staged.clear()
    with pytest.raises(TransientStoreError, match="1 changes that lakeFS acknowledged are not on the branch"):
        await desk.publish("snap-2")
    await desk.stage()
    snapshot = await desk.publish("snap-2")
    assert desk.repository.tree(snapshot.commit_id).keys() == {"images/b.png"}


async def test_what_is_reset_just_before_the_commit_is_not_taken_for_committed(desk):
    """P1: lakeFS finds nothing to commit, though a moment ago there was something."""
    await desk.stage(a=b"a")
    held = desk.versions.hold_next("commit")
    publishing = asyncio.create_task(desk.publish())
    await held.reached.wait()
    desk.repository.branches["staging"].staged.clear()
    held.release.set()
    with pytest.raises(TransientStoreError, match="not on the branch"):
        await publishing
    await desk.stage(a=b"a")
    snapshot = await desk.publish("snap-2")
    assert desk.repository.tree(snapshot.tag).keys() == {"images/a.png"}


async def test_what_someone_else_committed_is_published_once_a_person_has_agreed(desk):
    """P9, P1: nothing is committed on top of it, merged or tagged before; then it is what the snapshot holds."""
    await desk.stage(a=b"a")
    await desk.versions.commit("staging", "someone else", {})
    with pytest.raises(BranchChangedError, match="someone else"):
        await desk.publish()
    with pytest.raises(BranchChangedError):
        await desk.prepare()
    assert desk.versions.calls["commit"] == 1
    assert desk.repository.tags == {}
    assert await desk.journal.write(branch.agree, await desk.journal.read(branch.held))
    await desk.prepare()
    snapshot = await desk.committer.resume()
    assert (snapshot.tag, snapshot.images) == ("found-1", 1)
    assert {"images/a.png"} == desk.repository.tree("found-1").keys()
    assert desk.repository.head("main").metadata[TAG_METADATA] == "found-1", "known for syncd's own from now on"
    assert (await desk.journal.standing(count_up_to=9)).uncommitted == 0


async def test_what_someone_commits_before_the_merge_is_not_published_with_it(desk):
    """P9: the snapshot is the commit that was checked, and not whatever the branch has become."""
    await desk.stage(a=b"a")
    desk.versions.fail_next("merge", TransientStoreError("reset"))
    with pytest.raises(TransientStoreError):
        await desk.publish()
    theirs = desk.repository.tree("staging")["images/a.png"]
    desk.repository.stage("staging", "notes/theirs.txt", theirs)
    desk.repository.commit("staging", "theirs", {})
    snapshot = await desk.committer.resume()
    assert desk.repository.tree(snapshot.tag).keys() == {"images/a.png"}
    with pytest.raises(BranchChangedError, match="theirs"):
        await desk.prepare()


async def test_a_taken_name_is_left_alone_and_another_is_used(desk):
    """P6: a tag never moves."""
    before = desk.repository.head("main").id
    await desk.versions.create_tag("snap-1", before)
    await desk.stage(a=b"a")
    snapshot = await desk.publish()
    assert snapshot.tag == "snap-1-2"
    assert desk.repository.tags == {"snap-1": before, "snap-1-2": snapshot.commit_id}


async def test_a_template_that_always_gives_one_name_ends_with_a_clear_error(desk):
    await desk.stage(a=b"a")
    desk.versions.fail_next("create_tag", ConflictStoreError("taken"), times=1000)
    with pytest.raises(NeedsPersonStoreError, match=r"snapshot\.tag"):
        await desk.publish()


async def test_a_merge_done_by_hand_is_taken_as_it_is(desk):
    """P9: someone merged the staging branch already: that commit is the snapshot."""
    await desk.stage(a=b"a")
    desk.versions.fail_next("merge", TransientStoreError("later"))
    with pytest.raises(TransientStoreError):
        await desk.publish()
    by_hand = await desk.versions.merge("staging", "main", "by hand", {})
    snapshot = await desk.restarted().resume()
    assert snapshot.commit_id == by_hand.id


async def test_a_conflict_names_both_branches_and_the_ways_out(desk):
    await desk.stage(a=b"a")
    desk.versions.fail_next("merge", ConflictStoreError("conflict at images/a.png"))
    with pytest.raises(NeedsPersonStoreError, match=r"staging.*main.*images/a.png") as raised:
        await desk.publish()
    assert "revert" in raised.value.next_step


async def test_a_foreign_commit_on_the_publish_branch_is_no_obstacle(desk):
    foreign = MemoryObjectStore(desk.repository, "main")
    await foreign.put("README", b"hello", fingerprint(b"hello"), "text/plain")
    await desk.versions.commit("main", "someone else", {})
    await desk.stage(a=b"a")
    snapshot = await desk.publish()
    assert set(desk.repository.tree(snapshot.commit_id)) == {"README", "images/a.png"}


async def test_an_old_branch_is_adopted_by_a_new_state_directory(desk, tmp_path):
    """What is there is known, and is not sent again; what half was there is."""
    await desk.stage(a=b"a", b=b"b")
    await desk.publish()
    await desk.stage(c=b"c")  # staged, not committed
    fresh_dir = tmp_path / "fresh"
    fresh_dir.mkdir()
    async with Journal(fresh_dir) as journal:
        fresh = Desk(journal)
        fresh.repository, fresh.objects, fresh.versions = desk.repository, desk.objects, desk.versions
        fresh.pins = desk.pins
        fresh.branch = staging_branch(journal, fresh.versions, lambda: LATER)
        fresh.committer = fresh.restarted()
        await fresh.prepare()
        puts_before = desk.objects.calls["put"]
        assert (await journal.latest_snapshot()) == (await desk.journal.latest_snapshot())
        await fresh.stage(a=b"a", b=b"b", c=b"c")
        assert desk.objects.calls["put"] == puts_before + 1  # c alone
        snapshot = await fresh.publish("snap-2")
        assert (snapshot.added, snapshot.images) == (1, 3)


async def test_a_publish_branch_that_is_missing_begins_at_the_default_branch(tmp_path):
    async with Journal(tmp_path) as journal:
        desk = Desk(journal)
        desk.repository.create("local://photos", "kept")
        await desk.prepare()
        assert desk.repository.head("main").id == desk.repository.head("kept").id


async def test_a_publish_branch_that_was_deleted_is_made_again_from_the_newest_snapshot_once_a_person_agrees(desk):
    """P9: never in silence. P6: its history goes on."""
    await desk.stage(a=b"a")
    snapshot = await desk.publish()
    desk.repository.create_branch("kept", snapshot.commit_id)
    desk.repository.default_branch = "kept"
    desk.repository.delete_branch("main")
    with pytest.raises(BranchChangedError, match="main is gone"):
        await desk.prepare()
    assert "main" not in desk.repository.branches
    await desk.journal.write(branch.agree, await desk.journal.read(branch.held))
    await desk.prepare()
    assert desk.repository.head("main").id == snapshot.commit_id


async def test_preparing_again_changes_nothing(desk):
    head = desk.repository.head("staging").id
    await desk.prepare()
    assert desk.repository.head("staging").id == head
