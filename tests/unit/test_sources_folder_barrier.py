"""The barrier (P1) and the reading (P2) under load, and what is said when time is short."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from syncd.errors import JournalError, SourceUnavailableError
from syncd.model import Observation, Signature
from syncd.sources.watcher import COOKIE_SECONDS, Watcher
from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import in_threads, sha256, watched, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root / "keep.jpg", b"keep")
    return root


def churn(root: Path, name: str, seed: int) -> Callable[[threading.Event], None]:
    """Create, rename and remove files and folders below a folder of one's own."""

    def run(stop: threading.Event) -> None:
        rng = random.Random(seed)
        top = root / name
        while not stop.is_set():
            place = top / f"{rng.randrange(6)}/{rng.randrange(3)}"
            with contextlib.suppress(OSError):
                match rng.randrange(5):
                    case 0 | 1 | 2:
                        write(place / f"{rng.randrange(20)}.jpg", rng.randbytes(rng.randrange(2000)))
                    case 3:
                        place.parent.rename(top / str(rng.randrange(6)))
                    case _:
                        shutil.rmtree(place.parent)
            stop.wait(0.001)

    return run


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_the_barrier_sees_everything_from_before_the_call_under_load(root: Path, watch: str) -> None:
    """P1: 200 tries, while other threads create, rename and remove all around."""
    rng = random.Random(1)
    tries = 200 if watch == "auto" else 20
    mine: dict[str, bytes] = {}
    async with watched(root, watch=watch) as world:
        await world.barrier()
        with in_threads(churn(root, "noise-1", 1), churn(root, "noise-2", 2)):
            for number in range(tries):
                gone = rng.sample(sorted(mine), min(len(mine), rng.randrange(3)))
                for path in gone:
                    (root / path).unlink()
                    del mine[path]
                for index in range(rng.randrange(4)):
                    path = f"mine/{rng.randrange(9)}/{rng.randrange(4)}/{index}.jpg"
                    mine[path] = rng.randbytes(50)
                    write(root / path, mine[path])
                if rng.randrange(4) == 0 and (root / "mine/1").exists():
                    target = f"mine/moved-{number}"
                    (root / "mine/1").rename(root / target)
                    for path in [path for path in mine if path.startswith("mine/1/")]:
                        mine[path.replace("mine/1", target)] = mine.pop(path)

                left_out = await world.barrier()

                assert [found.path for found in left_out if found.path.startswith("mine/")] == []
                recorded = world.inventory.contents()
                here = {key for key in recorded if key.startswith("images/mine/")}
                assert here == {f"images/{path}" for path in mine}, number
                assert all(recorded[f"images/{path}"] == sha256(content) for path, content in mine.items())
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()


async def test_rewriting_in_place_never_gives_a_torn_fingerprint(root: Path) -> None:
    """P2, fault 9: what is recorded is always one of the versions that were whole."""
    path = root / "torn.jpg"
    versions = [bytes([value]) * 300_000 for value in range(8)]
    whole = {sha256(version) for version in versions}

    def rewrite(stop: threading.Event) -> None:
        rng = random.Random(3)
        while not stop.is_set():
            version = rng.choice(versions)
            with path.open("wb") as file:
                for start in range(0, len(version), 50_000):
                    file.write(version[start : start + 50_000])
                    file.flush()
            stop.wait(rng.choice([0.0, 0.02, 0.1]))

    async with watched(root, settle_seconds=0.02) as world:
        with in_threads(rewrite):
            for _ in range(60):
                await world.barrier(0.1)
        await world.barrier()
        seen = [found for found in world.inventory.history if found.key == "images/torn.jpg"]
        assert seen
        assert all(found.fingerprint is not None and found.fingerprint.sha256 in whole for found in seen)


async def test_a_writer_that_stalls_is_waited_for(root: Path) -> None:
    """Fault 8: the file is older than the settle time, but a program has it open for writing."""
    async with watched(root) as world:
        await world.barrier()
        with (root / "slow.jpg").open("wb") as file:
            file.write(b"first half, ")
            file.flush()
            left_out = await world.barrier(0.5)
            assert [(found.path, found.reason) for found in left_out] == [("slow.jpg", "open for writing in a program")]
            assert "images/slow.jpg" not in world.recorded
            file.write(b"second half")
        assert await world.barrier() == []
        assert world.inventory.contents()["images/slow.jpg"] == sha256(b"first half, second half")


