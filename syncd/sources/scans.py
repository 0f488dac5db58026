"""When is the whole folder listed next, and which listings have been asked for? Pure: time is an argument.

Moments are seconds of a monotonic clock. Listings are numbered as they are asked for: one that begins answers all
that were asked for until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

JITTER = 0.25  # so that many daemons on one file server do not list it all at once


class Scans:
    """The full listings of one root. The first is due at once.

    Args:
        rng: For the jitter.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.asked = 1
        self.needed = 1  # the newest that tells something new: all but those that only make sure, now and then
        self.done = 0
        self.reason = "scan"
        self._begun = 0
        self.next_at = 0.0  # when the next one is due if nobody asks
        self.begun_at_s: float | None = None  # of the one under way, or the last one that ended

    @property
    def under_way(self) -> bool:
        """Return whether a listing has begun and not ended."""
        return self._begun > self.done

    @property
    def outstanding(self) -> bool:
        """Return whether one that was asked for has not ended."""
        return self.asked > self.done

    @property
    def complete(self) -> bool:
        """Return whether there has been a whole one."""
        return self.done > 0

    @property
    def current(self) -> int:
        """Return the number of the listing under way or, if there is none, of the last one."""
        return self._begun

    def ask(self, reason: str) -> int:
        """Ask for a listing that begins after now; return the number to wait for in ``done``."""
        self.reason = reason
        if self.asked == self._begun:
            self.asked += 1
        self.needed = self.asked
        return self.asked

    def due(self, now_s: float) -> bool:
        """Return whether a listing is to begin."""
        return not self.under_way and (self.asked > self._begun or now_s >= self.next_at)

    def begin(self, now_s: float) -> None:
        """Note that a listing begins."""
        self.asked = max(self.asked, self._begun + 1)
        self._begun, self.begun_at_s = self.asked, now_s

    def need_current(self) -> None:
        """Note that the one under way tells something new although nobody asked for it."""
        self.needed = max(self.needed, self._begun)

    def give_up(self) -> None:
        """Note that the one under way will not end; who waits for it waits for the next."""
        self._begun, self.begun_at_s = self.done, None

    def end(self, now_s: float, interval_s: float, reason: str) -> None:
        """Note that the one under way has ended, and when the next is due.

        Args:
            now_s: Now.
            interval_s: Until the next, give or take a quarter.
            reason: What the next is called, unless it is asked for.
        """
        self.done = self._begun
        self.next_at = now_s + interval_s * self._rng.uniform(1 - JITTER, 1 + JITTER)
        if self.asked == self.done:
            self.reason = reason
