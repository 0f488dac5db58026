"""The folder source on a real file system: what is put in is recorded, what leaves is recorded as absent."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import sha256, watched, write, write_old


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


async def test_what_is_there_at_the_start_is_recorded(root: Path) -> None:
    write(root / "a.jpg", b"a")
    write(root / "cats/1.png", b"cat")
    write(root / "notes.txt", b"not ours")

    async with watched(root) as world:
        assert await world.barrier() == []

        assert world.inventory.contents() == {
            "images/a.jpg": sha256(b"a"),
            "images/cats/1.png": sha256(b"cat"),
        }
        health = world.source.health()
        assert (health.available, health.complete, health.settling) == (True, True, 0)
        assert (health.reason, health.degraded, dict(health.skipped)) == ("", "", {})


@pytest.mark.parametrize("watch", ["auto", "inotify", "polling"])
async def test_adds_changes_and_deletes_are_recorded(root: Path, watch: str) -> None:
    write(root / "a.jpg", b"a")
    write(root / "b.jpg", b"b")
    async with watched(root, watch=watch) as world:
        await world.barrier()

        write(root / "a.jpg", b"a2")
        (root / "b.jpg").unlink()
        write(root / "new/deep/c.jpg", b"c")
        assert await world.barrier() == []

        assert world.inventory.contents() == {
            "images/a.jpg": sha256(b"a2"),
            "images/new/deep/c.jpg": sha256(b"c"),
        }


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_renames_and_moves_of_files_and_folders(root: Path, tmp_path: Path, watch: str) -> None:
    for number in range(5):
        write(root / f"one/deep/{number}.jpg", b"%d" % number)
    write(tmp_path / "outside/tree/x.jpg", b"x")
    async with watched(root, watch=watch) as world:
        await world.barrier()

        (root / "one/deep/0.jpg").rename(root / "zero.jpg")
        (root / "one").rename(root / "two")
        (tmp_path / "outside").rename(root / "inside")
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()

        write(root / "inside/tree/y.jpg", b"y")  # a moved-in folder is watched
        write(root / "two/deep/z.jpg", b"z")  # and a renamed one under its new name
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()

        (root / "inside").rename(tmp_path / "outside")
        write(tmp_path / "outside/tree/w.jpg", b"w")
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()
        assert len(world.recorded) == 6


async def test_a_touch_records_the_new_signature_and_no_change(root: Path) -> None:
    """P7: what did not change costs no more than a read."""
    write(root / "a.jpg", b"a")
    async with watched(root) as world:
        await world.barrier()
        changes, before = len(world.inventory.history), world.inventory.live["images/a.jpg"].signature

        os.utime(root / "a.jpg", (5, 5))
        await world.barrier()

        assert len(world.inventory.history) == changes
        after = world.inventory.live["images/a.jpg"].signature
        assert after is not None
        assert after != before
        assert after.mtime_ns == 5_000_000_000


async def test_one_change_among_many_lists_nothing(root: Path) -> None:
    """P7: hints are paths, so one file among 10,000 costs no listing of the rest."""
    for number in range(2_000):
        write_old(root / f"{number}.jpg")
    async with watched(root) as world:
        await world.barrier()
        listings, records = world.inventory.calls["known_in"], world.inventory.recorded

        write(root / "7.jpg", b"changed")
        await world.barrier()
        (root / "8.jpg").unlink()
        await world.barrier()

        assert world.inventory.calls["known_in"] == listings
        assert world.inventory.recorded - records == 2


async def test_an_unchanged_folder_costs_no_read_after_a_restart(root: Path) -> None:
    for number in range(50):
        write(root / f"d{number % 5}/{number}.jpg")
    inventory = MemoryInventory()
    async with watched(root, inventory) as world:
        await world.barrier()
    records = inventory.recorded

    async with watched(root, inventory) as world:
        await world.barrier()
        assert inventory.recorded == records


async def test_changes_made_while_it_was_down_are_found(root: Path) -> None:
    for number in range(10):
        write(root / f"d/{number}.jpg")
        write(root / f"e/f/{number}.jpg")
    inventory = MemoryInventory()
    async with watched(root, inventory) as world:
        await world.barrier()

    shutil.rmtree(root / "e")
    (root / "d/1.jpg").unlink()
    write(root / "d/2.jpg", b"other")
    write(root / "g/1.jpg", b"g")
    async with watched(root, inventory) as world:
        await world.barrier()
        assert inventory.contents() == world.on_disk()


async def test_a_file_replaced_by_a_folder_and_back(root: Path) -> None:
    write(root / "x.jpg", b"file")
    async with watched(root) as world:
        await world.barrier()

        (root / "x.jpg").unlink()
        write(root / "x.jpg/inner.jpg", b"inner")
        await world.barrier()
        assert world.recorded == {"images/x.jpg/inner.jpg"}

        shutil.rmtree(root / "x.jpg")
        write(root / "x.jpg", b"file again")
        await world.barrier()
        assert world.inventory.contents() == {"images/x.jpg": sha256(b"file again")}


async def test_folders_that_appear_faster_than_watches_lose_nothing(root: Path) -> None:
    """Fault 5: each new folder is watched first and listed afterwards."""
    write(root / "keep.jpg")
    async with watched(root) as world:
        await world.barrier()

        def make_many() -> None:
            for number in range(300):
                write(root / f"n{number}/x/y/{number}.jpg", b"%d" % number)

        await asyncio.to_thread(make_many)
        await world.barrier()

        assert world.inventory.contents() == world.on_disk()
        assert len(world.recorded) == 301


async def test_a_burst_past_all_bounds_loses_nothing(root: Path) -> None:
    """Fault 1: 20,000 files in 400 folders, more than the kernel's queue holds."""
    write(root / "keep.jpg")
    async with watched(root) as world:
        await world.barrier()

        def burst() -> None:
            for directory in range(400):
                (root / f"d{directory}").mkdir()
                for number in range(50):
                    (root / f"d{directory}/{number}.jpg").write_bytes(b"%d" % number)

        await asyncio.to_thread(burst)
        assert await world.barrier() == []

        assert len(world.recorded) == 20_001
