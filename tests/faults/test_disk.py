"""P4, P8: the disk under the journal fails, and descriptors run out: it is said, nothing is lost, and it goes on."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable

import lakefs
import pytest

from tests.acceptance.test_restarts import assert_no_intent_twice, fill
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

FEWEST = 90  # descriptors with which it must work
QUIET = {"quiet_seconds": 0.1}


@pytest.fixture
def injected(dataset: Dataset) -> Callable[[str], None]:
    """Let system calls of the next daemon fail: ``injected("fdatasync:error=EIO:when=7")``."""
    if shutil.which("strace") is None:
        pytest.fail("strace is missing") if os.environ.get("CI") else pytest.skip("strace is missing")

    def inject(what: str) -> None:
        calls = what.partition(":")[0]
        quiet = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}")
        dataset.command_prefix = (*quiet, "-e", f"inject={what}") if what else ()

    return inject


@pytest.mark.parametrize("part", range(4))
def test_a_failed_fsync_ends_it_and_the_next_start_examines_the_journal(
    dataset: Dataset,
    reader: Reader,
    versions: lakefs.Repository,
    rng: random.Random,
    injected: Callable[[str], None],
    part: int,
) -> None:
    """What the kernel could not write it may have forgotten: nothing may be concluded from trying again."""
    dataset.configure(snapshot=QUIET)
    fill(dataset, rng, 60)
    at = 5 + part * 6 + rng.randrange(6)
    injected(f"fdatasync,fsync:error=EIO:when={at}")
    daemon = dataset.start(ready=False)
    number = 0

    def ended() -> bool:
        nonlocal number
        number += 1
        (dataset.root / f"more-{number}.png").write_bytes(b"%d" % number)
        return daemon.exit_code is not None

    until(ended, f"the {at}th fsync of a thread fails", timeout_s=60)
    assert daemon.exit_code == 1, daemon.log()
    assert "disk I/O error" in daemon.log()
    injected("")
    dataset.start()
    answer = dataset.snapshot()
    assert_same(reader.objects(answer["tag"]), folder(dataset.root))
    assert_no_intent_twice(versions)
    assert not list(dataset.state_dir.glob("*.damaged-*")), "it was sound"
    assert not (dataset.state_dir / "journal.db.suspect").exists()


@pytest.mark.parametrize("limit", [50, 70, 90])
def test_few_descriptors_slow_it_down_or_are_named(
    dataset: Dataset, reader: Reader, rng: random.Random, limit: int
) -> None:
    dataset.configure(snapshot=QUIET, upload={"concurrency": 64})
    for number in range(300):
        file = dataset.root / f"{number % 20}" / "deep" / f"{number}.png"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(rng.randbytes(3_000_000 if number % 100 == 0 else 300))
    dataset.command_prefix = ("prlimit", f"--nofile={limit}:{limit}")
    daemon = dataset.start(ready=False)
    until(lambda: daemon.exit_code is not None or daemon.events("snapshot_published"), "an end", timeout_s=60)
    if daemon.exit_code is not None:
        assert daemon.exit_code != 0
        assert "Traceback" not in daemon.log()
        assert "LimitNOFILE" in daemon.log()
        assert limit < FEWEST
    else:
        daemon.stop()
        assert daemon.events("fewer_uploads_at_once")
    dataset.command_prefix = ()
    dataset.start()
    answer = dataset.snapshot()
    assert_same(reader.objects(answer["tag"]), folder(dataset.root))
