"""Whatever of the folder is not synced is named with the reason and the next step, and the rest goes on (P8)."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.model import Problem, ProblemCode
from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import Watched, now, sha256, watched, write

NOBODY = 65534
IN_OPEN = 0x20
LONG = "/".join(["n" * 200] * 6) + "/long.jpg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root / "good.jpg", b"good")
    return root


async def expect(world: Watched, problems: dict[str, str]) -> None:
    await world.barrier()
    assert world.inventory.codes() == problems
    assert sum(world.source.health().skipped.values()) == len(problems)
    assert world.inventory.contents() == {"images/good.jpg": sha256(b"good")}
    for problem in world.inventory.problems.values():
        assert problem.detail


async def test_what_stands_from_before_is_taken_over_by_the_loop_which_may_count_at_any_moment(root: Path) -> None:
    taken_by = set[threading.Thread]()

    class Watched(set[str]):
        def __iter__(self) -> Iterator[str]:
            taken_by.add(threading.current_thread())
            return super().__iter__()

    class Inventory(MemoryInventory):
        def problem_paths(self, source: str, below: str = "") -> set[str]:
            return Watched(super().problem_paths(source, below))

    async with watched(root, Inventory()) as world:
        await world.barrier()
    assert taken_by == {threading.main_thread()}


@contextlib.contextmanager
def opened_in(directory: Path) -> Iterator[Callable[[], set[str]]]:
    """Lend what tells which names in a directory were opened since it was asked last, by whomever."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert libc.inotify_add_watch(fd, os.fsencode(directory), IN_OPEN) > 0

    def names() -> set[str]:
        told, found = os.read(fd, 1 << 20), set()
        while told:
            length = struct.unpack_from("iIII", told)[3]
            found.add(told[16 : 16 + length].rstrip(b"\0").decode())
            told = told[16 + length :]
        return found - {""}  # the directory itself

    try:
        yield names
    finally:
        os.close(fd)


