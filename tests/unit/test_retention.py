"""Retention beside the loop: what is removed, what never is, and what is said of pins and tags that others touched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from syncd.errors import TransientStoreError
from syncd.journal.history import by_tag, finished
from syncd.ownership.lease import LeaseError
from syncd.planner.retention import KeepRules
from syncd.retention.checking import PinFault, check, history, repair
from syncd.store.base import TAG_METADATA
from syncd.store.pins import Keeper, Note
from tests.support.world import World

DAY_S = 86_400.0


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def publish(world: World, count: int) -> list[str]:
    """Make so many snapshots; return their tags, the oldest first."""
    for number in range(count):
        world.files[f"images/{len(world.files)}.png"] = b"%d" % number
        await world.settle(turns=6)
    made = [one.tag for one in await world.history()][::-1]
    assert len(made) >= count
    return made


async def keeping(world: World, *, remove_tags: bool = False, **rules: int) -> None:
    """Start another process, with these rules."""
    world.keep_rules, world.remove_tags = KeepRules(**rules), remove_tags
    await world.crash()
    await world.settle(turns=3)


async def pinned(world: World) -> set[str]:
    """The tags of the snapshots that retention's pins are at, as they were made."""
    heads = {pin.head async for pin in world.pins.pins(Keeper.RETENTION)}
    return {one.tag for one in await world.history() if one.commit_id in heads}


async def commit_of(world: World, tag: str) -> str:
    return next(one.commit_id for one in await world.history() if one.tag == tag)


async def removed(world: World) -> set[str]:
    return {one.tag for one in await world.history() if one.removed_at is not None}


async def lose_journal(world: World) -> None:
    """Start another process without the journal, as after a failover to another host."""
    await world.journal.__aexit__(None, None, None)
    (world.directory / "journal.db").unlink()
    await world._start()
    await world.settle(turns=6)


def say_nothing_of_its_tag(world: World, tag: str) -> None:
    """As commits of a syncd that did not write it into them."""
    commit_id = world.repository.tags[tag]
    commit = world.repository._commits[commit_id]
    metadata = {name: value for name, value in commit.metadata.items() if name != TAG_METADATA}
    world.repository._commits[commit_id] = replace(commit, metadata=metadata)


async def faults(world: World):
    return await check(
        lambda: world.journal.read(history),
        versions=world.versions,
        pins=world.pins,
        repository="photos",
        staging="staging",
    )


async def test_without_a_rule_nothing_is_removed_and_lakefs_is_not_asked(world):
    await publish(world, 3)
    await world.engine.retention.apply()
    calls = world.pins.calls.copy()
    assert await world.engine.retention.apply() == 0
    assert world.pins.calls == calls
    assert await pinned(world) == set(world.repository.tags)


async def test_what_no_rule_keeps_loses_its_pin_and_keeps_its_tag(world):
    tags = await publish(world, 4)
    await keeping(world, last=2)
    assert await world.engine.retention.apply() == 2
    assert await pinned(world) == set(tags[2:])
    assert set(world.repository.tags) == set(tags)
    assert await removed(world) == set(tags[:2])  # the history still has them


async def test_where_that_is_set_the_tag_goes_as_well(world):
    tags = await publish(world, 3)
    await keeping(world, last=1, remove_tags=True)
    await world.engine.retention.apply()
    assert set(world.repository.tags) == {tags[2]}


async def test_the_loop_asks_for_it_at_the_start_and_after_each_snapshot(world):
    assert not world.engine.retention.due.is_set()
    await publish(world, 1)
    assert world.engine.retention.due.is_set()
    world.engine.retention.due.clear()
    await world.settle(turns=3)
    assert not world.engine.retention.due.is_set()
    await publish(world, 1)
    assert world.engine.retention.due.is_set()


async def test_it_ends_when_it_is_cancelled_at_the_moment_there_is_something_to_do(world):
    await publish(world, 1)
    world.engine.retention.due.clear()
    serving = asyncio.create_task(world.engine.retention.serve())
    await asyncio.sleep(0)
    world.engine.retention.due.set()
    await asyncio.sleep(0)  # it has been woken, and not yet run
    serving.cancel()
    await asyncio.wait({serving}, timeout=1)
    assert serving.cancelled()


async def test_other_rules_wait_until_the_repository_is_known_to_be_there(world):
    world.engine.retention.follow(KeepRules(last=1), remove_tags=False)
    assert not world.engine.retention.due.is_set()
    await publish(world, 1)
    world.engine.retention.due.clear()
    world.engine.retention.follow(KeepRules(last=2), remove_tags=False)
    assert world.engine.retention.due.is_set()


