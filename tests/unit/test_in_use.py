"""What is being pulled is held as long as that takes, and an hour beyond the last sign of life."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from syncd.errors import NeedsPersonStoreError, NotFoundStoreError, TransientStoreError
from syncd.snapshots.in_use import LASTS, in_use
from syncd.store.memory import MemoryRepository
from syncd.store.memory_pins import MemoryPins

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def pins() -> MemoryPins:
    repository = MemoryRepository()
    repository.create("local://photos", "main")
    return MemoryPins(repository, "staging")


async def uses(pins: MemoryPins) -> list[tuple[str, datetime]]:
    return [(use.commit_id, use.until) async for use in pins.uses()]


async def test_a_commit_is_held_while_it_is_used_and_no_longer(pins):
    commit = pins._repository.head("main").id
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what it is raised in is the point
        async with in_use(pins, commit, clock=lambda: NOW):
            assert await uses(pins) == [(commit, NOW + LASTS)]
            raise ZeroDivisionError
    assert await uses(pins) == []


async def test_it_is_held_longer_again_and_again_also_after_a_failure(pins):
    commit, now = pins._repository.head("main").id, [NOW]
    pins.fail_next("end_use", TransientStoreError("reset"))
    async with in_use(pins, commit, clock=lambda: now[0], renew_every_s=0.001):
        pins.fail_next("use", TransientStoreError("reset"), times=3)
        now[0] = NOW + LASTS
        while max(until for _, until in await uses(pins)) < NOW + 2 * LASTS:
            await asyncio.sleep(0.001)
        assert {commit_id for commit_id, _ in await uses(pins)} == {commit}
    assert await uses(pins) == []


async def test_who_may_not_make_branches_reads_all_the_same(pins):
    pins.fail_next("use", NeedsPersonStoreError("not allowed"))
    async with in_use(pins, pins._repository.head("main").id, clock=lambda: NOW, renew_every_s=0.0):
        await asyncio.sleep(0.001)
        assert await uses(pins) == []
    assert pins.calls["use"] == 1


async def test_a_commit_that_is_not_there_cannot_be_used(pins):
    with pytest.raises(NotFoundStoreError):
        async with in_use(pins, "0" * 64, clock=lambda: NOW):
            raise AssertionError


async def test_what_cannot_be_let_go_of_ends_by_itself(pins):
    commit = pins._repository.head("main").id
    pins.fail_next("end_use", TransientStoreError("away"))
    async with in_use(pins, commit, clock=lambda: NOW):
        pass
    assert await uses(pins) == [(commit, NOW + LASTS)]
