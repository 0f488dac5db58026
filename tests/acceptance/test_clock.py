"""The machine's clock is wrong, or is set, under a real daemon in front of a real lakeFS (P1, P8)."""

from __future__ import annotations

import time

import pytest

from syncd.errors import EXIT_HELD
from syncd.service.control import RemoteError
from tests.support.comparing import Reader, folder
from tests.support.crashing_daemon import Around, ForkedDaemon
from tests.support.daemon import Dataset
from tests.support.turned_clock import TurnedClock

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

MINUTES = 60


@pytest.fixture
def clock(dataset: Dataset) -> TurnedClock:
    """That of the daemon, which runs and has published an image."""
    dataset.configure(snapshot={"quiet_seconds": 1.0})
    (dataset.root / "a.png").write_bytes(b"a")
    turned = TurnedClock(dataset.directory / "clock")
    ForkedDaemon(dataset, around=Around(clock=turned.path)).wait_until_ready()
    dataset.snapshot()
    return turned


@pytest.mark.parametrize("ahead_s", [-10 * MINUTES, 10 * MINUTES])
def test_a_snapshot_does_not_wait_for_a_clock_that_was_set(
    dataset: Dataset, reader: Reader, clock: TurnedClock, ahead_s: float
) -> None:
    (dataset.root / "b.png").write_bytes(b"b")
    dataset.status_until(lambda seen: seen["pending"]["since"], "the change is seen")
    clock.set(ahead_s)
    began_s = time.monotonic()
    seen = dataset.status_until(lambda seen: seen["snapshot"]["images"] == 2, "it is published")
    assert time.monotonic() - began_s < 10
    assert reader.objects(seen["snapshot"]["tag"]).keys() >= {"images/a.png", "images/b.png"}
    (dataset.root / "c.png").write_bytes(b"c")
    dataset.status_until(lambda seen: seen["snapshot"]["images"] == 3, "so is what changes afterwards")
    assert [round(event["by_s"] / MINUTES) for event in dataset.daemons[-1].events("clock_was_set")] == [
        ahead_s / MINUTES
    ]


@pytest.mark.parametrize("ahead_s", [-20 * MINUTES, 20 * MINUTES])
def test_a_clock_that_lakefs_does_not_accept_is_named_and_made_good(
    dataset: Dataset, reader: Reader, clock: TurnedClock, ahead_s: float
) -> None:
    """P8: lakeFS says "access denied" to a clock that is fast; syncd says what it is."""
    clock.set(ahead_s)
    (dataset.root / "b.png").write_bytes(b"b")
    failing = dataset.status_until(lambda seen: seen["state"] == "failing", "lakeFS refuses the signature")
    assert "clock" in failing["failure"]
    assert "timedatectl" in failing["failure"]
    with pytest.raises(RemoteError) as refused:
        dataset.snapshot(timeout_s=5)
    assert refused.value.exit_code == EXIT_HELD
    clock.set(0)
    taken = dataset.snapshot(timeout_s=60)
    assert taken["left_out"] == []
    objects = reader.objects(taken["tag"])
    assert {key: body for key, body in objects.items() if key.startswith("images/")} == folder(dataset.root)