async def test_what_it_costs_follows_what_is_removed(world):
    """P7."""
    await publish(world, 6)
    await keeping(world, last=3)
    await world.engine.retention.apply()
    world.pins.calls.clear()
    world.versions.calls.clear()
    assert await world.engine.retention.apply() == 0
    assert not world.pins.calls
    await publish(world, 1)
    world.pins.calls.clear()
    world.versions.calls.clear()
    assert await world.engine.retention.apply() == 1
    assert dict(world.pins.calls) == {"pins": 1, "uses": 1, "unpin": 1}
    assert not world.versions.calls


async def test_what_a_person_pinned_stays_until_it_is_unpinned(world):
    tags = await publish(world, 4)
    commit = await commit_of(world, tags[0])
    await world.pins.pin(Keeper.PERSON, commit)
    await world.pins.write_note(commit, Note(reason="paper", who="ann", at="", tag=tags[0]))
    await keeping(world, last=1, remove_tags=True)
    assert await world.engine.retention.apply() == 2
    assert set(world.repository.tags) == {tags[0], tags[3]} == await pinned(world)
    await world.pins.unpin(Keeper.PERSON, commit)
    assert await world.engine.retention.apply() == 1
    assert set(world.repository.tags) == {tags[3]} == await pinned(world)


async def test_what_is_being_pulled_stays_and_a_dead_pull_holds_for_its_time_only(world):
    tags = await publish(world, 3)
    await world.pins.use(await commit_of(world, tags[0]), world.now + timedelta(hours=1))
    await keeping(world, last=1)
    world.now -= timedelta(hours=3)  # the harness let a lot of time pass
    assert await world.engine.retention.apply() == 1
    assert await pinned(world) == {tags[0], tags[2]}
    world.pass_time(6 * 3600)
    assert await world.engine.retention.apply() == 1
    assert await pinned(world) == {tags[2]}
    assert not [use async for use in world.pins.uses()]


async def test_someone_who_pins_while_others_are_removed_is_heeded(world):
    """It is asked anew before each page; here each is a page of its own."""
    tags = await publish(world, 4)
    await keeping(world, last=1, remove_tags=True)
    world.engine.retention.page = 1
    hold = world.pins.hold_next("unpin")
    applying = asyncio.create_task(world.engine.retention.apply())
    await hold.reached.wait()
    await world.pins.pin(Keeper.PERSON, await commit_of(world, tags[2]))
    hold.release.set()
    assert await applying == 2
    assert set(world.repository.tags) == {tags[2], tags[3]}


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("call", ["unpin", "delete_tag", "pins", "uses"])
async def test_cut_off_anywhere_it_ends_where_it_would_have_ended(world, call, applied):
    """P4."""
    tags = await publish(world, 5)
    await keeping(world, last=2, remove_tags=True)
    world.pins.fail_next(call, TransientStoreError("killed"), applied=applied)
    with pytest.raises(TransientStoreError):
        await world.engine.retention.apply()
    await world.crash()
    await world.settle(turns=3)
    await world.engine.retention.apply()
    assert await removed(world) == set(tags[:3])
    assert set(world.repository.tags) == set(tags[3:]) == await pinned(world)
    assert await faults(world) == []


async def test_a_failure_is_shown_and_tried_again_and_no_snapshot_waits_for_it(world):
    """P8."""
    tags = await publish(world, 2)
    await keeping(world, last=1)
    world.pins.fail_next("unpin", TransientStoreError("lakeFS is away"))
    await world.engine.retention.attempt()
    assert "lakeFS is away" in world.engine.retention.failure
    assert await publish(world, 1) != tags
    await world.engine.retention.attempt()
    assert world.engine.retention.failure == ""
    assert len(await pinned(world)) == 1


async def test_it_is_applied_whenever_it_is_due(world):
    await publish(world, 3)
    await keeping(world, last=1)
    serving = asyncio.create_task(world.engine.retention.serve())
    while len(await removed(world)) < 2:
        await asyncio.sleep(0.001)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_nothing_is_removed_while_another_syncd_has_the_staging_branch(world):
    """P9."""
    tags = await publish(world, 3)

    async def refuse() -> None:
        raise LeaseError("another syncd writes")

    await keeping(world, last=1)
    world.engine.retention._may_write = refuse
    with pytest.raises(LeaseError):
        await world.engine.retention.apply()
    assert await pinned(world) == set(tags)


