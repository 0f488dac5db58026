"""lakeFS is away while much changes: that is said, the folder is watched on, nobody is stormed, all is made up for."""

from __future__ import annotations

import math
import time
from collections import Counter

import pytest

from tests.faults.conftest import Outcome
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import FaultProxy
from tests.support.figures import Figures

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

BEFORE = 50
FILES = 2000
OUTAGE_S = 8.0
MOST_A_SECOND = 10


def write(dataset: Dataset, start: int, stop: int) -> None:
    for number in range(start, stop):
        path = dataset.root / f"d{number % 10}" / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d" % number)


@pytest.fixture
def running(behind: Dataset) -> Dataset:
    write(behind, 0, BEFORE)
    behind.start()
    behind.snapshot()
    return behind


def pending(status: dict) -> int:
    return status["pending"]["upload"]


@pytest.mark.slow
@pytest.mark.parametrize("listening", [False, True], ids=["refusing", "resetting"])
def test_two_thousand_files_change_while_lakefs_is_away(
    running: Dataset, proxy: FaultProxy, outcome: Outcome, listening: bool, figures: Figures
) -> None:
    """P1, P8: status says why and when it tries again; what waits is counted on; all is published afterwards."""
    gone_at = time.monotonic()
    proxy.go_away(listening=listening)
    half = (BEFORE + FILES) // 2
    write(running, BEFORE, half)
    failing = running.status_until(
        lambda seen: seen["state"] == "failing" and pending(seen) >= half - BEFORE, "the outage, and the first half"
    )
    assert "127.0.0.1" in failing["failure"]
    assert failing["why"] == failing["failure"]
    write(running, half, BEFORE + FILES)
    failing = running.status_until(lambda seen: pending(seen) == FILES, "the second half is observed")
    assert failing["state"] == "failing"
    until(lambda: time.monotonic() > gone_at + OUTAGE_S, "it was away for a while")
    assert running.status()["state"] == "failing"
    away_s, tries = time.monotonic() - gone_at, [one for one in proxy.attempts if one.at > gone_at]
    proxy.come_back()
    answer = running.snapshot(timeout_s=90)
    assert answer["left_out"] == []
    outcome.assert_exact(outcome.wait_until_published(timeout_s=30))
    figures("changes while lakeFS is away", FILES, away_s=round(away_s, 1), connections=len(tries), different=0)


@pytest.mark.parametrize("listening", [False, True], ids=["refusing", "resetting"])
def test_the_next_step_is_said(running: Dataset, proxy: FaultProxy, listening: bool) -> None:
    """P8: the failure ends with what a person can try."""
    proxy.go_away(listening=listening)
    (running.root / "new.png").write_bytes(b"new")
    failing = running.status_until(
        lambda seen: seen["state"] == "failing" and seen["next_decision_at"], "the outage, and when it is tried again"
    )
    assert "/_health" in failing["failure"]


def test_a_server_that_resets_everything_is_not_stormed(running: Dataset, proxy: FaultProxy) -> None:
    """P7: connections are bounded while everything waits for a server that is not well."""
    gone_at = time.monotonic()
    proxy.go_away(listening=True)
    write(running, BEFORE, BEFORE + FILES)
    running.status_until(lambda seen: seen["state"] == "failing" and pending(seen) >= FILES, "all is observed")
    until(lambda: time.monotonic() > gone_at + OUTAGE_S, "it was away for a while")
    tries = [one.at - gone_at for one in proxy.attempts if one.at > gone_at]
    by_second = Counter(math.floor(at) for at in tries)
    assert len(tries) <= MOST_A_SECOND * OUTAGE_S, f"{len(tries)} connections; by second: {sorted(by_second.items())}"
