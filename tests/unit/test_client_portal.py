"""The loop behind the synchronous library: it ends when it is told to, and nobody waits in it for ever."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from syncd.client.portal import PAGE, ConnectionClosedError, Portal
from syncd.errors import UsageError

COUNT = 300
SOON_S = 10  # what takes longer hangs


async def nothing() -> int:
    return 1


async def numbers(count: int = 2 * PAGE) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def outcomes(work: Callable[[], Any], threads: int = 1) -> Callable[[], list[Any]]:
    """Begin work in threads; return what waits for what each returns or raises."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(work())
        except BaseException as error:  # noqa: BLE001 - whatever it raises is what is asked after
            ended.append(error)

    running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()

    def wait() -> list[Any]:
        for thread in running:
            thread.join(SOON_S)
        assert len(ended) == threads, "it hangs"
        return ended

    return wait


def interrupt() -> None:
    """Press Ctrl-C: the main thread gets it, wherever it is."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


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


def test_closed_by_another_thread_a_call_cleans_up_and_says_so() -> None:
    portal, begun, steps = Portal(), threading.Event(), []

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(steps.append, "cleaned up")

    async def last() -> None:
        steps.append("last")

    ended = outcomes(lambda: portal.call(forever()))
    assert begun.wait(SOON_S)
    portal.close(last())
    (error,) = ended()
    assert isinstance(error, ConnectionClosedError)
    assert steps == ["cleaned up", "last"], "a call needs what the last work closes"


def test_what_a_call_has_begun_is_ended_by_the_call_alone() -> None:
    """Work in a thread is waited for by the call; cancelled beside it, nobody would."""
    portal, begun, steps = Portal(), threading.Event(), []
    closing = threading.Event()

    def work() -> None:
        begun.set()
        assert closing.wait(SOON_S)
        steps.append("worked")

    async def shielded() -> None:
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            closing.set()
            await asyncio.wait({running})
            steps.append("went on")
            raise

    ended = outcomes(lambda: portal.call(shielded()))
    assert begun.wait(SOON_S)
    portal.close(nothing())
    assert isinstance(ended()[0], ConnectionClosedError)
    assert steps == ["worked", "went on"]


def test_work_that_nobody_waits_for_is_ended_too(caplog: pytest.LogCaptureFixture) -> None:
    portal, begun, ended = Portal(), threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def leave_behind() -> asyncio.Task[None]:
        return asyncio.create_task(forever())

    task = portal.call(leave_behind())
    assert begun.wait(SOON_S)
    portal.close(nothing())
    assert ended.is_set()
    assert task.cancelled()
    assert caplog.records == []


@pytest.mark.parametrize("interval_s", [sys.getswitchinterval(), 1e-6], ids=["as it is", "threads change often"])
def test_calls_that_meet_the_end_return_or_say_that_it_was_closed(interval_s: float) -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        for _ in range(50):
            portal = Portal()

            def until_closed(portal: Portal = portal) -> None:
                while True:
                    portal.call(nothing())

            ended = outcomes(until_closed, threads=3)
            portal.call(nothing())
            portal.close(nothing())
            assert [type(error) for error in ended()] == 3 * [ConnectionClosedError]
    finally:
        sys.setswitchinterval(usual)


def test_what_ends_a_thread_does_not_leave_its_callers_waiting() -> None:
    """A program's own function that is called back in the loop may call ``sys.exit``."""
    portal, begun = Portal(), threading.Event()

    async def forever() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def leave() -> None:
        sys.exit(3)

    waiting = outcomes(lambda: portal.call(forever()))
    assert begun.wait(SOON_S)
    (left,) = outcomes(lambda: portal.call(leave()))()
    assert isinstance(left, SystemExit)
    assert isinstance(waiting()[0], ConnectionClosedError)
    portal.close(nothing())


def test_the_loop_does_not_wait_for_itself() -> None:
    portal = Portal()

    async def calling_back() -> int:
        return portal.call(nothing())

    (error,) = outcomes(lambda: portal.call(calling_back()))()
    assert isinstance(error, UsageError)
    portal.close(nothing())


