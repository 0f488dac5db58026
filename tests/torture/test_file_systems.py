"""Real mounts in namespaces of their own: what tells of changes is watched, what does not is listed (fault 11)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import fuse_mirror
from tests.support.source_process import SourceProcess, needs_namespaces, on_disk, source_process
from tests.support.watching import write

Times = Callable[[int, int], int]
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def same(found: dict[str, Any], source: SourceProcess) -> bool:
    return bool(found["contents"] == on_disk(source.root))


async def inside(source: SourceProcess, script: str) -> None:
    """Run a script as the process sees the world, also while that stands still."""
    command = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(source.pid), "sh", "-ec", script]
    await asyncio.to_thread(subprocess.run, command, check=True)


def change(rng: random.Random, root: Path, number: int) -> None:
    """Do something to a file or a folder, of whichever layer."""
    folder = root / f"d{rng.randrange(12)}/{rng.randrange(3)}"
    path = folder / f"{rng.randrange(6)}.jpg"
    with contextlib.suppress(OSError):  # it may not be there; folders of the lower layer may not be renamed
        match rng.randrange(8):
            case 0 | 1:
                write(path, b"new %d" % number)
            case 2:
                with path.open("r+b") as file:
                    file.write(b"in place %d" % number)
            case 3:
                path.unlink()
            case 4:
                path.rename(root / f"d{rng.randrange(12)}/{rng.randrange(3)}/moved.jpg")
            case 5:
                path.chmod(rng.choice([0o600, 0o644]))
            case 6:
                shutil.rmtree(folder)
            case 7:
                folder.parent.rename(root / f"d{rng.randrange(12)}")


async def test_an_overlay_tells_of_every_change_made_through_it(
    root: Path, tmp_path: Path, rng: random.Random, times: Times, figures: Any
) -> None:
    """The reason why it is watched: also folders that are copied up, and what the kernel had forgotten meanwhile."""
    tries = times(300, 10_000)
    layers = tmp_path / "layers"
    for folder in range(10):
        for number in range(18):
            write(layers / f"lower/d{folder}/{number % 3}/{number // 3}.jpg", b"lower %d" % number)
    above = tmp_path / "above"
    above.mkdir()
    options = f"lowerdir={layers}/lower,upperdir={above}/upper,workdir={above}/work"
    before = f"""
        mount -t tmpfs tmpfs {above}
        mkdir {above}/upper {above}/work
        mount -t overlay overlay -o {options} {root}
    """
    dropped = 0
    async with source_process(root, prefix=needs_namespaces("-Urm"), before=before) as source:
        found = await source.barrier()
        assert (found["watches"], found["degraded"], len(found["contents"])) == (True, "", 180)
        for number in range(tries):
            change(rng, source.root, number)
            if number % max(100, tries // 20) == 0 and os.access(DROP_CACHES, os.W_OK):
                DROP_CACHES.write_text("2")  # entries and inodes that nobody holds
                dropped += 1
            if rng.random() < 0.1:
                assert same(await source.barrier(), source), number
        found = await source.barrier()
        assert same(found, source)
        assert (found["losses"], found["degraded"]) == (0, "")  # all of it by events
    figures("changes of a file system in layers", tries, lost=0, caches_dropped=dropped)


async def test_what_is_mounted_below_the_folder_is_seen_at_once_and_watched(
    root: Path, tmp_path: Path, times: Times, figures: Any
) -> None:
    """No event tells of it, nor, afterwards, of what happens in it; the process stands still meanwhile."""
    tries, store = times(10, 100), tmp_path / "store"
    write(root / "keep.jpg", b"keep")
    (root / "disk").mkdir()
    store.mkdir()
    async with source_process(root, prefix=needs_namespaces("-Urm")) as source:
        await source.barrier()
        await inside(source, f"mount -t tmpfs tmpfs {root}/disk; echo 1 > {root}/disk/1.jpg")
        await source.until(lambda now: now["losses"] == 1, "it is noticed")
        for number in range(tries):
            again = f"cp -a {root}/disk/. {store}; umount -l {root}/disk; mount -t tmpfs tmpfs {root}/disk"
            with source.stopped():
                await inside(source, f"{again}; cp -a {store}/. {root}/disk")
            await source.barrier()
            write(source.root / f"disk/more/{number}.jpg", b"%d" % number)
            found = await source.barrier()
            assert (same(found, source), found["absences"]) == (True, 0), number
    figures("file systems mounted below the folder", tries, lost=0)


async def test_what_is_unmounted_below_the_folder_is_not_taken_for_deleted(
    root: Path, tmp_path: Path, rng: random.Random, times: Times, figures: Any
) -> None:
    """P5, for a part of the folder; deletions elsewhere go on, and so do changes under the place of the mount."""
    tries = times(10, 100)
    disk, spare = root / "disks/one", tmp_path / "spare"
    disk.mkdir(parents=True)
    spare.mkdir()
    fill = f"mkdir {spare}/sub; echo 1 > {spare}/1.jpg; echo 2 > {spare}/sub/2.jpg"
    mount = f"mount -t tmpfs tmpfs {spare}; {fill}; mount --move {spare} {disk}"  # never there without its files
    unshare = needs_namespaces("-Urm")
    for number in range(tries + 1):
        write(root / f"{number}.jpg", b"%d" % number)
    async with source_process(root, prefix=unshare, before=mount) as source:
        await source.barrier()
        kept = {f"images/disks/one/{name}" for name in ("1.jpg", "sub/2.jpg")}
        for number in range(tries):
            await inside(source, f"umount {disk} || umount -l {disk}")
            if rng.random() < 0.8:
                await source.until(lambda now: "disks/one" in now["problems"], "it is named")
            (root / f"{number}.jpg").unlink()
            write(disk / "under.jpg", b"%d" % number)
            await source.ask("barrier")
            found = await source.look()
            assert {"images/disks/one/under.jpg", *kept} <= set(found["contents"])
            assert f"images/{number}.jpg" not in found["contents"]
            (disk / "under.jpg").unlink()
            await inside(source, mount)
            found = await source.barrier()
            assert same(found, source), number
            assert not found["problems"]
            assert kept <= set(found["contents"])
            assert not kept & set(found["absent"]), number
        await inside(source, f"umount {disk} || umount -l {disk}")
        await source.until(lambda now: "disks/one" in now["problems"], "it is named")
        disk.rmdir()
        await source.until(lambda now: "disks/one" not in now["problems"], "the place of the mount is gone for good")
        assert same(await source.barrier(), source)
    figures("file systems unmounted below the folder", tries, absences=0, lost=0)


@pytest.fixture
def mirror(root: Path, tmp_path: Path) -> tuple[Path, str]:
    """A directory, and the commands that show it at the root through a file system in user space."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse cannot be opened here, so this is not tested")
    behind = tmp_path / "behind"
    for number in range(50):
        write(behind / f"d{number % 7}/{number}.jpg", b"%d" % number)
    server = f"{sys.executable} {Path(fuse_mirror.__file__)} {behind} {root}"
    return behind, f"{server} & while ! grep -q {root} /proc/self/mountinfo; do kill -0 $!; sleep 0.05; done"


