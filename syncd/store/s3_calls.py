"""One request to S3 at a time in each of so many slots: bounded in time, observed, its failures translated."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from syncd.errors import StoreError
from syncd.store import translate
from syncd.store.observing import GIVEN_UP, OK, S3, nobody

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from syncd.store.observing import Observer


class Calls:
    """The requests of one client.

    Args:
        place: Where they go, for the words of an error.
        concurrency: Requests under way at a time; further ones wait for their turn.
        timeouts_s: For a connection, and without progress.
        on_progress: Called when a request begins, and whenever bytes of one have gone or come.
        observer: Told of each request.
    """

    def __init__(
        self,
        place: translate.Place,
        *,
        concurrency: int,
        timeouts_s: tuple[float, float],
        on_progress: Callable[[], None] = lambda: None,
        observer: Observer = nobody,
    ) -> None:
        self.place, self.on_progress, self.observer = place, on_progress, observer
        self.slots = asyncio.Semaphore(concurrency)
        self.first_s, self.next_s = sum(timeouts_s), timeouts_s[1]

    def one(self, operation: str, doing: str, *, more_s: float = 0.0) -> Call:
        """Return the context of one request.

        Args:
            operation: Its name in S3, for the observer.
            doing: What is tried, for the words of an error.
            more_s: Time that may go by without a sign of life beyond that, for what is large.
        """
        return Call(self, operation, doing, more_s)


class Call:
    """One request, as ``async with``. A class, since a generator's context manager costs more than a signature.

    aiohttp's own limits of time do not cover a server that stops reading, or never answers "Expect: 100-continue".
    """

    __slots__ = ("_began_s", "_calls", "_doing", "_limit", "_more_s", "_operation")

    def __init__(self, calls: Calls, operation: str, doing: str, more_s: float) -> None:
        self._calls, self._operation, self._doing = calls, operation, doing
        self._more_s, self._began_s = more_s, 0.0

    async def __aenter__(self) -> Callable[[], None]:
        """Return what to call on each progress: the time limit counts from there."""
        await self._calls.slots.acquire()
        self._began_s = time.monotonic()
        self._limit = asyncio.timeout(self._calls.first_s + self._more_s)
        await self._limit.__aenter__()
        self._calls.on_progress()
        return self._progressed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        result = GIVEN_UP
        try:
            try:
                await self._limit.__aexit__(kind, error, traceback)
            except TimeoutError as expired:
                error = expired
            if error is None:
                result = OK
                return
            meant = self._meant(error)
            if meant is None:
                return
            result = meant.kind
            if meant is not error:
                raise meant from error
        finally:
            self._calls.slots.release()
            self._calls.observer(S3, self._operation, result, time.monotonic() - self._began_s)

    def _progressed(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time() + self._calls.next_s + self._more_s)
        self._calls.on_progress()

    def _meant(self, error: BaseException) -> StoreError | None:
        """Return what an error of the request means; None: it is none of the request."""
        match error:
            case StoreError():
                return error
            case translate.RefusedError():
                return translate.refused(error.answer, self._doing, self._calls.place)
            case translate.LostError() | translate.BodyError() | OSError():
                return translate.unreachable(error, self._doing, self._calls.place)
        return None
