"""How much is tried, and what came of it: a slice of each in CI, all of it by ``make torture``, which writes figures.

``SYNCD_TORTURE=1`` takes the full number of each, another number that many times as much; ``SYNCD_TORTURE_FIGURES``
names the file that figures are added to, a line of JSON each. The fixtures are imported by the ``conftest.py`` of the
tests that want them.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def times() -> Callable[[int, int], int]:
    """Say how often something is tried: ``times(in CI, in the full run)``."""
    share = float(os.environ.get("SYNCD_TORTURE") or 0)

    def chosen(in_ci: int, full: int) -> int:
        return max(1, round(full * share)) if share else in_ci

    return chosen


@pytest.fixture
def seed() -> int:
    """Another one in each run; ``SYNCD_TEST_SEED`` repeats one."""
    chosen = int(os.environ.get("SYNCD_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed: SYNCD_TEST_SEED={chosen}")  # noqa: T201 - shown when the test fails
    return chosen


@pytest.fixture
def rng(seed: int) -> random.Random:
    return random.Random(seed)


class Figures:
    """What a test measured: ``figures("power cuts", 10_000, lost=0, corrupt=0)``; at its end, after it has asserted."""

    def __init__(self, test: str, seed: int) -> None:
        self._test, self._seed, self._began_s = test, seed, time.monotonic()
        self.lines: list[dict[str, Any]] = []

    def __call__(self, what: str, count: int, **found: float | str) -> None:
        """Add a line: what was tried, how often, and what was found."""
        took_s = round(time.monotonic() - self._began_s, 1)
        self.lines.append(
            {"what": what, "n": count, "seed": self._seed, "seconds": took_s, "found": found, "test": self._test}
        )


@pytest.fixture
def figures(request: pytest.FixtureRequest, seed: int) -> Iterator[Figures]:
    found = Figures(request.node.nodeid, seed)
    yield found
    path = os.environ.get("SYNCD_TORTURE_FIGURES")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in found.lines)
