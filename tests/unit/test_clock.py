"""Someone sets the machine's clock: nothing waits for a time that was and comes again, and no call's patience ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from syncd.errors import TransientStoreError
from syncd.service.schedule import Schedule
from tests.support.world import WAIT, World

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as opened:
        opened.files |= {"images/a.png": b"a"}
        await opened.settle()
        yield opened


async def change(world: World, content: bytes) -> None:
    world.files["images/a.png"] = content
    await world.look()
    await world.turn()


async def within(world: World, span: timedelta) -> int:
    """Let time pass, a second at a time; return how many snapshots were made of it."""
    before = len(await world.history())
    for _ in range(round(span.total_seconds())):
        world.pass_time(1)
        await world.turn()
    return len(await world.history()) - before


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_change_made_before_the_clock_was_set_back_is_published_in_time(world: World, restarted: bool):
    await change(world, b"new")
    world.set_clock(-DAY)
    if restarted:
        await world.crash()
        await world.look()
    assert await within(world, world.policies.quiet + timedelta(seconds=5)) == 1


async def test_so_is_one_made_after_it_although_it_is_never_quiet(world: World):
    world.set_clock(-DAY)
    made = 0
    for number in range(round(world.policies.max_wait.total_seconds()) // 10 + 2):
        await change(world, b"%d" % number)
        made += await within(world, timedelta(seconds=10))
    assert made == 1


async def test_what_lakefs_refused_is_offered_again_in_time(world: World):
    world.objects.fail_next("put", TransientStoreError("reset"), times=3)
    await change(world, b"new")
    world.set_clock(-DAY)
    await within(world, timedelta(minutes=10))
    assert world.tree("main") == world.files


async def test_a_failing_lakefs_is_tried_again_in_time(world: World):
    world.versions.fail_next("head_id", TransientStoreError("reset"))
    await change(world, b"new")
    assert world.daemon.failure is not None
    world.set_clock(-DAY)
    await within(world, timedelta(seconds=5))
    assert world.daemon.failure is None


@pytest.mark.parametrize("by", [-DAY, DAY])
async def test_a_calls_patience_is_what_it_was(world: World, by: timedelta):
    world.files["images/b.png"] = b"b"
    world.versions.fail_next("head_id", TransientStoreError("reset"), times=10_000)
    await world.look()
    asking = asyncio.create_task(world.engine.requests.snapshot(patience=timedelta(minutes=5), allow_held=False))
    while not world.engine.requests.facts():
        await asyncio.sleep(0)
    await world.turn()
    world.set_clock(by)
    await within(world, timedelta(minutes=4))
    assert not asking.done()
    await within(world, timedelta(minutes=2))
    assert asking.done()
    assert isinstance(asking.exception(), TransientStoreError)


async def test_a_person_is_told_in_time_of_what_does_not_fit(tmp_path: Path):
    async with World(tmp_path, tables={"labels": "hold"}) as world:
        world.files |= {"images/a.png": b"a"}
        await world.see_all()
        await within(world, world.policies.quiet + timedelta(seconds=1))
        assert world.engine.gate.facts.held
        assert not world.daemon.live.hold
        world.set_clock(-DAY)
        await within(world, world.policies.quiet + WAIT + timedelta(seconds=5))
        assert "1 image has no row" in world.daemon.live.hold


@pytest.mark.parametrize(("back", "again"), [(timedelta(minutes=5), False), (DAY, True)])
def test_a_scheduled_moment_comes_once_unless_the_clock_was_wrong_altogether(back: timedelta, again: bool):
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    schedule = Schedule("0 * * * *", ZoneInfo("UTC"), started_at=noon - DAY)
    schedule.passed(noon)
    now = noon - back
    schedule.set_back(noon - HOUR, now)
    assert schedule.next_moment(now) == (now if again else noon) + HOUR


def test_a_scheduled_moment_that_is_due_still_is():
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    schedule = Schedule("0 * * * *", ZoneInfo("UTC"), started_at=noon - DAY)
    schedule.set_back(noon - HOUR, noon - timedelta(minutes=5))
    assert schedule.next_moment(noon - HOUR) == noon


async def test_a_history_read_back_from_a_server_whose_clock_is_ahead_holds_nothing_up(world):
    """P4: else nothing would be published until the time of its newest snapshot has come here, too."""
    world.files["images/a.png"] = b"a"
    await world.settle(turns=10)
    await world.journal.__aexit__(None, None, None)
    (world.directory / "journal.db").unlink()
    world.set_clock(timedelta(days=-365))
    await world._start()
    world.files["images/b.png"] = b"b"
    await world.settle(turns=10)
    assert world.tree("main") == world.files
