"""Paths worth a look, handed from a watcher's thread to the event loop. A hint may be lost, late or repeated."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_WAITING = 100_000


@dataclass(slots=True)
class Taken:
    """What had gathered since the last time."""

    paths: dict[str, bool] = field(default_factory=dict)  # path -> whether all below it must be listed too
    rescan: str = ""  # why hints were lost, so that everything must be listed; "" when none were
    check_root: bool = False  # the root itself was moved, deleted or unmounted


class Hints:
    """A set of hints, bounded: past the bound they are dropped for one remark that everything must be listed.

    Args:
        wake: Called, from any thread, when there is something to take after there was nothing.
        most_waiting: The bound.
    """

    def __init__(self, wake: Callable[[], object], *, most_waiting: int | None = None) -> None:
        self._wake, self._most_waiting = wake, most_waiting or MOST_WAITING
        self._lock = threading.Lock()
        self._waiting, self._woken = Taken(), False

    def add(self, path: str, *, tree: bool = False) -> None:
        """Ask for a look at a path; with ``tree`` at everything below it, too."""
        with self._lock:
            waiting = self._waiting.paths
            if len(waiting) >= self._most_waiting and path not in waiting:
                waiting.clear()
                self._waiting.rescan = f"more than {self._most_waiting:,} changes waited"
            elif not self._waiting.rescan:
                waiting[path] = tree or waiting.get(path, False)
            wake, self._woken = not self._woken, True
        if wake:
            self._wake()

    def lost(self, why: str) -> None:
        """Remark that hints were lost."""
        with self._lock:
            self._waiting.rescan = why
            wake, self._woken = not self._woken, True
        if wake:
            self._wake()

    def check_root(self) -> None:
        """Ask whether the root is still the same."""
        with self._lock:
            self._waiting.check_root = True
            wake, self._woken = not self._woken, True
        if wake:
            self._wake()

    def take(self) -> Taken:
        """Return what has gathered and start anew."""
        with self._lock:
            taken, self._waiting, self._woken = self._waiting, Taken(), False
        return taken

    def waiting(self) -> bool:
        """Return whether there is something to take."""
        return self._woken
