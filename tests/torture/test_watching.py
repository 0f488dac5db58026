"""Watching cannot go blind: under each fault nothing is lost, and it goes on by itself (faults 1 to 6, 9, 12 and 15).

What was recorded is compared with what a plain walk finds, in a process of its own where that must be stopped, or
needs limits and mounts of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset
from tests.support.source_process import needs_namespaces, on_disk, source_process
from tests.support.watching import Watched, in_threads, sha256, watched, write

AT_FDCWD, RENAME_EXCHANGE = -100, 2
LIMITS = "/proc/sys/user"
Times = Callable[[int, int], int]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root / "keep.jpg", b"keep")
    return root


def lost(found: dict[str, Any], root: Path) -> int:
    """How many files are not recorded as they are, or are recorded and not there."""
    there, recorded = on_disk(root), found["contents"]
    return sum(there.get(key) != recorded.get(key) for key in there.keys() | recorded.keys())


def lost_of(world: Watched) -> int:
    there, recorded = world.on_disk(), world.inventory.contents()
    return sum(there.get(key) != recorded.get(key) for key in there.keys() | recorded.keys())


# --- overflow ---------------------------------------------------------------------------------------------------------


async def test_nothing_is_lost_when_the_queue_of_events_overflows(root: Path, figures: Any) -> None:
    """Fault 1, in full also in CI: 20,000 files in 400 directories while the reader stands still."""
    for number in range(400):
        (root / f"d{number}").mkdir()
    async with source_process(root) as source:
        await source.barrier()
        with source.stopped():
            for number in range(20_000):
                (root / f"d{number % 400}/{number}.jpg").write_bytes(b"%d" % number)
        found = await source.barrier()
        assert found["losses"] >= 1  # else the queue did not overflow, and nothing was tried
        assert lost(found, root) == 0
    figures("files created while the reader stands still", 20_000, lost=0, overflows=found["losses"])


def test_the_daemon_makes_up_for_an_overflow_by_itself(
    dataset: Dataset, reader: Reader, times: Times, figures: Any
) -> None:
    """Fault 1, end to end. Most of the files are not synced: they fill the queue, and cost no upload."""
    synced, others = times(200, 2_000), 20_000
    dataset.configure(source={"include": ["*.jpg"]}, snapshot={"quiet_seconds": 0.5})
    write(dataset.root / "0.jpg", b"0")
    daemon = dataset.start()
    dataset.status_until(lambda status: status["snapshot"] and status["snapshot"]["images"] == 1, "a first snapshot")
    daemon.signal(signal.SIGSTOP)
    try:
        for number in range(others):
            (dataset.root / f"{number}.txt").write_bytes(b"")
        for number in range(1, synced):
            (dataset.root / f"{number}.jpg").write_bytes(b"%d" % number)
    finally:
        daemon.signal(signal.SIGCONT)
    status = dataset.status_until(
        lambda status: status["snapshot"]["images"] == synced, "a snapshot of all of them", timeout_s=120
    )
    expected = {key: content for key, content in folder(dataset.root).items() if key.endswith(".jpg")}
    assert_same(reader.objects(status["snapshot"]["tag"]), expected)
    assert {line["why"] for line in daemon.events("events_lost")} == {"the kernel's queue of events overflowed"}
    figures("files synced by the daemon after an overflow", synced, lost=0)


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "small", "sysctl"),
    [
        ("max_inotify_watches", 100, "sysctl fs.inotify.max_user_watches="),
        ("max_inotify_instances", 0, "sysctl fs.inotify.max_user_instances="),
    ],
)
async def test_at_the_systems_limits_nothing_is_lost_and_it_watches_again_once_they_are_raised(
    root: Path, rng: random.Random, figures: Any, limit: str, small: int, sysctl: str
) -> None:
    """Faults 2 and 3."""
    for number in range(300):
        write(root / f"d{number}/x.jpg", rng.randbytes(20))
    unshare = needs_namespaces("-Ur")
    before = f"echo {small} > {LIMITS}/{limit}"
    async with source_process(root, prefix=unshare, before=before, retry_watch_seconds=0.2) as source:
        found = await source.barrier()
        assert sysctl in found["degraded"]
        assert (found["watches"], lost(found, root)) == (False, 0)

        for number in range(0, 300, 3):
            write(root / f"d{number}/new.jpg", rng.randbytes(20))
            (root / f"d{number + 1}/x.jpg").unlink()
        found = await source.barrier()
        assert sysctl in found["degraded"]
        assert lost(found, root) == 0

        await source.ask("write", path=f"{LIMITS}/{limit}", text="100000")
        await source.until(lambda now: now["watches"] and not now["degraded"], "it watches again")
        write(root / "d299/late.jpg", b"late")
        found = await source.barrier()
        assert (found["watches"], found["degraded"], lost(found, root)) == (True, "", 0)
    figures(f"directories at {limit}={small}", 300, lost=0)


def test_the_daemon_at_the_limit_of_watches_is_degraded_and_says_what_to_raise(
    dataset: Dataset, reader: Reader, times: Times, figures: Any
) -> None:
    """Fault 2, end to end; that it recovers takes a minute, and is part of the full run."""
    unshare = needs_namespaces("-Ur")
    dataset.command_prefix = (*unshare, "sh", "-ec", f'echo 100 > {LIMITS}/max_inotify_watches; exec "$@"', "sh")
    for number in range(300):
        write(dataset.root / f"d{number}/x.jpg", b"%d" % number)
    daemon = dataset.start()
    status = dataset.status_until(lambda status: status["sources"][0]["degraded"], "degraded")
    assert "sysctl fs.inotify.max_user_watches=" in status["sources"][0]["degraded"]
    dataset.command_prefix = ()
    assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))
    dataset.status_until(lambda status: status["state"] == "degraded", "the state says so")
    assert "sysctl fs.inotify.max_user_watches=" in dataset.command("status").stdout
    if times(0, 1):
        raised = f"echo 100000 > {LIMITS}/max_inotify_watches"
        subprocess.run(["nsenter", "--user", "--target", str(daemon.pid), "sh", "-ec", raised], check=True)
        dataset.status_until(lambda status: status["state"] == "idle", "it watches again", timeout_s=150)
        assert daemon.events("watching_again")
    assert len(daemon.events("watching_degraded")) == 1
    figures("directories of a daemon that may watch 100", 300, lost=0)


# --- churn ------------------------------------------------------------------------------------------------------------

_CHURN = """
import os, random, shutil, sys
root, rng, tries = sys.argv[1], random.Random(int(sys.argv[2])), int(sys.argv[3])
for number in range(tries):
    place = f"{root}/{rng.randrange(5)}/{rng.randrange(5)}"
    try:
        match rng.randrange(8):
            case 0 | 1 | 2 | 3:
                os.makedirs(place, exist_ok=True)
                with open(f"{place}/{rng.randrange(9)}.jpg", "wb") as file:
                    file.write(b"%d" % number)
            case 4:
                os.rename(place, f"{root}/{rng.randrange(5)}/moved-{rng.randrange(3)}")
            case 5:
                os.rename(os.path.dirname(place), f"{root}/{rng.randrange(5)}")
            case 6:
                os.rename(f"{place}/{rng.randrange(9)}.jpg", f"{root}/{rng.randrange(5)}/{rng.randrange(9)}.jpg")
            case 7:
                shutil.rmtree(rng.choice([place, os.path.dirname(place)]))
    except OSError:
        pass
