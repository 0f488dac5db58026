"""The watcher: its map, its hints, its cookies; and going on without it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent

from syncd.sources.hints import Hints
from syncd.sources.watch_map import Placed, WatchMap
from syncd.sources.watcher import Watcher, WatchUnavailableError
from tests.support.watching import watched, write


class Watch:
    """A watcher on one folder and the directories below it, with its hints."""

    def __init__(self, root: Path) -> None:
        cookies = root.parent / "cookies"
        cookies.mkdir(exist_ok=True)
        self.root, self.woken = root, 0
        self.hints = Hints(self._wake)
        self.watcher = Watcher(self.hints, lambda path: not path.endswith(".txt"), cookies)
        self.watch("")

    def _wake(self) -> None:
        self.woken += 1

    def watch(self, directory: str) -> None:
        fd = os.open(self.root / directory, os.O_RDONLY)
        try:
            self.watcher.watch(directory, fd)
        finally:
            os.close(fd)

    async def take(self) -> dict[str, bool]:
        assert await self.watcher.cookie(10)
        return self.hints.take().paths


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    root = tmp_path / "root"
    root.mkdir()
    watch = Watch(root)
    yield watch
    watch.watcher.close()


async def test_each_way_to_change_something_is_hinted(watch: Watch) -> None:
    path = watch.root / "a.jpg"
    path.touch()
    assert await watch.take() == {"a.jpg": False}
    path.write_bytes(b"x")
    assert await watch.take() == {"a.jpg": False}
    path.chmod(0o600)
    assert await watch.take() == {"a.jpg": False}
    path.rename(watch.root / "b.jpg")
    assert await watch.take() == {"a.jpg": False, "b.jpg": False}
    (watch.root / "b.jpg").unlink()
    assert await watch.take() == {"b.jpg": False}
    with (watch.root / "c.jpg").open("wb") as file:
        file.write(b"not closed")
        file.flush()
        assert await watch.take() == {"c.jpg": False}
    assert await watch.take() == {"c.jpg": False}
    (watch.root / "d").mkdir()
    assert await watch.take() == {"d": True}


async def test_reading_and_unwanted_names_give_no_hint(watch: Watch) -> None:
    """P7: fingerprinting must not look like a change."""
    path = watch.root / "a.jpg"
    path.write_bytes(b"x")
    await watch.take()
    path.read_bytes()
    os.listdir(watch.root)  # noqa: PTH208
    (watch.root / "notes.txt").write_bytes(b"x")
    assert await watch.take() == {}


async def test_a_folder_that_is_moved_is_followed_to_its_new_name_and_not_out_of_the_tree(
    watch: Watch, tmp_path: Path
) -> None:
    write(watch.root / "a/deep/x.jpg")
    watch.watch("a/")
    watch.watch("a/deep/")
    await watch.take()

    (watch.root / "a").rename(watch.root / "b")
    assert await watch.take() == {"a": True, "b": True}
    write(watch.root / "b/deep/y.jpg")
    assert await watch.take() == {}  # who listens to the hints lists b, and places the watches anew
    watch.watch("b/")
    watch.watch("b/deep/")
    write(watch.root / "b/deep/z.jpg")
    assert await watch.take() == {"b/deep/z.jpg": False}

    (watch.root / "b").rename(tmp_path / "outside")
    assert await watch.take() == {"b": True}
    write(tmp_path / "outside/deep/w.jpg")
    assert await watch.take() == {}


async def test_a_watch_placed_before_the_move_was_heard_of_stays_at_the_new_place(watch: Watch) -> None:
    write(watch.root / "a/x.jpg")
    watch.watch("a/")
    await watch.take()
    fd = os.open(watch.root / "a", os.O_RDONLY)
    for name in ("b", "c", "d"):  # faster than the reader, and through an old descriptor
        (watch.root / "a").rename(watch.root / name)
        watch.watcher.watch(f"{name}/", fd)
        (watch.root / name).rename(watch.root / "a")
    (watch.root / "a").rename(watch.root / "last")
    await watch.take()
    watch.watcher.watch("last/", fd)
    os.close(fd)
    write(watch.root / "last/y.jpg")
    assert await watch.take() == {"last/y.jpg": False}


async def test_changed_rights_of_a_watched_folder_ask_for_a_look_only(watch: Watch) -> None:
    (watch.root / "known").mkdir()
    (watch.root / "unknown").mkdir()
    watch.watch("known/")
    await watch.take()
    (watch.root / "known").chmod(0o700)
    (watch.root / "unknown").chmod(0o700)
    assert await watch.take() == {"known": False, "unknown": True}


async def test_the_root_s_own_end_is_told(watch: Watch, tmp_path: Path) -> None:
    watch.root.rename(tmp_path / "elsewhere")
    assert await watch.watcher.cookie(10)
    assert watch.hints.take().check_root


async def test_after_a_root_was_deleted_everything_must_be_listed_also_if_there_is_one_again(watch: Watch) -> None:
    """It may have the inode of the former one, so that a look at it tells nothing; its watch is gone all the same."""
    watch.root.rmdir()
    watch.root.mkdir()
    assert await watch.watcher.cookie(10)
    taken = watch.hints.take()
    assert (taken.check_root, taken.rescan) == (True, "the folder was deleted")


async def test_an_overflow_is_one_loss(watch: Watch) -> None:
    told: list[str] = []
    watch.hints.lost = told.append  # type: ignore[method-assign]
    watch.watcher._inotify.handle_event(InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b""))
    assert told == ["the kernel's queue of events overflowed"]


async def test_a_dead_reader_is_not_waited_for(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def fail(_: object) -> None:
        raise RuntimeError("the thread ends here")

    watch.watcher._inotify.handle_event = fail
    write(watch.root / "a.jpg")
    await asyncio.to_thread(watch.watcher._inotify.join, 10)
    async with asyncio.timeout(5):
        assert not await watch.watcher.cookie(60)


async def test_one_wake_up_for_many_events(watch: Watch) -> None:
    await watch.take()
    woken = watch.woken
    for number in range(200):
        write(watch.root / f"{number}.jpg")
    assert len(await watch.take()) == 200
    assert watch.woken == woken + 1


async def test_a_cookie_comes_after_everything_before_it(watch: Watch) -> None:
    rng = random.Random(1)
    for number in range(200):
        names = {f"{number}-{index}.jpg" for index in range(rng.randrange(1, 5))}
        for name in names:
            write(watch.root / name)
        assert set(await watch.take()) == names
    assert list((watch.root.parent / "cookies").iterdir()) == []


async def test_no_cookie_without_a_place_for_it_or_a_living_thread(watch: Watch, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cookies")
    assert not await watch.watcher.cookie(0.2)
    (tmp_path / "cookies").mkdir()  # another directory of that name is not watched
    assert not await watch.watcher.cookie(0.2)
    plain = Watcher(Hints(lambda: None), lambda _: True)
    assert not await plain.cookie(0.2)
    plain.close()


async def test_an_error_in_the_handler_costs_a_listing_and_not_the_thread(tmp_path: Path) -> None:
    """Fault 4: an error raised into the reader's thread would end it for good, and nobody would know."""
    root = tmp_path / "root"
    root.mkdir()
    watch = Watch(root)
    try:

        def fail(path: str) -> bool:
            if path == "bad.jpg":
                raise RuntimeError("what nobody thought of")
            return True

        watch.watcher._wanted = fail  # the one place where a handler can be made to fail
        write(root / "bad.jpg")
        assert await watch.watcher.cookie(10)
        assert "what nobody thought of" in watch.hints.take().rescan
        write(root / "good.jpg")
        assert await watch.take() == {"good.jpg": False}
    finally:
        watch.watcher.close()


