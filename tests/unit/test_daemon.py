"""The loop over a pretended folder: triggers, requests, failures and restarts, without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.errors import NeedsPersonStoreError, TransientStoreError
from syncd.journal import branch
from syncd.store.memory_repository import MemoryObject
from tests.support.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as opened:
        yield opened


async def filled(world: World, **contents: bytes) -> None:
    world.files |= {f"images/{name}.png": content for name, content in contents.items()}
    await world.look()


async def turns(world: World, number: int) -> None:
    for _ in range(number):
        await world.turn()


async def test_a_change_is_staged_at_once_and_published_when_it_is_quiet(world):
    await filled(world, a=b"a")
    await turns(world, 3)
    assert world.tree("staging") == {"images/a.png": b"a"}
    assert world.repository.tags == {}
    world.pass_time(30)
    await world.turn()
    assert world.tree("snap-1") == {"images/a.png": b"a"}


async def test_an_unchanged_folder_costs_nothing(world):
    """P7: no put, no delete, no commit while nothing changes, however long; nor after `touch` on every file."""
    await filled(world, a=b"a", b=b"b")
    await world.settle()
    before = dict(world.objects.calls), world.versions.calls["commit"]
    world.seen = dict.fromkeys(world.seen, b"touched")  # every file is read again
    await world.settle()
    assert (dict(world.objects.calls), world.versions.calls["commit"]) == before
    assert len(await world.history()) == 1


async def test_a_rename_keeps_the_old_name_until_the_new_one_is_there(world):
    await filled(world, a=b"a")
    await world.settle()
    world.files["images/b.png"] = world.files.pop("images/a.png")
    await world.settle()
    assert world.tree("main") == {"images/b.png": b"a"}
    (newest, _) = await world.history()
    assert (newest.added, newest.deleted) == (1, 1)


async def test_an_emptied_folder_deletes_nothing(world):
    """P5: nothing is deleted while every image is gone; the hold is said; it ends by itself."""
    await filled(world, a=b"a", b=b"b")
    await world.settle()
    files, world.files = world.files, {}
    await world.settle()
    assert set(world.tree("staging")) == set(files)
    assert "every image is gone" in world.daemon.live.hold
    world.files = {"images/b.png": b"b"}
    await world.settle()
    assert world.tree("main") == {"images/b.png": b"b"}
    assert world.daemon.live.hold == ""


async def test_a_request_holds_everything_in_place_before_the_call(world):
    """P1."""
    await filled(world, a=b"a")
    world.files["images/b.png"] = b"b"  # not seen yet
    answer = await world.snapshot()
    assert world.tree(answer.snapshot.tag) == {"images/a.png": b"a", "images/b.png": b"b"}
    assert answer.snapshot.trigger == "request"


async def test_a_request_without_a_change_returns_the_newest_snapshot(world):
    await filled(world, a=b"a")
    first = await world.snapshot()
    second = await world.snapshot()
    assert second.snapshot == first.snapshot
    assert len(world.repository.tags) == 1


async def test_a_request_on_an_empty_dataset_has_no_snapshot(world):
    answer = await world.snapshot()
    assert (answer.snapshot, answer.held) == (None, "")


async def test_a_request_under_a_hold_says_so(world):
    """P5, P8: it ends with the reason, unless it allows what is held to be left out."""
    await filled(world, a=b"a", b=b"b")
    await world.snapshot()
    world.files = {}
    held = await world.snapshot()
    assert held.snapshot is None
    assert "every image is gone" in held.held
    allowed = await world.snapshot(allow_held=True)
    assert set(world.tree(allowed.snapshot.tag)) == {"images/a.png", "images/b.png"}


async def test_an_outage_is_left_alone_then_made_up_for(world):
    await filled(world, a=b"a")
    world.versions.fail_next("ensure_repository", TransientStoreError("connection refused"), times=3)
    await turns(world, 5)
    assert world.versions.calls["ensure_repository"] == 1  # no second try within the pause
    assert world.daemon.failure is not None
    await world.settle()
    assert world.daemon.failure is None
    assert world.tree("main") == {"images/a.png": b"a"}


async def test_an_open_request_learns_that_only_a_person_can_help(world):
    await filled(world, a=b"a")
    world.versions.fail_next("ensure_repository", NeedsPersonStoreError("the secret is wrong"), times=99)
    with pytest.raises(NeedsPersonStoreError, match="secret is wrong"):
        await world.snapshot()


async def test_who_mended_it_and_calls_again_is_not_told_what_failed_before(world):
    await filled(world, a=b"a")
    world.versions.fail_next("ensure_repository", NeedsPersonStoreError("the secret is wrong"))
    await world.turn()
    assert world.daemon.failure is not None
    world.pass_time(1)  # it would be tried again after five
    calling = world.engine.requests.snapshot(patience=timedelta(seconds=2), allow_held=False)
    asking = asyncio.create_task(calling)
    while not world.engine.requests.facts():
        await asyncio.sleep(0)
    await turns(world, 8)
    assert (await asyncio.wait_for(asking, 5)).snapshot.images == 1


async def test_an_open_request_learns_of_an_outage_when_its_time_runs_out(world):
    await filled(world, a=b"a")
    world.versions.fail_next("ensure_repository", TransientStoreError("connection refused"), times=99)
    asking = asyncio.create_task(world.engine.requests.snapshot(patience=timedelta(seconds=90), allow_held=False))
    for _ in range(40):
        await asyncio.sleep(0.001)
        await world.turn()
        world.pass_time(10)
    with pytest.raises(TransientStoreError):
        await asking


async def fail(world):
    while world.daemon.failure is None:
        world.pass_time(10)
        await world.turn()


async def agree(world):
    """What `syncd approve` does where nothing else is held."""
    assert await world.journal.write(branch.agree, await world.journal.read(branch.held))
    world.daemon.try_again()


@pytest.mark.parametrize("by", ["syncd approve", "someone"])
async def test_a_deleted_staging_branch_is_made_again_once_a_person_says_so(world, by):
    """P9: never in silence. What it held is in the publish branch, the rest is staged again."""
    await filled(world, a=b"a")
    await world.settle()
    world.repository.delete_branch("staging")
    await filled(world, b=b"b")
    await fail(world)
    world.pass_time(3600)
    await world.turn()
    assert "staging" not in world.repository.branches
    assert "staging is gone" in str(world.daemon.failure.error)
    if by == "someone":
        world.repository.create_branch("staging", "main")
        world.pass_time(60)  # it looks now and then
    else:
        await agree(world)
    await world.settle()
    assert world.tree("main") == {"images/a.png": b"a", "images/b.png": b"b"}


@pytest.mark.parametrize("stop_before", ["commit", "merge", "create_tag"])
async def test_what_a_deleted_staging_branch_held_alone_is_staged_again(world, stop_before):
    """P1: the journal believes nothing of a branch that is gone, whatever step a snapshot had reached."""
    await filled(world, a=b"a")
    await world.settle()
    world.versions.fail_next(stop_before, TransientStoreError("away"))
    await filled(world, b=b"b")
    while world.daemon.failure is None:
        world.pass_time(10)
        await world.turn()
    world.repository.delete_branch("staging")
    await world.crash()
    await fail(world)
    await agree(world)
    await world.settle()
    assert world.tree("main") == world.tree("staging") == {"images/a.png": b"a", "images/b.png": b"b"}
    assert (await world.history())[0].images == 2


async def test_changes_made_while_it_was_down_are_found(world):
    await filled(world, a=b"a", b=b"b")
    await world.settle()
    world.files = {"images/b.png": b"b2", "images/c.png": b"c"}
    await world.crash()
    await world.settle()
    assert world.tree("main") == world.files


async def test_a_caller_that_hangs_up_is_forgotten(world):
    await filled(world, a=b"a")
    asking = asyncio.create_task(world.engine.requests.snapshot(patience=timedelta(days=1), allow_held=False))
    while not world.engine.requests.facts():
        await asyncio.sleep(0.001)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert world.engine.requests.facts() == ()


async def test_branches_that_answer_do_not_prove_that_what_failed_works_again(world):
    """P8: else a failure would be said to be over and to begin anew at each attempt, and its pauses would not grow."""
    await filled(world, a=b"a")
    await world.settle()
    key, theirs = "notes/a.txt", MemoryObject(content=b"x", etag="e", sha256=b"s" * 32, content_type="text/plain")
    world.repository.stage("staging", key, theirs)
    await filled(world, b=b"b")
    for _ in range(30):
        world.pass_time(70)
        await world.turn()
        if world.daemon.failure is not None and world.daemon.failure.facts.in_a_row > 2:
            break
    assert "notes/a.txt" in str(world.daemon.failure.error)
    assert world.daemon.failure.facts.in_a_row > 2
    world.repository.branches["staging"].staged.pop(key)
    await world.settle()
    assert world.daemon.failure is None
    assert world.tree("main") == world.files
