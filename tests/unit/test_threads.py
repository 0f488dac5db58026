"""Blocking work below asyncio code, with a cancellation at any moment."""

from __future__ import annotations

import asyncio
import threading

import pytest

from syncd.threads import Together


async def test_each_gets_what_its_own_work_returned_or_raised():
    together = Together()

    def fail() -> None:
        raise ValueError("this one")

    outcomes = await asyncio.gather(
        *(together.run(lambda number=number: number) for number in range(100)),
        together.run(fail),
        return_exceptions=True,
    )
    assert outcomes[:100] == list(range(100))
    assert str(outcomes[100]) == "this one"
    assert await together.run(lambda: "and it goes on") == "and it goes on"


async def test_what_waits_is_done_in_one_go():
    together, first, go_on = Together(), threading.Event(), threading.Event()
    threads: list[str] = []

    def block() -> None:
        first.set()
        assert go_on.wait(10)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(together.run(block))
        await asyncio.to_thread(first.wait, 10)
        for _ in range(50):
            group.create_task(together.run(lambda: threads.append(threading.current_thread().name)))
        await asyncio.sleep(0)
        assert threads == []
        go_on.set()
    assert len(threads) == 50
    assert len(set(threads)) == 1


async def test_no_more_threads_than_it_was_told():
    together, running, most = Together(2), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.002)
        with lock:
            running -= 1

    async with asyncio.timeout(10):
        await asyncio.gather(*(together.run(work) for _ in range(40)))
    assert most <= 2


async def test_who_is_cancelled_goes_once_the_work_is_done():
    together, begun, go_on = Together(), threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(10)
        done.append("done")

    async with asyncio.timeout(10):
        waiting = asyncio.create_task(together.run(work))
        await asyncio.to_thread(begun.wait, 10)
        waiting.cancel()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert done == ["done"]


def test_the_loop_may_end_in_the_middle():
    begun = threading.Event()

    def work() -> None:
        begun.set()
        threading.Event().wait(0.05)

    async def begin() -> None:
        together = Together()
        tasks = [asyncio.create_task(together.run(work)) for _ in range(3)]
        await asyncio.to_thread(begun.wait, 10)
        tasks[0].cancel()

    ending = threading.Thread(target=lambda: asyncio.run(begin()), daemon=True)
    ending.start()
    ending.join(10)
    assert not ending.is_alive()