async def test_a_file_system_that_does_not_tell_of_every_change_is_listed_and_that_is_said(
    root: Path, mirror: tuple[Path, str], rng: random.Random, times: Times, figures: Any
) -> None:
    """Fault 11."""
    tries, (behind, before) = times(100, 1_000), mirror
    async with source_process(root, prefix=needs_namespaces("-Urm"), before=before) as source:
        found = await source.barrier()
        assert found["degraded"] == (
            f"{root} lies on fuse.mirror, which reports no changes made behind it; everything is listed every 0.1 s"
        )
        assert (found["watches"], len(found["contents"])) == (False, 50)
        for number in range(tries):
            change(rng, behind, number)
            if rng.random() < 0.1:
                assert (await source.barrier())["contents"] == on_disk(behind), number
        write(behind / "late.jpg", b"late")
        before_it = (await source.look())["recorded"]
        await source.until(lambda now: now["recorded"] > before_it, "it is noticed without being asked for")
    figures("changes behind a file system in user space", tries, lost=0)


async def test_who_insists_on_events_gets_them_there_as_well(root: Path, mirror: tuple[Path, str]) -> None:
    """And with them their blindness, which is why it must be asked for."""
    behind, before = mirror
    async with source_process(root, prefix=needs_namespaces("-Urm"), before=before, watch="inotify") as source:
        found = await source.barrier()
        assert (found["watches"], found["degraded"], len(found["contents"])) == (True, "", 50)
        write(behind / "late.jpg", b"late")
        assert "images/late.jpg" not in (await source.barrier())["contents"]
