"""The images of a batch are fetched concurrently, but not all at once, and the one that fails is told."""

from __future__ import annotations

import asyncio

import pytest

from syncd.datasets.contents import AT_A_TIME, UnreadableImageError, fetched_together
from syncd.datasets.listing import Listed
from syncd.errors import NotFoundStoreError, TransientStoreError

LONG_S = 10.0


def images(count: int) -> dict[int, Listed]:
    return {number: Listed(f"{number}.png", 1, None) for number in range(count)}


async def test_as_many_are_under_way_as_may_be_and_no_more():
    """Each waits until all those that may be under way with it are."""
    under_way, most, together = 0, 0, asyncio.Barrier(AT_A_TIME)

    async def fetch(one: Listed) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await together.wait()
        under_way -= 1
        return one.path.encode()

    wanted = images(3 * AT_A_TIME)
    async with asyncio.timeout(LONG_S):
        found = await fetched_together(wanted, fetch)
    assert found == {number: one.path.encode() for number, one in wanted.items()}
    assert most == AT_A_TIME


async def test_the_one_that_is_gone_is_told_and_the_rest_is_ended():
    async def fetch(one: Listed) -> bytes:
        if one.path == "3.png":
            raise NotFoundStoreError("gone")
        return await asyncio.Event().wait() and b""

    async with asyncio.timeout(LONG_S):
        with pytest.raises(UnreadableImageError) as failed:
            await fetched_together(images(10), fetch)
    assert (failed.value.number, failed.value.error.fact) == (3, "gone")


async def test_a_server_that_is_away_is_no_fault_of_an_image():
    async def fetch(_one: Listed) -> bytes:
        raise TransientStoreError("away")

    with pytest.raises(TransientStoreError, match="away"):
        await fetched_together(images(2), fetch)
