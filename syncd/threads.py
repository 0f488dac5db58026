"""Blocking work below asyncio code."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


async def in_thread_to_its_end(work: Callable[[], T], *, on_cancel: Callable[[], None] | None = None) -> T:
    """Run it in a thread. A thread cannot be cancelled, so a cancellation is passed on once it is done.

    Args:
        work: What blocks.
        on_cancel: Asks the work to give up.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # taken note of: the cancellation is what counts now
        raise


class Together:
    """Runs small pieces of work in a thread, all that wait in one go: handing each over alone costs more than it does.

    Made and used by one event loop.

    Args:
        threads: At a time.
    """

    def __init__(self, threads: int = 1) -> None:
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._free = threads
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run it and return what it returns, or raise what it raises; a cancellation is passed on once it is done."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        if self._free:
            self._free -= 1
            job = asyncio.create_task(self._run_waiting())
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait({done})
            raise

    async def _run_waiting(self) -> None:
        pieces: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                pieces, self._waiting = self._waiting, []
                outcomes = await asyncio.to_thread(_outcomes, [work for work, _ in pieces])
                for (_, done), (result, error) in zip(pieces, outcomes, strict=True):
                    if error is None:
                        done.set_result(result)
                    else:
                        done.set_exception(error)
                        done.exception()  # taken note of, should nobody wait any more
        finally:
            self._free += 1
            for _, done in pieces:
                done.cancel()  # those that have an outcome keep it; else the loop is ending


def _outcomes(works: Sequence[Callable[[], Any]]) -> list[tuple[Any, Exception | None]]:
    return [_outcome(work) for work in works]


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 - it is for the one who waits
        return None, error


async def in_thread_apart(work: Callable[[], T], name: str) -> T:
    """Run it in a thread of its own, which nobody waits for once cancelled, not even the process's end.

    For what may hang, such as a disk that does not answer: the threads that the event loop lends are few.

    Args:
        work: What blocks.
        name: Of the thread.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(put: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(lambda: None if done.done() else put())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is for the one who waits
            failure = error
            settle(lambda: done.set_exception(failure))
        else:
            settle(lambda: done.set_result(result))

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
