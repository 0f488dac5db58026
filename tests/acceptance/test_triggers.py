"""Each trigger makes its snapshot, and none is made without one."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


def tags(dataset: Dataset) -> list[dict]:
    """The snapshots so far, the newest first."""
    return dataset.json_of("log")


def trickle(dataset: Dataset, until_event) -> None:
    """Write a file every now and then, never leaving it quiet, until something has happened."""
    for number in itertools.count():
        (dataset.root / f"{number:05}.png").write_bytes(b"x")
        deadline = time.monotonic() + 0.15
        if until_event():
            return
        until(lambda moment=deadline: time.monotonic() >= moment, "a moment passes")
        assert number < 200, "it never came"


def test_quiet(dataset: Dataset, reader: Reader) -> None:
    dataset.configure(snapshot={"quiet_seconds": 0.5})
    daemon = dataset.start()
    (dataset.root / "a.png").write_bytes(b"a")
    (made,) = daemon.wait_for_event("snapshot_published")
    assert made["trigger"] == "quiet"
    assert_same(reader.objects(made["tag"]), folder(dataset.root))


def test_max_wait_under_a_steady_trickle(dataset: Dataset) -> None:
    """A stream that is never quiet is snapshotted all the same."""
    dataset.configure(snapshot={"quiet_seconds": 5, "max_wait_seconds": 1.5})
    daemon = dataset.start()
    trickle(dataset, lambda: len(daemon.events("snapshot_published")) >= 2)
    assert [made["trigger"] for made in daemon.events("snapshot_published")][:2] == ["max_wait", "max_wait"]


def test_max_changes(dataset: Dataset) -> None:
    dataset.configure(snapshot={"max_changes": 20})
    daemon = dataset.start()
    for number in range(19):
        (dataset.root / f"{number}.png").write_bytes(b"x")
    dataset.status_until(lambda seen: seen["pending"]["uncommitted"] == 19, "all are staged")
    assert daemon.events("snapshot_published") == []
    (dataset.root / "twentieth.png").write_bytes(b"x")
    (made,) = daemon.wait_for_event("snapshot_published")
    assert (made["trigger"], made["added"]) == ("max_changes", 20)


def test_the_schedule(dataset: Dataset) -> None:
    """Every two seconds: cron expressions may have a field for seconds in front."""
    dataset.configure(snapshot={"schedule": "*/2 * * * * *"})
    daemon = dataset.start()
    for name in ("a.png", "b.png"):
        count = len(daemon.events("snapshot_published"))
        (dataset.root / name).write_bytes(b"x")
        *_, made = daemon.wait_for_event("snapshot_published", count=count + 1)
        assert made["trigger"] == "schedule"
        assert made["tag"][len("snap-20261122T12000") - 1] in "0123456789"


def test_snapshots_keep_their_distance_but_a_request_does_not_wait(dataset: Dataset) -> None:
    dataset.configure(snapshot={"quiet_seconds": 0.1, "min_interval_seconds": 3600})
    daemon = dataset.start()
    (dataset.root / "a.png").write_bytes(b"a")
    daemon.wait_for_event("snapshot_published")
    (dataset.root / "b.png").write_bytes(b"b")
    waiting = dataset.status_until(
        lambda seen: seen["state"] == "waiting" and "due in" in seen["why"], "it is staged, and waits"
    )
    assert waiting["pending"]["uncommitted"] == 1
    assert dataset.snapshot()["trigger"] == "request"
    assert len(tags(dataset)) == 2


def test_nothing_is_committed_that_nobody_asked_for(dataset: Dataset) -> None:
    """P7: no trigger, no snapshot; and a request on an unchanged folder returns the newest one."""
    (dataset.root / "a.png").write_bytes(b"a")
    daemon = dataset.start()
    dataset.status_until(lambda seen: seen["pending"]["uncommitted"] == 1, "it is staged")
    assert daemon.events("snapshot_published") == []
    first = dataset.snapshot()
    assert dataset.snapshot()["tag"] == first["tag"]
    assert len(daemon.events("snapshot_published")) == 1