"""


async def test_three_processes_that_create_rename_and_remove_lose_nothing(
    root: Path, rng: random.Random, times: Times, figures: Any
) -> None:
    """Fault 4: the load under which other watchers' threads died."""
    tries = times(3_000, 100_000)
    async with watched(root) as world:
        await world.barrier()
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", _CHURN, str(root), str(rng.randrange(2**32)), str(tries)
            )
            for _ in range(3)
        ]
        while any(child.returncode is None for child in children):
            await world.barrier()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*(child.wait() for child in children)), 0.05)
        await world.barrier()
        assert lost_of(world) == 0
        assert not world.source.health().degraded
        restarts = world.source.event_losses
        write(root / "late.jpg", b"late")
        await world.until(lambda: "images/late.jpg" in world.recorded)  # by an event: no listing is due
    figures("changes by three processes", 3 * tries, lost=0, restarts=restarts)


async def test_a_killed_reader_is_found_and_replaced(root: Path, times: Times, figures: Any) -> None:
    """Fault 4, with a thread that is really dead; each second time nobody asks for a barrier."""
    deaths = times(4, 100)
    async with source_process(root, probe_seconds=0.2) as source:
        await source.barrier()
        for number in range(deaths):
            before = (await source.look())["losses"]
            await source.ask("kill")
            write(source.root / f"a{number}/unseen-1.jpg", b"%d" % number)
            write(source.root / f"a{number}/unseen-2.jpg", b"%d" % number)
            if number % 2:
                await source.until(lambda now, before=before: now["losses"] > before, "it is found without a barrier")
            found = await source.barrier()
            assert found["losses"] == before + 1
            assert (found["watches"], lost(found, root)) == (True, 0)
    figures("deaths of the reader", deaths, lost=0)