async def test_old_snapshots_without_a_pin_get_one_at_the_start_unless_they_are_removed_anyway(world):
    """As made by a syncd that had no pins, or recovered from lakeFS after the journal was lost."""
    tags = await publish(world, 4)
    for tag in tags:
        await world.pins.unpin(Keeper.RETENTION, await commit_of(world, tag))
    await keeping(world, last=2)
    world.pins.calls.clear()
    await world.engine.retention.apply()
    assert await pinned(world) == set(tags[2:])
    assert world.pins.calls["pin"] == 2
    assert list(world.engine.retention.faults) == []


async def test_a_lost_journal_costs_no_pin(world):
    """What the history knew is read back from lakeFS, and what is kept is still what is pinned."""
    tags = await publish(world, 4)
    await keeping(world, last=3)
    await world.engine.retention.apply()
    await lose_journal(world)
    await world.engine.retention.apply()
    assert await pinned(world) == set(tags[1:])
    assert await removed(world) == {tags[0]}
    assert await faults(world) == []


async def test_a_persons_own_tag_is_never_taken_for_one_to_remove(world):
    """P6: whatever it is called, and though the journal that knew which tag was syncd's is lost."""
    tags = await publish(world, 3)
    theirs = {"a-paper": await commit_of(world, tags[0]), "v1.0": await commit_of(world, tags[1])}
    world.repository.tags.update(theirs)
    world.keep_rules, world.remove_tags = KeepRules(last=1), True
    await lose_journal(world)
    assert [one.tag for one in await world.history()][::-1] == tags
    assert await world.engine.retention.apply() == 2
    assert world.repository.tags.keys() == {*theirs, tags[2]}

    await lose_journal(world)  # now those that were removed have only tags of other people
    assert [one.tag for one in await world.history()] == [tags[2]]
    assert await world.engine.retention.apply() == 0
    assert world.repository.tags.keys() == {*theirs, tags[2]}


async def test_where_the_name_was_taken_the_one_with_a_number_is_its_own(world):
    (first,) = await publish(world, 1)
    elsewhere = await commit_of(world, first)
    world.repository.tags["snap-2"] = elsewhere
    tags = await publish(world, 2)
    assert tags == [first, "snap-2-2", "snap-3"]
    world.repository.tags["snap-2-draft"] = await commit_of(world, "snap-2-2")
    world.keep_rules, world.remove_tags = KeepRules(last=1), True
    await lose_journal(world)
    assert [one.tag for one in await world.history()][::-1] == tags
    await world.engine.retention.apply()
    assert world.repository.tags.keys() == {"snap-2", "snap-2-draft", "snap-3"}


async def test_a_tag_stays_where_the_commit_does_not_say_whether_it_is_its_own(world):
    tags = await publish(world, 3)
    world.repository.tags["v1.0"] = await commit_of(world, tags[0])
    for tag in tags[:2]:
        say_nothing_of_its_tag(world, tag)
    world.keep_rules, world.remove_tags = KeepRules(last=1), True
    await lose_journal(world)
    assert [one.tag for one in await world.history()][::-1] == tags
    with capture_logs() as logged:
        assert await world.engine.retention.apply() == 2
    assert world.repository.tags.keys() == {*tags, "v1.0"}
    assert await pinned(world) == {tags[2]}
    assert [line["tag"] for line in logged if line["event"] == "tag_left"] == tags[:2]


async def test_a_persons_tag_that_a_journal_has_for_a_snapshots_stays(world):
    """As written there by a syncd that took any tag of the commit for its own."""
    tags = await publish(world, 2)
    world.repository.tags["v1.0"] = await commit_of(world, tags[0])
    await world.journal.write(
        lambda connection: connection.execute("UPDATE snapshot SET tag = 'v1.0' WHERE tag = ?", (tags[0],)).rowcount
    )
    await keeping(world, last=1, remove_tags=True)
    assert await world.engine.retention.apply() == 1
    assert world.repository.tags.keys() == {*tags, "v1.0"}


async def test_a_snapshot_cut_off_before_its_tag_gets_it_though_a_person_has_put_theirs_there(world):
    """P4: the journal is lost as well."""
    await publish(world, 1)
    world.files["images/new.png"] = b"new"
    world.versions.fail_next("create_tag", TransientStoreError("killed"), times=100)
    await world.settle(turns=6)
    world.versions._faults.clear()
    merged = world.repository.head("main").id
    world.repository.tags["v1.0"] = merged
    await lose_journal(world)
    assert [one.tag for one in await world.history()] == ["snap-2", "snap-1"]
    assert world.repository.tags["snap-2"] == world.repository.tags["v1.0"] == merged


