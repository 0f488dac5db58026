"""Does work move? The event loop may turn while what it waits for will never come."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STUCK_AFTER_S = 1800.0  # more than all the answers together that one action may wait for


class Pulse:
    """Notes when the loop works, and when that last went on.

    Args:
        monotonic: Seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic, self._moved_at, self._works = monotonic, monotonic(), False

    def moved(self) -> None:
        """Note that something went on: bytes were sent, an answer came."""
        self._moved_at = self._monotonic()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work, for as long as this lasts; what is not at work is not stuck."""
        self._works = True
        self.moved()
        try:
            yield
        finally:
            self._works = False

    @property
    def still_s(self) -> float:
        """For how long nothing has gone on, in seconds; 0.0 while there is no work."""
        return self._monotonic() - self._moved_at if self._works else 0.0

    @property
    def stuck(self) -> bool:
        """Whether only a new start can help."""
        return self.still_s > STUCK_AFTER_S