async def test_folders_made_faster_than_they_can_be_watched_lose_nothing(
    root: Path, times: Times, figures: Any
) -> None:
    """Fault 5."""
    tries = times(300, 2_000)
    async with source_process(root) as source:
        await source.barrier()
        for number in range(tries):
            write(root / f"n{number}/x/y/file.jpg", b"%d" % number)
        found = await source.barrier()
        assert (lost(found, root), found["losses"]) == (0, 0)
    figures("mkdir -p and a file", tries, lost=0)


async def test_trees_moved_in_out_and_about_are_followed(
    root: Path, tmp_path: Path, rng: random.Random, times: Times, figures: Any
) -> None:
    """Fault 6: whether or not there is time to look between the moves."""
    moves, outside = times(100, 1_000), tmp_path / "outside"
    for tree in range(8):
        for number in range(6):
            write(outside / f"t{tree}/{number % 3}/{number}.jpg", b"%d %d" % (tree, number))
    async with source_process(root) as source:
        await source.barrier()
        for number in range(moves):
            trees = sorted(root.glob("**/t*/")) + sorted(outside.glob("t*/"))
            tree = rng.choice(trees)
            place = rng.choice([outside, root, root / "a", root / "b/c"])
            place.mkdir(parents=True, exist_ok=True)
            tree.rename(place / f"t{number}-moved")
            if rng.random() < 0.2:
                write(place / f"t{number}-moved/2/new-{number}.jpg", b"%d" % number)
            if rng.random() < 0.3:
                assert lost(await source.barrier(), root) == 0, number
        assert lost(await source.barrier(), root) == 0
    figures("trees moved in, out and about", moves, lost=0)


# --- the root ---------------------------------------------------------------------------------------------------------


def _take_away(root: Path, away: Path, fault: str) -> None:
    if fault == "emptied":
        away.mkdir()
        (root / "all").rename(away / "all")
        return
    root.rename(away)
    if fault == "replaced":
        root.mkdir()
    elif fault == "replaced by a file":
        root.touch()


def _bring_back(root: Path, away: Path, fault: str) -> None:
    if fault == "emptied":
        (away / "all").rename(root / "all")
        away.rmdir()
        return
    if fault == "replaced":
        root.rmdir()
    elif fault == "replaced by a file":
        root.unlink()
    away.rename(root)


