"""What has happened since the process started, in plain numbers, for whoever shows them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

BOUNDS_S = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(slots=True)
class Durations:
    """How long something took, by how often it took at most each of ``BOUNDS_S``."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))  # the last: longer than all of them
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(slots=True)
class Tallies:
    """Counts that only grow. Written by the tasks of one event loop, read by any of them."""

    requests: dict[tuple[str, str, str], Durations] = field(default_factory=dict)  # by interface, operation, result
    objects: Counter[str] = field(default_factory=Counter)  # by what became of them
    uploaded_bytes: int = 0
    snapshots: Counter[str] = field(default_factory=Counter)  # by trigger
    failures: Counter[str] = field(default_factory=Counter)  # of a turn of the loop, by kind of error
    retries: int = 0  # turns of the loop that try again what failed
    holds: int = 0  # how often a decision began to wait for a person
    notifications: Counter[str] = field(default_factory=Counter)  # and pings, by what became of them

    def count_requests(self) -> int:
        """Return how many requests have been made."""
        return sum(sum(durations.counts) for durations in self.requests.values())

    def request(self, interface: str, operation: str, result: str, seconds: float) -> None:
        """Count a request and how long it took.

        Args:
            interface: "s3" or "api".
            operation: Its name in that interface.
            result: "ok", or the kind of error.
            seconds: From its start to the last byte of the answer.
        """
        self.requests.setdefault((interface, operation, result), Durations()).add(seconds)