def test_closing_ends_the_thread_and_frees_the_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        watch = Watch(root)
        watch.watcher.close()
        assert not watch.watcher._inotify.is_alive()
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208


def test_a_folder_that_cannot_be_watched_says_so(watch: Watch) -> None:
    path = write(watch.root / "file")
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(WatchUnavailableError, match="Not a directory"):
            watch.watcher.watch("file/", fd)
    finally:
        os.close(fd)


_LIMITED = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from tests.support.watching import watched, write

async def main():
    root = Path({root!r})
    async with watched(root) as world:
        await world.barrier()
        health = world.source.health()
        assert {said!r} in health.degraded, health
        assert health.complete and health.available
        assert len(world.recorded) == 30
        write(root / "d3/new.jpg")
        (root / "d4/x.jpg").unlink()
        assert await world.barrier() == []
        assert world.inventory.contents() == world.on_disk()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("max_inotify_watches=10", "sysctl fs.inotify.max_user_watches="),
        ("max_inotify_instances=0", "sysctl fs.inotify.max_user_instances="),
    ],
)
def test_at_the_systems_limits_it_lists_instead_and_says_what_to_raise(tmp_path: Path, limit: str, said: str) -> None:
    """Faults 2 and 3: nothing is lost."""
    root = tmp_path / "root"
    for number in range(30):
        write(root / f"d{number}/x.jpg")
    name, value = limit.split("=")
    code = _LIMITED.format(here=str(Path(__file__).parents[2]), root=str(root), said=said)
    result = subprocess.run(
        [
            "unshare",
            "-Ur",
            "sh",
            "-c",
            f'echo {value} > /proc/sys/user/{name} && exec "$0" -c "$1"',
            sys.executable,
            code,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in result.stderr or "/proc/sys/user" in result.stderr:
        pytest.skip(f"no user namespaces here: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr


async def test_churn_from_all_sides_keeps_the_thread_alive(tmp_path: Path) -> None:
    """Fault 4: the load under which other watchers' threads died."""
    root = tmp_path / "root"
    write(root / "keep.jpg")
    script = """
import os, random, shutil, sys
rng, root = random.Random(int(sys.argv[2])), sys.argv[1]
for _ in range(1500):
    place = f"{root}/{rng.randrange(5)}/{rng.randrange(5)}"
    try:
        match rng.randrange(4):
            case 0 | 1:
                os.makedirs(place, exist_ok=True)
                open(f"{place}/{rng.randrange(9)}.jpg", "wb").close()
            case 2:
                os.rename(place, f"{root}/{rng.randrange(5)}/moved")
            case 3:
                shutil.rmtree(os.path.dirname(place))
    except OSError:
        pass
"""
    async with watched(root) as world:
        await world.barrier()
        children = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(root), str(seed))
            for seed in range(3)
        ]
        while any(child.returncode is None for child in children):
            await world.barrier()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*(child.wait() for child in children)), 0.05)
        await world.barrier()
        assert world.inventory.contents() == world.on_disk()
        assert world.source.event_losses == 0
        assert not world.source.health().degraded


