"""Does work in another thread go on, or does it hang?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class SignOfLife:
    """Stands in for what work asks now and then whether it is to end: that it asks shows that it goes on.

    Args:
        stopped: What it asks.
    """

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._last_s: float | None = None  # monotonic; None: nothing is being done

    def __call__(self) -> bool:
        """Return what ``stopped`` says."""
        self._last_s = time.monotonic()
        return self._stopped()

    def during(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work, one at a time."""
        self._last_s = time.monotonic()
        try:
            return work(*args, **kwargs)
        finally:
            self._last_s = None

    def silent_s(self) -> float:
        """Return for how many seconds the work under way has not shown that it goes on; 0 while there is none."""
        last_s = self._last_s
        return 0.0 if last_s is None else time.monotonic() - last_s
