"""A root that is missing, replaced or empty never deletes anything, and is worked on again once it is back (P5)."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.errors import SourceUnavailableError
from syncd.model import Observation
from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import in_threads, make, now, sha256, watched, write, write_old


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for number in range(5):
        write(root / f"d/{number}.jpg", b"%d" % number)
    return root


async def test_a_root_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "later"
    async with watched(root) as world:
        with pytest.raises(SourceUnavailableError, match="does not exist"):
            await world.barrier()
        health = world.source.health()
        assert not health.available
        assert "does not exist" in health.reason
        assert world.inventory.codes() == {".": "source-unavailable"}

        write(root / "a.jpg", b"a")
        await world.until(lambda: world.source.health().available)
        await world.barrier()
        assert world.inventory.contents() == {"images/a.jpg": sha256(b"a")}
        assert world.inventory.codes() == {}


async def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    async with watched(write(tmp_path / "file")) as world:
        with pytest.raises(SourceUnavailableError, match="is not a folder"):
            await world.barrier()


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_a_root_that_vanishes_deletes_nothing(root: Path, tmp_path: Path, watch: str) -> None:
    async with watched(root, watch=watch) as world:
        await world.barrier()
        before = world.inventory.contents()

        root.rename(tmp_path / "elsewhere")
        await world.until(lambda: not world.source.health().available)
        with pytest.raises(SourceUnavailableError):
            await world.barrier()
        assert not world.source.health().complete
        assert world.inventory.contents() == before

        (tmp_path / "elsewhere").rename(root)
        write(root / "d/new.jpg", b"new")
        await world.until(lambda: world.source.health().available)
        await world.barrier()
        write(root / "d/newer.jpg", b"newer")
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()
        assert len(world.recorded) == 7


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_an_empty_folder_in_its_place_deletes_nothing(root: Path, tmp_path: Path, watch: str) -> None:
    """Fault 12: so does an unmounted disk look."""
    async with watched(root, watch=watch) as world:
        await world.barrier()
        before = world.inventory.contents()

        root.rename(tmp_path / "elsewhere")
        root.mkdir()
        await world.until(lambda: "is empty" in world.source.health().reason)
        with pytest.raises(SourceUnavailableError, match="is empty"):
            await world.barrier()
        assert world.inventory.contents() == before

        root.rmdir()
        (tmp_path / "elsewhere").rename(root)
        await world.until(lambda: world.source.health().complete)
        assert world.inventory.contents() == before


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_a_folder_emptied_in_place_keeps_what_was_not_seen_to_go_one_by_one(root: Path, watch: str) -> None:
    async with watched(root, watch=watch) as world:
        await world.barrier()
        before = world.inventory.contents()

        (root / "d").rename(root.parent / "away")
        with pytest.raises(SourceUnavailableError, match="is empty"):
            await world.barrier()
        assert world.inventory.contents() == before

        (root.parent / "away/0.jpg").rename(root / "0.jpg")
        await world.until(lambda: world.source.health().complete)
        await world.barrier()
        assert world.recorded == {"images/0.jpg"}  # one file is there: now the rest is gone


async def test_an_empty_folder_of_which_nothing_is_known_is_fine(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "empty").mkdir()
    async with watched(root) as world:
        assert await world.barrier() == []
        (root / "empty").rmdir()
        assert await world.barrier() == []
        assert world.source.health().complete


async def test_another_folder_in_its_place_is_listed_anew(root: Path, tmp_path: Path) -> None:
    async with watched(root) as world:
        await world.barrier()
        root.rename(tmp_path / "elsewhere")
        write(root / "other.jpg", b"other")
        await world.until(lambda: "images/other.jpg" in world.recorded)
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()
        write(root / "late.jpg", b"late")
        write(tmp_path / "elsewhere/d/ghost.jpg", b"ghost")
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()


async def test_one_pass_without_a_watcher(root: Path) -> None:
    world = make(root)
    assert await world.source.scan_once(now() + timedelta(seconds=20)) == []
    assert world.inventory.contents() == world.on_disk()

    shutil.rmtree(root / "d")
    write(root / "x.jpg")
    assert await world.source.scan_once(now() + timedelta(seconds=20)) == []
    assert world.recorded == {"images/x.jpg"}

    (root / "x.jpg").unlink()
    with pytest.raises(SourceUnavailableError, match="is empty"):
        await world.source.scan_once(now() + timedelta(seconds=20))
    assert world.recorded == {"images/x.jpg"}


class SlowInventory(MemoryInventory):
    """Takes its time for each transaction, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._one_writes = asyncio.Lock()

    async def record(self, found: Sequence[Observation]) -> None:
        async with self._one_writes:
            await asyncio.sleep(0.3)
            await super().record(found)