async def test_a_file_still_changing_at_the_deadline_is_left_out_by_name(root: Path) -> None:
    write(root / "keep.jpg", b"keep")
    async with watched(root, settle_seconds=60.0) as world:
        left_out = await world.barrier(1.0)
        assert [(found.path, found.reason) for found in left_out] == [("keep.jpg", "still changing")]


async def test_changes_after_the_call_do_not_prolong_it(root: Path) -> None:
    async with watched(root, settle_seconds=0.5) as world:
        await world.barrier()
        loop = asyncio.get_running_loop()
        write(root / "before.jpg")
        started = loop.time()
        waiting = asyncio.create_task(world.barrier())
        await world.until(lambda: world.source.health().settling > 0)

        def keep_adding(stop: threading.Event) -> None:
            number = 0
            while not stop.is_set():
                write(root / f"after-{number % 500}.jpg", b"%d" % number)
                number += 1
                stop.wait(0.01)

        with in_threads(keep_adding):
            assert await waiting == []
        assert loop.time() - started < 1.5
        assert "images/before.jpg" in world.recorded


async def test_editors_saving_leave_one_version_and_no_temporary_file(root: Path) -> None:
    """Fault 7: the sequences of vim, gedit, VS Code, rsync and a browser's download."""
    photo = write(root / "photo.jpg", b"old")
    async with watched(root, include=["*"]) as world:
        await world.barrier()

        write(root / "4913").unlink()  # vim
        write(root / ".photo.jpg.swp", b"swap")
        photo.rename(root / "photo.jpg~")
        write(photo, b"vim")
        (root / ".photo.jpg.swp").unlink()
        await world.barrier()
        assert world.inventory.contents() == {
            "images/photo.jpg": sha256(b"vim"),
            "images/keep.jpg": sha256(b"keep"),
        }

        write(root / ".goutputstream-AB12CD", b"gedit").rename(photo)
        with photo.open("r+b") as file:  # VS Code
            file.truncate()
            file.write(b"code")
        write(root / ".photo.jpg.aB3dE9", b"rsync").rename(root / "synced.jpg")
        write(root / "download.jpg.crdownload", b"browser").rename(root / "download.jpg")
        write(root / "left.jpg.part", b"partial")
        await world.barrier()
        assert world.inventory.contents() == {
            "images/photo.jpg": sha256(b"code"),
            "images/keep.jpg": sha256(b"keep"),
            "images/synced.jpg": sha256(b"rsync"),
            "images/download.jpg": sha256(b"browser"),
        }


async def test_files_that_vanish_before_they_are_read_leave_nothing(root: Path) -> None:
    """Fault 10."""
    async with watched(root, settle_seconds=0.02) as world:
        await world.barrier()

        def flash(stop: threading.Event) -> None:
            number = 0
            while not stop.is_set():
                write(root / f"d{number % 7}/{number % 40}.jpg", b"%d" % number).unlink(missing_ok=True)
                number += 1

        with in_threads(flash, flash):
            for _ in range(10):
                await world.barrier()
        await world.barrier()
        assert world.recorded == {"images/keep.jpg"}
        assert world.inventory.codes() == {}


async def test_an_overflow_of_the_kernels_queue_loses_nothing(root: Path) -> None:
    """Fault 1: this process is stopped while another makes more events than the queue holds."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(20):
        (root / f"d{number}").mkdir()
    async with watched(root) as world:
        await world.barrier()
        script = f"""
