"""Two daemons, with state directories of their own, on one staging branch of a real lakeFS (P9, P8)."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

import lakefs
import pytest

from syncd.errors import EXIT_HELD
from tests.support.comparing import Reader, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

LASTS_S = 4.0


@pytest.fixture
def pair(make_dataset: Callable[..., Dataset]) -> tuple[Dataset, Dataset]:
    """Two folders with other images, for the same branch."""
    both = make_dataset(name="first", lease_seconds=LASTS_S), make_dataset(name="second", lease_seconds=LASTS_S)
    for number, dataset in enumerate(both):
        dataset.configure(snapshot={"quiet_seconds": 0.2})
        (dataset.root / f"{number}.png").write_bytes(b"%d" % number)
    return both


def images(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {key: body for key, body in objects.items() if key.startswith("images/")}


def test_the_second_is_told_who_writes_and_goes_on_when_the_first_is_stopped(
    pair: tuple[Dataset, Dataset], reader: Reader
) -> None:
    first, second = pair
    daemon = first.start()
    before = first.snapshot()["tag"]
    second.start()
    failing = second.status_until(lambda seen: "another syncd writes" in seen["failure"], "it says who")
    assert f"process {daemon.pid} on {socket.gethostname()}, since 20" in failing["failure"]
    assert "stop that one" in failing["failure"]
    refused = second.command("snapshot", "--timeout", "1")
    assert refused.returncode == EXIT_HELD
    assert "another syncd writes to the branch" in refused.stderr
    assert images(reader.objects("main")) == folder(first.root)
    daemon.stop()
    second.status_until(lambda seen: seen["snapshot"] and not seen["failure"], "it goes on")
    assert images(reader.objects(second.snapshot()["tag"])) == folder(second.root)
    assert images(reader.objects(before)) == folder(first.root)


def test_one_that_was_killed_is_followed_when_its_lease_has_run_out(
    pair: tuple[Dataset, Dataset], reader: Reader
) -> None:
    first, second = pair
    first.start()
    first.snapshot()
    first.daemons[-1].kill()
    second.start()
    second.status_until(lambda seen: "another syncd writes" in seen["failure"], "the lease holds for a while")
    second.status_until(lambda seen: seen["snapshot"] and not seen["failure"], "it is taken over")
    assert images(reader.objects(second.snapshot()["tag"])) == folder(second.root)


def test_one_that_was_frozen_writes_nothing_once_it_wakes(
    pair: tuple[Dataset, Dataset], reader: Reader, versions: lakefs.Repository
) -> None:
    """It stops before its next effect, says so, and takes nothing back while the other one lives."""
    first, second = pair
    daemon = first.start()
    first.snapshot()
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        second.start()
        second.status_until(lambda seen: seen["snapshot"] and not seen["failure"], "it is taken over")
        (first.root / "late.png").write_bytes(b"late")
        theirs = second.snapshot()["tag"]
        head = versions.branch("main").get_commit().id
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    first.status_until(lambda seen: "another syncd writes" in seen["failure"], "it notices")
    assert versions.branch("main").get_commit().id == head
    assert images(reader.objects(theirs)) == folder(second.root)
    assert not list(versions.branch("syncd-staging").uncommitted())
    second.daemons[-1].stop()
    until(lambda: "images/late.png" in reader.objects("main"), "the first goes on", timeout_s=30)
    assert images(reader.objects(first.snapshot()["tag"])) == folder(first.root)
