"""Notices that someone set the machine's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

TOLERANCE = timedelta(seconds=1)  # what a clock that is being adjusted gains or loses between two looks


class ClockWatch:
    """Compares the clock, which may be set, with one that only runs.

    Args:
        clock: The time now, in UTC.
        monotonic: Seconds since some moment; stands still while the machine sleeps.
    """

    def __init__(self, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._last = clock(), monotonic()

    def set_by(self) -> timedelta:
        """Return by how much the clock was set since the last look, below zero if back; zero if it just ran."""
        then, then_s = self._last
        now, now_s = self._last = self._clock(), self._monotonic()
        by = now - then - timedelta(seconds=now_s - then_s)
        return by if abs(by) > TOLERANCE else timedelta(0)