@pytest.mark.parametrize("early", [True, False], ids=["before", "while-watching"])
@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_names_that_lakefs_cannot_take_are_named_and_cleared_when_renamed(
    root: Path, watch: str, *, early: bool
) -> None:
    bad = {
        b"caf\xe9.jpg": (r"caf\xe9.jpg", ProblemCode.NAME_NOT_UTF8),
        b"two\nlines.jpg": (r"two\x0alines.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        b"bell\x07.jpg": (r"bell\x07.jpg", ProblemCode.NAME_CONTROL_CHARACTER),
        b"_lakefs_actions/evil.jpg": ("_lakefs_actions", ProblemCode.NAME_RESERVED),
        b"sub/_lakefs/x.jpg": ("sub/_lakefs", ProblemCode.NAME_RESERVED),
        b"d\xff/inner.jpg": (r"d\xff", ProblemCode.NAME_NOT_UTF8),
        LONG.encode(): (LONG, ProblemCode.NAME_TOO_LONG),
    }

    def make() -> None:
        for name in bad:
            path = os.path.join(os.fsencode(root), name)  # noqa: PTH118 - bytes
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(b"bad")

    if early:
        make()
    async with watched(root, watch=watch) as world:
        await world.barrier()
        make()
        await expect(world, {path: code.value for path, code in bad.values()})

        for name in bad:
            top = os.path.join(os.fsencode(root), name.split(b"/")[0])  # noqa: PTH118
            os.rename(top, os.fsencode(root.parent) + b"/aside-" + os.path.basename(top))  # noqa: PTH104, PTH119
        await expect(world, {})


@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_symlinks_pipes_and_sockets_are_named_if_a_file_of_that_name_would_be_synced(
    root: Path, tmp_path: Path, watch: str
) -> None:
    outside = write(tmp_path / "outside/secret.jpg", b"secret")
    (root / "link.jpg").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "folder").symlink_to(outside.parent)
    (root / "notes.txt").symlink_to(outside)
    os.mkfifo(root / "pipe.jpg")
    os.mkfifo(root / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s.jpg"))
        async with watched(root, watch=watch) as world:
            await expect(
                world,
                {
                    "link.jpg": "symlink",
                    "loop": "symlink",
                    "folder": "symlink",
                    "pipe.jpg": "not-regular",
                    "s.jpg": "not-regular",
                },
            )
            for name in ("link.jpg", "loop", "folder", "pipe.jpg", "s.jpg"):
                (root / name).unlink()
            world.source.request_rescan()
            await expect(world, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a device")
@pytest.mark.parametrize("watch", ["auto", "polling"])
async def test_a_device_is_named_and_never_opened(root: Path, watch: str) -> None:
    """To open some is to do something: to rewind a tape, to wait for a modem."""
    write(root / "was.jpg", b"a file")
    os.mknod(root / "early.jpg", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # as /dev/zero
    os.mknod(root / "early.txt", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with opened_in(root) as opened:
        async with watched(root, watch=watch) as world:
            await world.barrier()
            for name in ("late.jpg", "was.jpg"):
                os.mknod(root / "new", stat.S_IFCHR | 0o666, os.makedev(1, 5))
                (root / "new").rename(root / name)
            await expect(world, dict.fromkeys(["early.jpg", "late.jpg", "was.jpg"], "not-regular"))
            assert opened() == {"good.jpg", "was.jpg"}, "and the latter as long as it was a file"
            for name in ("early.jpg", "late.jpg", "was.jpg"):
                (root / name).unlink()
            world.source.request_rescan()
            await expect(world, {})
        (root / "early.txt").open("rb").close()
        assert "early.txt" in opened(), "it would have been seen"


async def test_a_file_replaced_by_a_symlink_is_absent_and_named(root: Path, tmp_path: Path) -> None:
    write(root / "a.jpg", b"a")
    async with watched(root) as world:
        await world.barrier()
        assert "images/a.jpg" in world.recorded

        (root / "link").symlink_to(write(tmp_path / "outside", b"secret"))
        (root / "link").rename(root / "a.jpg")
        await expect(world, {"a.jpg": "symlink"})


async def test_a_file_too_large_is_named_until_it_is_not(root: Path) -> None:
    with (root / "big.jpg").open("wb") as file:
        file.truncate(1 << 40)  # sparse: nothing may try to read it
    async with watched(root, max_object_bytes=1000) as world:
        await expect(world, {"big.jpg": "too-large"})
        assert "1,099,511,627,776 bytes" in world.inventory.problems["images", "big.jpg"].detail

        write(root / "big.jpg", b"now small")
        await world.barrier()
        assert world.inventory.codes() == {}
        assert world.inventory.contents()["images/big.jpg"] == sha256(b"now small")


async def test_a_file_that_never_settles_is_named_and_recorded_once_it_does(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.sources.pending.NAMED_AFTER_SECONDS", 0.3)
    restless = root / "restless.jpg"
    async with watched(root) as world:
        stop = asyncio.Event()

        async def keep_writing() -> None:
            while not stop.is_set():
                with restless.open("ab") as file:
                    file.write(b"more")
                await asyncio.sleep(0.01)

        writing = asyncio.create_task(keep_writing())
        await world.until(lambda: world.inventory.codes() == {"restless.jpg": "never-settles"})
        assert world.source.health().settling == 0
        left_out = await world.barrier(0.2)
        assert [found.path for found in left_out] == ["restless.jpg"]

        stop.set()
        await writing
        assert await world.barrier() == []
        assert world.inventory.codes() == {}
        assert world.inventory.contents()["images/restless.jpg"] == sha256(restless.read_bytes())


async def test_a_problem_that_stands_keeps_its_since_and_one_of_an_earlier_run_is_cleared(root: Path) -> None:
    (root / "link.jpg").symlink_to("nowhere")
    os.mkfifo(root / "pipe.jpg")
    inventory = MemoryInventory()
    async with watched(root, inventory) as world:
        await world.barrier()
    before = dict(inventory.problems)
    (root / "pipe.jpg").unlink()

    async with watched(root, inventory) as world:
        await world.barrier()
        assert inventory.codes() == {"link.jpg": "symlink"}
        assert inventory.problems["images", "link.jpg"].code == before["images", "link.jpg"].code


async def test_what_lakefs_refused_before_a_restart_stays_named(root: Path) -> None:
    """A listing does not meet it, and is no word on it: it is tried again, and named until then."""
    inventory = MemoryInventory()
    refused = Problem(source="images", path="good.jpg", code=ProblemCode.REFUSED, detail="too odd", since=now())
    await inventory.set_problems("images", [refused])
    async with watched(root, inventory) as world:
        await world.barrier()
        assert world.source.health().complete
        assert world.inventory.codes() == {"good.jpg": "refused"}


async def test_a_broken_syncdignore_is_named_and_its_last_good_version_stays(root: Path) -> None:
    write(root / "drafts/1.jpg", b"draft")
    write(root / ".syncdignore", b"# ours\ndrafts/\n")
    async with watched(root) as world:
        await expect(world, {})

        write(root / ".syncdignore", b"# ours\n\n[oops\n")
        await world.until(lambda: world.inventory.codes() == {".syncdignore": "unreadable"})
        assert 'line 3: "[oops" is not a pattern' in world.inventory.problems["images", ".syncdignore"].detail
        await expect(world, {".syncdignore": "unreadable"})

        write(root / ".syncdignore", b"good.jpg\n")
        await world.until(lambda: world.inventory.codes() == {})
        await world.barrier()
        assert world.recorded == {"images/drafts/1.jpg"}


async def test_a_syncdignore_broken_from_the_start_counts_with_its_sound_lines(root: Path) -> None:
    write(root / "drafts/1.jpg", b"draft")
    write(root / ".syncdignore", b"[oops\ndrafts/\n")
    async with watched(root) as world:
        await expect(world, {".syncdignore": "unreadable"})


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter; pytest keeps its own closed, and closes them again with each run."""
    with tempfile.TemporaryDirectory(prefix="syncd-test-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run the source as another user")
@pytest.mark.parametrize("watch", ["auto", "polling"])
def test_what_may_not_be_read_keeps_its_last_state_and_comes_back_with_the_rights(place: Path, watch: str) -> None:
    """Fault 14. Root may read everything, so the source runs in a process of another user."""
    root = place / "root"
    write(root / "good.jpg", b"good")
    write(root / "shut/in/1.jpg", b"1")
    write(root / "shut/2.jpg", b"2")
    write(root / "locked.jpg", b"locked")
    cookies = place / "root-cookies"
    cookies.mkdir()
    os.chown(cookies, NOBODY, NOBODY)
    result = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(root), watch],
        input=b"",
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()


# Rights are changed by the saved identity, everything else is done as nobody.
_AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
import watchdog.observers.inotify_c  # before the rights to read it are given up
from tests.support.watching import watched

root, watch = Path(sys.argv[1]), sys.argv[2]

def chmod(path, mode):  # before the other threads exist, and again between barriers
    pid = os.fork()
    if pid == 0:
        os.seteuid(0)
        os.chmod(root / path, mode)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

async def main():
    async with watched(root, watch=watch) as world:
        await world.barrier()
        everything = world.inventory.contents()
        assert len(everything) == 4, everything

        chmod("shut", 0o000)
        chmod("locked.jpg", 0o000)
        left_out = await world.barrier()
        assert "locked.jpg" in [left.path for left in left_out], left_out
        print(left_out)
        assert not world.source.health().degraded
        world.source.request_rescan()
        await world.until(lambda: world.inventory.codes() == {"shut": "unreadable", "locked.jpg": "unreadable"})
        assert world.inventory.contents() == everything
        assert world.source.health().complete

        chmod("shut", 0o755)
        chmod("locked.jpg", 0o644)
        world.source.request_rescan()
        await world.barrier()
        assert world.inventory.codes() == {}, world.inventory.codes()
        assert world.inventory.contents() == everything

os.setresuid(65534, 65534, 0)
asyncio.run(main())
"""