async def test_one_pass_takes_what_it_takes_and_waits_no_longer_than_asked_for_what_still_changes(root: Path) -> None:
    """P8: a first pass over very many files is not cut off by the patience for those that still change."""
    for number in range(4_000):  # eight transactions, far longer than the patience below
        write_old(root / f"many/{number}.jpg", b"%d" % number)
    world = make(root, SlowInventory(), settle_seconds=0.02)
    begun_s = asyncio.get_running_loop().time()
    assert await world.source.scan_once(now() + timedelta(seconds=1.5)) == []  # five transactions long
    assert asyncio.get_running_loop().time() - begun_s > 2.25, "else this shows nothing"
    assert world.inventory.contents() == world.on_disk()

    def keep_changing(stop: threading.Event) -> None:
        while not stop.wait(0.005):
            write(root / "busy.jpg", os.urandom(8))

    with in_threads(keep_changing):
        await world.until((root / "busy.jpg").exists)
        left_out = await world.source.scan_once(now() + timedelta(seconds=0.4))
    assert [one.path for one in left_out] == ["busy.jpg"]


async def test_one_pass_over_a_missing_root_says_so(tmp_path: Path) -> None:
    world = make(tmp_path / "nothing", MemoryInventory())
    with pytest.raises(SourceUnavailableError, match="does not exist"):
        await world.source.scan_once(now() + timedelta(seconds=20))


async def test_a_part_that_was_mounted_and_is_not_any_more_is_kept_until_its_place_is_removed(root: Path) -> None:
    """P5, for a part of the folder; real mounts are in tests/torture/test_file_systems.py."""
    write(root / "disk/a.jpg")
    write(root / "disk/sub/b.jpg")
    async with watched(root) as world:
        assert await world.barrier() == []
        before = world.recorded
        world.source._mounted.add("disk/")  # as if something had been mounted there

        shutil.rmtree(root / "disk/sub")
        (root / "disk/a.jpg").unlink()
        (root / "d/1.jpg").unlink()
        left_out = await world.barrier()
        assert [found.path for found in left_out] == ["disk"]
        assert "Mount it again" in left_out[0].reason
        assert world.recorded == before - {"images/d/1.jpg"}
        world.source.request_rescan()
        await world.barrier()
        assert world.recorded == before - {"images/d/1.jpg"}
        assert world.inventory.codes() == {"disk": "unreadable"}

        (root / "disk").rmdir()
        assert await world.barrier() == []
        assert world.inventory.contents() == world.on_disk()
        assert world.inventory.codes() == {}


async def test_a_watcher_without_a_place_for_cookies_is_not_taken_for_dead(root: Path) -> None:
    async with watched(root, cookie_dir=None, probe_seconds=0.01) as world:
        await world.until(lambda: world.source.health().complete)
        for number in range(5):
            write(root / f"d/new-{number}.jpg")
            await world.until(lambda number=number: f"images/d/new-{number}.jpg" in world.recorded)  # type: ignore[misc]
        assert world.source.event_losses == 0