import os, signal
os.kill({os.getpid()}, signal.SIGSTOP)
try:
    for number in range({limit // 3 + 500}):
        with open({str(root)!r} + f"/d{{number % 20}}/{{number}}.jpg", "wb") as file:
            file.write(b"x")
finally:
    os.kill({os.getpid()}, signal.SIGCONT)
"""
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=True, timeout=60)
        assert await world.barrier() == []
        assert len(world.recorded) == limit // 3 + 501
        assert world.source.event_losses >= 1


async def test_more_hints_than_are_kept_are_made_up_for_by_a_listing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.sources.hints.MOST_WAITING", 50)
    async with watched(root) as world:
        await world.barrier()
        for number in range(500):  # without giving the loop a chance to take hints
            write(root / f"{number}.jpg")
        (root / "keep.jpg").unlink()
        assert await world.barrier() == []
        assert world.inventory.contents() == world.on_disk()
        assert world.source.event_losses >= 1


async def test_a_call_learns_that_the_root_is_lost_although_its_cookie_will_not_come(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher of a root that was lost is being closed: nothing comes out of it any more."""
    asked = asyncio.Event()

    async def never(_self: Watcher, timeout_s: float) -> bool:
        asked.set()
        await asyncio.sleep(timeout_s)
        return False

    async with watched(root) as world:
        await world.barrier()
        monkeypatch.setattr(Watcher, "cookie", never)
        calling = asyncio.create_task(world.barrier())
        await asked.wait()
        root.rename(root.with_name("elsewhere"))
        async with asyncio.timeout(COOKIE_SECONDS - 1):
            with pytest.raises(SourceUnavailableError, match="does not exist"):
                await calling


async def test_without_a_cookie_the_barrier_lists_everything(root: Path, tmp_path: Path) -> None:
    async with watched(root) as world:
        await world.barrier()
        shutil.rmtree(tmp_path / "root-cookies")
        listings = world.inventory.calls["known_in"]
        write(root / "new.jpg", b"new")
        assert await world.barrier() == []
        assert world.inventory.calls["known_in"] > listings
        assert "images/new.jpg" in world.recorded


async def test_a_journal_that_cannot_be_written_ends_the_run(root: Path) -> None:
    """P8: nothing fails in silence."""
    async with watched(root) as world:
        await world.barrier()
        world.inventory.fail_next = JournalError("the disk is full")
        write(root / "a.jpg")
        assert world.task is not None
        with pytest.raises(JournalError, match="disk is full"):
            await world.task
        world.task = asyncio.create_task(world.source.run())
        await world.barrier()
        assert "images/a.jpg" in world.recorded


async def test_a_file_that_did_not_hold_what_was_recorded_is_read_again(root: Path) -> None:
    async with watched(root) as world:
        await world.barrier()
        recorded = world.inventory.recorded
        world.source.recheck("images/keep.jpg")
        await world.until(lambda: world.inventory.recorded == recorded + 1)


async def test_opening_a_key_follows_no_link(root: Path, tmp_path: Path) -> None:
    (root / "link.jpg").symlink_to(write(tmp_path / "secret"))
    (root / "away").symlink_to(tmp_path)
    async with watched(root) as world:
        with world.source.open("images/keep.jpg") as file:
            assert file.read() == b"keep"
        for key in ("images/link.jpg", "images/away/secret", "images/nothing.jpg", "images/no/where.jpg"):
            with pytest.raises(OSError, match=r".+"):
                world.source.open(key)
        shutil.rmtree(root)
        with pytest.raises(SourceUnavailableError):
            world.source.open("images/keep.jpg")


class SlowInventory(MemoryInventory):
    """Writes wait for a gate; something can be made to happen in the middle of a look."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.writing = asyncio.Event(), False
        self.gate.set()
        self.in_look: Callable[[], None] | None = None

    async def record(self, observations: Sequence[Observation]) -> None:
        self.writing = True
        await self.gate.wait()
        self.writing = False
        await super().record(observations)

    def known(self, keys: Sequence[str]) -> Mapping[str, Signature]:
        found = super().known(keys)
        action, self.in_look = self.in_look, None
        if action is not None:
            action()
        return found


async def test_a_deletion_seen_while_the_file_s_reading_is_being_recorded_is_not_lost(root: Path) -> None:
    """The look begins before the record is there, and ends after it: neither alone tells of the deletion."""
    inventory, loop = SlowInventory(), asyncio.get_running_loop()
    async with watched(root, inventory) as world:
        await world.barrier()

        def finish_recording() -> None:  # in the looking thread
            loop.call_soon_threadsafe(inventory.gate.set)
            waiting = threading.Event()
            for _ in range(50):
                if "images/x.jpg" in inventory.live and world.source.health().settling == 0:
                    break
                waiting.wait(0.01)

        inventory.gate.clear()
        write(root / "x.jpg")
        await world.until(lambda: inventory.writing)
        inventory.in_look = finish_recording
        (root / "x.jpg").unlink()
        await world.until(lambda: inventory.in_look is None)

        await world.barrier()
        assert world.recorded == {"images/keep.jpg"}


async def test_a_folder_moved_out_while_what_was_read_in_it_is_being_recorded_leaves_nothing(
    root: Path, tmp_path: Path
) -> None:
    """The look at the folder's old place finds nothing known there yet, and must not be believed about what is read."""
    inventory = SlowInventory()
    async with watched(root, inventory) as world:
        await world.barrier()
        inventory.gate.clear()
        write(root / "tree/deep/x.jpg")
        await world.until(lambda: inventory.writing)
        looks = inventory.calls["known_below"]
        (root / "tree").rename(tmp_path / "tree")
        await world.until(lambda: inventory.calls["known_below"] > looks and not world.source.health().busy)
        inventory.gate.set()

        await world.barrier()
        assert world.recorded == {"images/keep.jpg"}