@pytest.mark.parametrize("fault", ["vanished", "replaced", "replaced by a file", "emptied"])
async def test_a_root_that_is_not_there_as_it_was_deletes_nothing_and_is_worked_on_when_it_is_back(
    root: Path, tmp_path: Path, rng: random.Random, times: Times, figures: Any, fault: str
) -> None:
    """Fault 12, P5: sometimes it is back before anyone could have noticed."""
    tries, away = times(10, 100), tmp_path / "away"
    (root / "keep.jpg").unlink()
    for number in range(20):
        write(root / f"all/d{number % 4}/{number}.jpg", b"%d" % number)
    async with source_process(root) as source:
        await source.barrier()
        for number in range(tries):
            _take_away(root, away, fault)
            if rng.random() < 0.8:
                await source.until(lambda now: not now["available"], "it says that the folder is not there")
            _bring_back(root, away, fault)
            write(root / f"all/d{number % 4}/again-{number}.jpg", b"%d" % number)
            await source.until(lambda now: now["complete"], "it goes on by itself")
            found = await source.barrier()
            assert (found["absences"], lost(found, root)) == (0, 0), number
    figures(f"roots {fault}", tries, absences=0, lost=0)


@pytest.mark.parametrize("remounted", ["at leisure", "unnoticed"])
async def test_an_unmounted_root_deletes_nothing_and_is_watched_again_when_it_is_mounted(
    root: Path, tmp_path: Path, times: Times, figures: Any, remounted: str
) -> None:
    """Fault 12: "unnoticed" is while the process stands still, with a new file system that has the same numbers."""
    tries, spare, store = times(10, 100), tmp_path / "spare", tmp_path / "store"
    (root / "keep.jpg").unlink()
    spare.mkdir()
    leave = f"rm -rf {store}; cp -a {root} {store}; umount {root} || umount -l {root}"
    back = f"mount -t tmpfs tmpfs {spare}; cp -a {store}/. {spare}; mount --move {spare} {root}"
    same_numbers = 0
    before = f"mount -t tmpfs tmpfs {root}; echo 0 > {root}/0.jpg; mkdir {root}/d"
    async with source_process(root, prefix=needs_namespaces("-Urm"), before=before) as source:
        assert (await source.barrier())["watches"]

        async def inside(script: str) -> None:  # also while it is stopped
            command = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(source.pid), "sh", "-ec", script]
            await asyncio.to_thread(subprocess.run, command, check=True)

        for number in range(tries):
            former = identity_of(source.root)
            if remounted == "unnoticed":
                with source.stopped():
                    await inside(f"{leave}; {back}")
            else:
                await inside(leave)
                await source.until(lambda now: not now["available"], "it says that the folder is not there")
                await inside(back)
            same_numbers += identity_of(source.root) == former
            await source.until(lambda now: now["complete"], "it goes on by itself")
            await source.barrier()
            write(source.root / f"d/again-{number}.jpg", b"%d" % number)
            (source.root / "0.jpg").write_bytes(b"%d" % number)
            found = await source.barrier()
            assert (found["absences"], lost(found, source.root)) == (0, 0), number
    if remounted == "unnoticed":
        assert same_numbers  # else this was not tried
    figures(f"roots unmounted and mounted again, {remounted}", tries, lost=0, same_numbers=same_numbers)


async def test_a_root_that_is_deleted_and_made_again_with_the_same_inode_is_watched(
    root: Path, times: Times, figures: Any
) -> None:
    """Fault 12: ext4 gives the number of a deleted folder to the next one."""
    tries, same_numbers = times(10, 100), 0
    async with source_process(root) as source:
        await source.barrier()
        for number in range(tries):
            former = identity_of(root)
            with source.stopped():
                shutil.rmtree(root)
                write(root / "keep.jpg", b"keep")
            same_numbers += identity_of(root) == former
            await source.barrier()
            write(root / f"new-{number}.jpg", b"%d" % number)
            assert lost(await source.barrier(), root) == 0, number
    figures("roots deleted and made again unnoticed", tries, lost=0, same_numbers=same_numbers)


