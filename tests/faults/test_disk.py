"""P4, P8: the disk under the journal fails, and descriptors run out: it is said, nothing is lost, and it goes on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lakefs
import pytest

from tests.acceptance.test_restarts import assert_no_intent_twice, fill
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until
from tests.support.labels import CsvLabels, configure, put
from tests.support.machine_needs import need
from tests.support.small_disk import SmallDisk

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

FEWEST = 90  # descriptors with which it must work
QUIET = {"quiet_seconds": 0.1}


@pytest.fixture
def injected(dataset: Dataset) -> Callable[[str], None]:
    """Let system calls of the next daemon fail: ``injected("fdatasync:error=EIO:when=7")``."""
    need(["strace"], packages="strace")

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


@pytest.fixture
def disk(dataset: Dataset) -> Iterator[SmallDisk]:
    """The state directory's own, which the daemon and the commands see; of few inodes and enough bytes."""
    if not SmallDisk.possible():
        pytest.skip("needs root, to mount a disk of few inodes")
    dataset.state_dir.mkdir()
    small = SmallDisk(dataset.state_dir, "16m", inodes=60)
    dataset.command_prefix = ("nsenter", f"--mount=/proc/{small.pid}/ns/mnt")
    dataset.state_dir = small.folder
    yield small
    dataset.close()
    small.close()


def test_a_disk_with_no_inode_left_is_named_and_it_goes_on_once_there_are_some(
    dataset: Dataset, reader: Reader, versions: lakefs.Repository, disk: SmallDisk, tmp_path: Path
) -> None:
    """What was open goes on being written, no new file can be made: the list of what does not fit is one."""
    csv_labels = CsvLabels(tmp_path)
    configure(dataset, csv_labels, "warn")
    put(dataset, "1.png")
    csv_labels.write({"1": "1.png"})
    daemon = dataset.start()
    before = dataset.snapshot()["tag"]

    disk.use_up_inodes()
    put(dataset, "2.png")
    csv_labels.write({"1": "1.png", "2": "2.png", "3": "3.png"})
    with ThreadPoolExecutor(1) as beside:
        calling = beside.submit(dataset.command, "snapshot", "--timeout", "5")
        # once nobody asks any more, there is nothing to do that could fail
        status = dataset.status_until(lambda seen: seen["state"] == "failing", "it says so while it tries")
        failed = calling.result()
    assert "No space left on device" in status["failure"]
    assert failed.returncode == 1
    assert f"df -i {dataset.directory / 'state'}" in failed.stderr
    assert dataset.status()["snapshot"]["tag"] == before

    disk.make_room()
    dataset.status_until(lambda seen: seen["state"] != "failing", "it goes on by itself")
    objects = reader.objects(dataset.snapshot()["tag"])
    assert b'"image": "images/3.png"' in objects.pop("tables/labels/_closure.json")
    assert objects.pop("tables/labels.csv") == (tmp_path / "labels.csv").read_bytes()
    assert_same(objects, folder(dataset.root))
    assert_no_intent_twice(versions)
    assert daemon.exit_code is None


def test_a_start_with_no_inode_left_says_so_and_the_next_one_goes_on(
    dataset: Dataset, reader: Reader, disk: SmallDisk
) -> None:
    put(dataset, "1.png")
    dataset.configure()
    dataset.start()
    dataset.snapshot()
    dataset.daemons[-1].stop()
    disk.use_up_inodes()
    daemon = dataset.start(ready=False)
    assert daemon.wait() == 1
    assert "inodes" in daemon.log()
    assert f"df -i {dataset.directory / 'state'}" in daemon.log()
    assert "Traceback" not in daemon.log()

    disk.make_room()
    put(dataset, "2.png")
    dataset.start()
    assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))
    assert not list(disk.folder.glob("*.damaged-*"))
