"""How long to leave a database alone between two looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

SOON_S = 0.25
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 60.0
REST = 4  # times as long as a read took: a large table is not read without a break


class Pace:
    """The pause before the next look, by how the last ones went.

    Args:
        poll_seconds: Between two looks when all is well.
        rng: For the jitter, so that many daemons do not come back to a restarted server at the same instant.
    """

    def __init__(self, poll_seconds: float, rng: random.Random) -> None:
        self._poll_seconds, self._rng = poll_seconds, rng
        self._failures, self._took_s = 0, 0.0
        self.waiting = False  # for a file that is being written, not for one that is gone

    def worked(self, took_s: float) -> None:
        """The database answered; reading it took so long."""
        self._failures, self._took_s, self.waiting = 0, took_s, False

    def failed(self) -> None:
        """It did not answer."""
        self._failures += 1
        self.waiting = False

    def soon(self) -> None:
        """It is being written: it may be whole in a moment."""
        self.waiting = True

    def pause_s(self) -> float:
        """Return the seconds until the next look; a notification or a call does not wait for it."""
        if self.waiting:
            return min(SOON_S, self._poll_seconds)
        if not self._failures:
            return max(self._poll_seconds, REST * self._took_s)
        longest = min(FIRST_RETRY_S * (1 << min(self._failures - 1, 10)), LONGEST_RETRY_S)
        return longest * self._rng.uniform(0.5, 1.0)