def identity_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


# --- reading ----------------------------------------------------------------------------------------------------------

_REWRITES = """
import random, sys, time
path, rng, tries = sys.argv[1], random.Random(int(sys.argv[2])), int(sys.argv[3])
for number in range(1, tries + 1):
    content = b"%08d" % number * 40_000
    with open(path, rng.choice(["wb", "r+b"]), buffering=0) as file:
        for start in range(0, len(content), 64_000):
            file.write(content[start : start + 64_000])
    time.sleep(rng.choice([0, 0, 0.005, 0.03]))
"""


async def test_a_file_rewritten_in_place_is_never_recorded_torn(
    root: Path, rng: random.Random, times: Times, figures: Any
) -> None:
    """Fault 9, P2. Its content is one number, over and over: that of no other version."""
    tries = times(1_000, 10_000)
    whole = {sha256(b"%08d" % number * 40_000) for number in range(tries + 1)}
    path = write(root / "torn.jpg", b"%08d" % 0 * 40_000)
    async with watched(root, settle_seconds=0.0) as world:
        await world.barrier()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _REWRITES, str(path), str(rng.randrange(2**32)), str(tries)
        )
        while child.returncode is None:
            await world.barrier(0.2)
        assert child.returncode == 0
        await world.barrier()
        recorded = [found.fingerprint for found in world.inventory.history if found.key == "images/torn.jpg"]
        torn = sum(found is None or found.sha256 not in whole for found in recorded)
        assert (torn, lost_of(world)) == (0, 0)
        assert len(recorded) > tries / 100  # else hardly anything was read while it was rewritten
    figures("rewrites in place of a file that is read", tries, torn=0, recorded=len(recorded))


def _swapping(*pairs: tuple[Path, Path]) -> Callable[[threading.Event], None]:
    """Exchange names, each pair at one stroke, as fast as it goes."""
    libc = ctypes.CDLL(None, use_errno=True)

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            for one, other in pairs:
                names = os.fsencode(one), os.fsencode(other)
                assert libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0, ctypes.get_errno()

    return run


async def test_no_foreign_byte_is_read_through_a_link_that_takes_a_file_s_place(
    root: Path, tmp_path: Path, times: Times, figures: Any
) -> None:
    """Fault 15: of a file, and of a folder on the way to it."""
    tries, secret = times(1_000, 10_000), b"secret"
    write(tmp_path / "outside/x.jpg", secret)
    ours = write(root / "x.jpg", b"ours")
    write(root / "d/x.jpg", b"ours")
    (root / "x.link").symlink_to(tmp_path / "outside/x.jpg")
    (root / "d.link").symlink_to(tmp_path / "outside")
    assert ours.is_file()
    counts = {"read": 0, "refused": 0, "foreign": 0}
    async with watched(root, settle_seconds=0.0) as world:
        await world.barrier()

        def read() -> None:
            while sum(counts.values()) < tries or 0 in {counts["read"], counts["refused"]}:
                for key in ("images/x.jpg", "images/d/x.jpg"):
                    try:
                        with world.source.open(key) as file:
                            counts["read" if file.read() == b"ours" else "foreign"] += 1
                    except OSError:
                        counts["refused"] += 1

        with in_threads(_swapping((ours, root / "x.link"), (root / "d", root / "d.link"))):
            reading = asyncio.create_task(asyncio.to_thread(read))
            while not reading.done():
                await world.barrier(0.2)
            await reading
        recorded = {found.fingerprint.sha256 for found in world.inventory.history if found.fingerprint}
        assert counts["foreign"] == 0
        assert recorded == {sha256(b"ours"), sha256(b"keep")}
    figures("readings of a file that a link takes the place of", sum(counts.values()), **counts)
