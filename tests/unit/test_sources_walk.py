"""A listing while the folder changes under it: what vanishes and comes back at the wrong moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.model import Signature
from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import watched, write


class Meddling(MemoryInventory):
    """Changes the folder at the moment when a listing asks for what is known: in the middle of it."""

    def __init__(self) -> None:
        super().__init__()
        self.before_known_in: dict[str, Callable[[], object]] = {}
        self.after_known_in: dict[str, Callable[[], object]] = {}  # all but the last name have been compared by then
        self.found_gone: Callable[[], object] | None = None  # once directories are known to be gone

    def known_in(self, directory: str) -> Iterator[tuple[str, Signature]]:
        if meddle := self.before_known_in.pop(directory, None):
            meddle()
        yield from super().known_in(directory)
        if meddle := self.after_known_in.pop(directory, None):
            meddle()

    def known_directories(self, below: str) -> Iterator[str]:
        yield from super().known_directories(below)  # by its end, a listing has looked at each of them
        self._meddle()

    def known_below(self, directory: str) -> Iterator[str]:
        found = list(super().known_below(directory))
        self._meddle()
        yield from found

    def _meddle(self) -> None:
        meddle, self.found_gone = self.found_gone, None
        if meddle is not None:
            meddle()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root / "keep.jpg")
    return root


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_a_directory_that_comes_back_during_a_listing_is_listed(root: Path, watch: str) -> None:
    """P1: it was not there when its parent was listed, and is when those that are gone are looked for."""
    inventory = Meddling()
    write(root / "a/b/old.jpg")
    async with watched(root, inventory, watch=watch, poll_seconds=3600) as world:
        await world.barrier()
        assert world.recorded == {"images/keep.jpg", "images/a/b/old.jpg"}

        shutil.rmtree(root / "a")
        inventory.before_known_in["images/"] = lambda: write(root / "a/b/new.jpg")
        world.source.request_rescan()
        await world.barrier()

        assert "images/a/b/old.jpg" not in world.recorded
        await world.barrier()
        assert world.recorded == {"images/keep.jpg", "images/a/b/new.jpg"}


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_a_directory_that_comes_back_before_it_is_recorded_as_gone_is_listed(root: Path, watch: str) -> None:
    """P1: found to be gone, there again when that is about to be recorded, and with another content."""
    inventory = Meddling()
    write(root / "a/old.jpg")
    async with watched(root, inventory, watch=watch, poll_seconds=3600) as world:
        await world.barrier()
        inventory.found_gone = lambda: write(root / "a/new.jpg")
        (root / "a").rename(root.with_name("elsewhere"))
        await world.barrier()

        assert inventory.found_gone is None
        assert "images/a/old.jpg" not in world.recorded
        await world.barrier()
        assert world.recorded == {"images/keep.jpg", "images/a/new.jpg"}


@pytest.mark.parametrize("what", ["the file", "its directory", "a directory in its place"])
async def test_a_file_that_differs_and_is_gone_when_it_is_looked_at_is_recorded_as_gone(root: Path, what: str) -> None:
    """P1: what a listing found to be other than known is not as it was, whatever became of it meanwhile."""
    inventory = Meddling()
    for name in ("changed.jpg", "same.jpg"):
        write(root / "a" / name)

    def meddle() -> None:
        if what == "its directory":
            shutil.rmtree(root / "a")
            return
        (root / "a/changed.jpg").unlink()
        if what == "a directory in its place":
            write(root / "a/changed.jpg/other.txt")

    async with watched(root, inventory, watch="polling", poll_seconds=3600) as world:
        await world.barrier()
        assert "images/a/changed.jpg" in world.recorded
        write(root / "a/changed.jpg", b"another content")
        inventory.after_known_in["images/a/"] = meddle
        await world.barrier()
        assert not inventory.after_known_in
        assert "images/a/changed.jpg" not in world.recorded


def changed(root: Path) -> None:
    write(root / "a/2.jpg", b"another content")


def added(root: Path) -> None:
    write(root / "a/new.jpg")


def removed(root: Path) -> None:
    (root / "a/2.jpg").unlink()


def replaced_by_a_link(root: Path) -> None:
    (root / "a/2.jpg").unlink()
    (root / "a/2.jpg").symlink_to("1.jpg")


def put_back(root: Path) -> None:
    status = (root / "a/2.jpg").stat()
    write(root / "a/2.jpg", b"other")
    os.utime(root / "a/2.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))


def directory_added(root: Path) -> None:
    write(root / "a/deeper/new.jpg")


def left_out(root: Path) -> None:
    write(root / ".syncdignore", b"2.jpg\n")


CHANGES = [changed, added, removed, replaced_by_a_link, put_back, directory_added, left_out]


@pytest.mark.parametrize("change", CHANGES)
async def test_directories_that_are_as_they_were_are_compared_in_one_step_and_others_file_by_file(
    root: Path, change: Callable[[Path], None]
) -> None:
    """P1: what a listing skips is as known, whatever the change; nothing that changed is skipped."""
    inventory = MemoryInventory()
    for name in ("1.jpg", "2.jpg", "other.txt"):
        write(root / "a" / name)
        write(root / "b" / name)
    async with watched(root, inventory, watch="polling", poll_seconds=3600) as world:
        await world.barrier()  # all is new
        await world.barrier()  # all is as known, file by file
        inventory.listed.clear()
        await world.barrier()
        assert inventory.listed == []

        change(root)
        await world.barrier()
        await world.barrier()
        expected = {
            f"images/{path.relative_to(root)}"
            for path in root.rglob("*.jpg")
            if not path.is_symlink() and (change is not left_out or path.name != "2.jpg")
        }
        assert world.recorded == expected
        if change not in {left_out, directory_added}:
            assert "images/a/" in inventory.listed
            assert "images/b/" not in inventory.listed


async def test_a_directory_without_files_is_not_remembered(root: Path) -> None:
    """What is remembered goes with the last file of a directory; of one that never had any it would stay for good."""
    inventory = MemoryInventory()
    write(root / "above/a/1.jpg")
    write(root / "emptied/1.jpg")
    (root / "empty").mkdir()
    async with watched(root, inventory, watch="polling", poll_seconds=3600) as world:
        await world.barrier()
        (root / "emptied/1.jpg").unlink()
        await world.barrier()
        await world.barrier()
    directories = ["images/", "images/above/", "images/above/a/", "images/emptied/", "images/empty/"]
    assert [at for at in directories if inventory.listed_as(at) is not None] == ["images/", "images/above/a/"]
