"""Every operation misbehaves now and then while the folder changes; once that ends, everything is as it should be."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.changes import Changes
from tests.faults.conftest import Outcome
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import PASS, Fault, FaultProxy, Rule
from tests.support.figures import Figures

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.slow]

ROUNDS = 40
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


def test_random_faults_leave_no_trace(
    behind: Dataset, proxy: FaultProxy, outcome: Outcome, rng: random.Random, figures: Figures
) -> None:
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
    assert faults > ROUNDS / 2, "the network was too good to show anything"
    figures("bad answers of ten kinds, at random", faults, snapshots=len(outcome.tags()), different=0, twice=0)