async def test_a_tag_that_was_moved_is_named_and_neither_moved_back_nor_deleted(world):
    """P6, P8."""
    tags = await publish(world, 3)
    elsewhere = await commit_of(world, tags[1])
    was, world.repository.tags[tags[2]] = world.repository.tags[tags[2]], elsewhere
    del world.repository.tags[tags[1]]
    world.repository.tags[tags[0]] = elsewhere
    await keeping(world, last=2, remove_tags=True)
    await world.engine.retention.apply()
    assert world.repository.tags == {tags[0]: elsewhere, tags[2]: elsewhere}
    gone, moved = sorted(world.engine.retention.faults, key=lambda fault: fault.tag)
    assert (gone.code, gone.tag, moved.code, moved.tag) == (PinFault.TAG_GONE, tags[1], PinFault.TAG_MOVED, tags[2])
    assert f"points at {elsewhere[:12]}, and was put on {was[:12]}" in moved.why
    assert f"lakectl tag create lakefs://photos/{tags[2]} lakefs://photos/{was}" in moved.next_step


async def test_check_names_every_fault_and_repair_puts_right_what_it_may(world):
    tags = await publish(world, 5)
    await keeping(world, last=4)
    await world.engine.retention.apply()
    commits = [await commit_of(world, tag) for tag in tags]
    await world.pins.pin(Keeper.RETENTION, commits[0])  # which retention has removed
    await world.pins.unpin(Keeper.RETENTION, commits[1])
    world.repository.delete_branch(f"staging-pin-{commits[2]}")
    world.repository.create_branch(f"staging-pin-{commits[2]}", commits[3])
    nobodys = world.repository.head("staging").id
    await world.pins.pin(Keeper.RETENTION, nobodys)

    found = await faults(world)
    assert {(fault.code, fault.tag) for fault in found} == {
        (PinFault.PIN_LEFT, tags[0]),
        (PinFault.NOT_PINNED, tags[1]),
        (PinFault.PIN_MOVED, tags[2]),
        (PinFault.PIN_UNKNOWN, ""),
    }
    assert all(fault.why and fault.next_step for fault in found)
    count, remaining = await repair(found, world.pins)
    assert count == 2
    assert {fault.code for fault in remaining} == {PinFault.PIN_MOVED, PinFault.PIN_UNKNOWN}
    assert {(fault.code, fault.commit_id) for fault in await faults(world)} == {
        (PinFault.PIN_MOVED, commits[2]),
        (PinFault.PIN_UNKNOWN, nobodys),
    }


async def test_a_snapshot_whose_commit_is_gone_stays_a_fault(world):
    """As where the repository was made anew under the same name."""
    await publish(world, 1)
    found = await faults(world)
    assert found == []
    tag = (await world.history())[0].tag
    await world.journal.write(
        lambda connection: connection.execute("UPDATE snapshot SET commit_id = ?", ("f" * 64,)).rowcount
    )
    found = await faults(world)
    count, remaining = await repair([fault for fault in found if fault.code is PinFault.NOT_PINNED], world.pins)
    assert (count, [fault.tag for fault in remaining]) == (0, [tag])


async def test_a_snapshot_under_way_is_not_taken_for_a_pin_too_many(world):
    """It is pinned before the journal records it as done."""
    await publish(world, 1)
    world.pins.fail_next("pin", TransientStoreError("killed"), applied=True)
    world.files["images/new.png"] = b"new"
    await world.look()
    while world.daemon.failure is None:
        world.pass_time(700)
        await world.turn()
    assert (await world.journal.open_snapshot()).step == "merged"
    assert await faults(world) == []
    await world.engine.retention.apply()
    await world.settle()
    assert await pinned(world) == set(world.repository.tags)


async def test_the_history_can_be_asked_for_what_is_kept(world):
    tags = await publish(world, 3)
    await keeping(world, last=1)
    await world.engine.retention.apply()
    kept = await world.journal.read(lambda read: [one.tag for one in finished(read, limit=-1, kept=True)])
    assert kept == [tags[2]]
    assert (await world.journal.read(by_tag, tags[0])).removed_at is not None
    assert await world.journal.read(by_tag, "snap") is None