class Maps(RuleBasedStateMachine):
    """The map of watches against plain dictionaries."""

    directories = st.sampled_from(["", "a/", "a/b/", "a/b/c/", "a/d/", "e/", "e/b/"])

    def __init__(self) -> None:
        super().__init__()
        self.map, self.model, self.number = WatchMap(), dict[str, Placed](), 0

    @rule(directory=directories, wd=st.integers(1, 6))
    def put(self, directory: str, wd: int) -> None:
        self.number += 1
        placed = Placed(wd, self.number)
        replaced = [old for path, old in self.model.items() if path == directory or old.wd == wd]
        self.model = {path: old for path, old in self.model.items() if path != directory and old.wd != wd}
        self.model[directory] = placed
        assert sorted(self.map.put(directory, placed)) == sorted(replaced)

    @rule(directory=directories)
    def drop(self, directory: str) -> None:
        below = {path: placed for path, placed in self.model.items() if path.startswith(directory)}
        reachable = {
            path
            for path in below
            if all(
                path[: index + 1] in self.model
                or path[: index + 1] == directory
                or len(path[: index + 1]) < len(directory)
                for index, letter in enumerate(path)
                if letter == "/"
            )
        }
        dropped = self.map.drop(directory)
        assert {below[path] for path in reachable} <= set(dropped) <= set(below.values())
        self.model = {path: placed for path, placed in self.model.items() if placed not in dropped}

    @rule(wd=st.integers(1, 6))
    def gone(self, wd: int) -> None:
        self.map.gone(wd)
        self.model = {path: placed for path, placed in self.model.items() if placed.wd != wd}

    @invariant()
    def agrees(self) -> None:
        assert len(self.map) == len(self.model)
        for path, placed in self.model.items():
            assert path in self.map
            assert self.map.path(placed.wd) == path


TestMaps = Maps.TestCase
