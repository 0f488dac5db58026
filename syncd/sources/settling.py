"""When has a file stopped changing? Pure: both clocks are arguments.

A file is settled once neither its content nor its name, owner or mode (mtime and ctime) has changed for the settle
time. How long that is ago is read off the file's own times once, by the wall clock; the rest is waited for by the
monotonic clock, so that a jump of the wall clock neither hurries nor stalls anything. Times that lie in the future
(a clock set back, a camera's clock, a file server's) say nothing: then the file must be seen with the same
signature over the whole settle time.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.model import Signature

# File times advance with the kernel's tick, 1 to 10 ms apart. A file read in the tick of its last change could
# change once more and keep the same times; one read two ticks later cannot.
_CLOCK_REALTIME_COARSE = 5  # the clock that file times are taken from; the time module has no name for it
SHORTEST_SETTLE_SECONDS = 2 * time.clock_getres(_CLOCK_REALTIME_COARSE)
_SPARE_ENTRIES = 1000


class _Wait(NamedTuple):
    ready_at: float  # monotonic seconds
    signature: Signature


class Settling:
    """The files that are waited for. Memory follows their number.

    Args:
        settle_seconds: How long a file must have been left alone.
    """

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = max(settle_seconds, SHORTEST_SETTLE_SECONDS)
        self._waits: dict[str, _Wait] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._waits)

    def seen(self, path: str, signature: Signature, *, wall_s: float, monotonic_s: float) -> bool:
        """Note how a file looks now; return whether it is settled, in which case it is not waited for any more.

        Args:
            path: Of the file.
            signature: Its ``lstat`` now.
            wall_s: Seconds since the epoch, now.
            monotonic_s: Seconds of a clock that never jumps, now.
        """
        wait = self._waits.get(path)
        if wait is None or wait.signature != signature:
            wait = _Wait(monotonic_s + self._remaining(signature, wall_s), signature)
        if wait.ready_at <= monotonic_s:
            self._waits.pop(path, None)
            return True
        self._put(path, wait)
        return False

    def hold(self, path: str, signature: Signature, until_s: float) -> None:
        """Wait for a file until a moment of the monotonic clock, whatever its times say."""
        self._put(path, _Wait(until_s, signature))

    def forget(self, path: str) -> None:
        """Stop waiting for a file."""
        self._waits.pop(path, None)

    def due(self, monotonic_s: float) -> Iterator[tuple[str, Signature]]:
        """Yield the files that have settled, with the signature each must still have, and stop waiting for them."""
        while self._heap and self._heap[0][0] <= monotonic_s:
            ready_at, path = heapq.heappop(self._heap)
            wait = self._waits.get(path)
            if wait is not None and wait.ready_at == ready_at:  # else an entry of an earlier sight
                del self._waits[path]
                yield path, wait.signature

    def next_due(self) -> float | None:
        """Return the moment of the monotonic clock at which to ask again, or None; may be too early, never late."""
        return self._heap[0][0] if self._heap else None

    def _remaining(self, signature: Signature, wall_s: float) -> float:
        age_s = wall_s - max(signature.mtime_ns, signature.ctime_ns) / 1e9
        return self._settle_seconds - age_s if age_s >= 0 else self._settle_seconds

    def _put(self, path: str, wait: _Wait) -> None:
        if self._waits.get(path) == wait:
            return
        self._waits[path] = wait
        heapq.heappush(self._heap, (wait.ready_at, path))
        if len(self._heap) > 2 * len(self._waits) + _SPARE_ENTRIES:  # a file that keeps changing leaves entries
            self._heap = [(known.ready_at, name) for name, known in self._waits.items()]
            heapq.heapify(self._heap)
