"""The loop behind the synchronous library: it ends when it is told to, at once, and its thread with it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
import time

import pytest

from syncd.client.portal import Portal

COUNT = 300


async def nothing() -> int:
    return 1


@pytest.mark.parametrize("interval_s", [sys.getswitchinterval(), 1e-6], ids=["as it is", "threads change often"])
def test_it_ends_at_once_however_quick_its_last_work_is(interval_s: float) -> None:
    before, usual = threading.active_count(), sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        slowest_s = 0.0
        for _ in range(COUNT):
            portal = Portal()
            assert portal.call(nothing()) == 1
            begun = time.monotonic()
            portal.close(nothing())
            slowest_s = max(slowest_s, time.monotonic() - begun)
    finally:
        sys.setswitchinterval(usual)
    assert slowest_s < 4, "it waited for a thread that did not end"
    assert threading.active_count() == before


def test_closed_twice_the_second_is_nothing() -> None:
    portal = Portal()
    portal.close(nothing())
    portal.close(nothing())


def test_what_is_interrupted_is_cancelled_in_the_loop() -> None:
    portal, ended = Portal(), threading.Event()

    async def forever() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def soon() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(concurrent.futures.CancelledError):
        portal.call(soon())
    assert ended.is_set()
    portal.close(nothing())