def test_an_iteration_may_end_early_and_go_on_over_pages() -> None:
    portal = Portal()
    assert list(portal.iterate(numbers())) == list(range(2 * PAGE))
    items = portal.iterate(numbers())
    assert [next(items) for _ in range(PAGE + 1)] == list(range(PAGE + 1))
    portal.close(nothing())
    with pytest.raises(ConnectionClosedError):
        list(items)


def test_what_an_iteration_holds_open_is_closed_with_it_and_before_the_last_work() -> None:
    portal, steps = Portal(), []

    async def held() -> AsyncIterator[int]:
        try:
            async for number in numbers():
                yield number
        finally:
            await asyncio.to_thread(steps.append, "closed")

    async def last() -> None:
        steps.append("last")

    items = portal.iterate(held())
    assert next(items) == 0
    items.close()
    portal.close(last())
    assert steps == ["closed", "last"]


def test_the_loops_own_thread_may_collect_half_an_iteration() -> None:
    portal, closed = Portal(), threading.Event()

    async def held() -> AsyncIterator[int]:
        try:
            async for number in numbers():
                yield number
        finally:
            closed.set()

    async def collect() -> None:
        gc.collect()

    gc.disable()  # nobody else collects it
    try:
        cycle: list[Any] = [portal.iterate(held())]
        assert next(cycle[0]) == 0
        cycle.append(cycle)
        del cycle
        assert outcomes(lambda: portal.call(collect()))() == [None]
    finally:
        gc.enable()
    assert closed.wait(SOON_S)
    portal.close(nothing())


def test_a_forked_process_may_drop_half_an_iteration_and_cannot_go_on_with_it() -> None:
    portal = Portal()
    half, other_half = portal.iterate(numbers()), portal.iterate(numbers())
    assert (next(half), next(other_half)) == (0, 0)

    def forked() -> None:
        half.close()
        with pytest.raises(ConnectionClosedError):
            list(other_half)

    child = multiprocessing.get_context("fork").Process(target=forked)
    child.start()
    child.join(SOON_S)
    exit_code = child.exitcode
    child.kill()
    child.join()
    assert exit_code == 0
    assert list(half) == list(range(1, 2 * PAGE)), "the parent's own is untouched"
    portal.close(nothing())


def test_ctrl_c_in_an_iteration_is_a_keyboard_interrupt_and_closes_it() -> None:
    portal, closed = Portal(), threading.Event()

    async def stuck() -> AsyncIterator[int]:
        try:
            interrupt()
            await asyncio.Event().wait()
            yield 1
        finally:
            await asyncio.to_thread(lambda: None)
            closed.set()

    with pytest.raises(KeyboardInterrupt):
        list(portal.iterate(stuck()))
    assert closed.wait(SOON_S)
    portal.close(nothing())


def test_ctrl_c_in_a_call_waits_for_its_cleanup() -> None:
    portal, cleaned_up = Portal(), threading.Event()

    async def stuck() -> None:
        try:
            interrupt()
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.to_thread(lambda: None)
            cleaned_up.set()

    with pytest.raises(KeyboardInterrupt):
        portal.call(stuck())
    assert cleaned_up.is_set()
    portal.close(nothing())


def test_a_second_ctrl_c_leaves_the_cleanup_to_the_end(caplog: pytest.LogCaptureFixture) -> None:
    portal, begun, steps = Portal(), threading.Event(), []

    async def other(closing: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            closing.set()

    async def stuck(closing: asyncio.Event) -> None:
        try:
            interrupt()
            await asyncio.Event().wait()
        finally:
            interrupt()
            await closing.wait()  # so it cannot be done before the end has begun
            await asyncio.to_thread(steps.append, "cleaned up")

    async def last() -> None:
        steps.append("last")

    closing = asyncio.Event()
    ended = outcomes(lambda: portal.call(other(closing)))
    assert begun.wait(SOON_S)
    with pytest.raises(KeyboardInterrupt):
        portal.call(stuck(closing))
    assert steps == []
    portal.close(last())
    assert steps == ["cleaned up", "last"]
    assert isinstance(ended()[0], ConnectionClosedError)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
