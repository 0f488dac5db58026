"""Every operation misbehaves now and then while the folder changes; once that ends, everything is as it should be."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Outcome
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import PASS, Fault, FaultProxy, Rule

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.slow]

ROUNDS = 40
FILES = 30
PROBABILITY = 0.15
FAULTS = (
    Fault("delay", seconds=0.2),
    Fault("refuse", status=500),
    Fault("refuse", status=503, retry_after_s=1),
    Fault("refuse", status=429),
    Fault("reset"),
    Fault("drop"),
    Fault("duplicate"),
    Fault("truncate"),
    Fault("stall", seconds=0.5),
    Fault("drip", seconds=0.3),
)
PATIENCE_S = 240.0  # an object that met bad answers three times in a row is left alone for two minutes


class Changes:
    """Random changes of a folder of some thirty files."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self._root, self._rng, self._count = root, rng, 0

    def fill(self) -> None:
        for _ in range(FILES):
            self._create()

    def make(self) -> None:
        """Change one to five things."""
        for _ in range(self._rng.randint(1, 5)):
            files = sorted(path for path in self._root.rglob("*.png"))
            few, many = len(files) < FILES * 2 // 3, len(files) > FILES * 4 // 3
            if few or (not many and self._rng.random() < 0.3):
                self._create()
                continue
            path = self._rng.choice(files)
            how = self._rng.choice(["delete"] if many else ["delete", "rename", "replace", "replace"])
            if how == "delete":
                path.unlink()
            elif how == "rename":
                path.rename(self._new())
            else:
                path.write_bytes(self._content())

    def _new(self) -> Path:
        self._count += 1
        path = self._root / f"d{self._rng.randrange(4)}" / f"{self._count:04}.png"
        path.parent.mkdir(exist_ok=True)
        return path

    def _create(self) -> None:
        self._new().write_bytes(self._content())

    def _content(self) -> bytes:
        return self._rng.randbytes(self._rng.randrange(3000))


def test_random_faults_leave_no_trace(behind: Dataset, proxy: FaultProxy, outcome: Outcome, rng: random.Random) -> None:
    """P1, P4, P6, P8: forty rounds of changes through a bad network, then one snapshot that is the folder."""
    behind.configure(guard={"max_delete_percent": 100})  # the guard is another test's matter
    changes = Changes(behind.root, rng)
    changes.fill()
    behind.start()
    behind.snapshot()  # the first start is another test's matter, too
    proxy.misbehave(Rule(FAULTS, probability=PROBABILITY))
    for turn in range(ROUNDS):
        changes.make()
        moment = time.monotonic() + rng.uniform(0.2, 1.6)
        until(lambda at=moment: time.monotonic() >= at, "its time has come")
        assert behind.daemons[-1].exit_code is None
        if turn % 10 == 9:
            outcome.tags()
    proxy.misbehave()
    behind.snapshot(timeout_s=90)
    outcome.assert_exact(outcome.wait_until_published(timeout_s=PATIENCE_S))
    faults = sum(count for (_, how), count in proxy.done.items() if how != str(PASS))
    print(f"{faults} faults, {len(outcome.tags())} snapshots")  # noqa: T201
    assert faults > ROUNDS / 2, "the network was too good to show anything"
