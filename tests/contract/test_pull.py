"""A snapshot is pulled into a folder: exactly it, at the least cost, and never half of it."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import stat
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.errors import NeedsPersonStoreError, PermanentStoreError, StoreError, TransientStoreError, UsageError
from syncd.snapshots import patience
from syncd.snapshots import pull as pulling
from syncd.snapshots import target as targets
from syncd.snapshots.manifest import OWN_DIRECTORY, Entry
from syncd.snapshots.object_cache import CacheError, Incoming, ObjectCache
from syncd.snapshots.placing import Placing
from syncd.snapshots.pull import Pull, Pulled, PullError
from syncd.snapshots.reference import Pinned, find
from syncd.snapshots.target import Target, TargetError
from tests.support.comparing import folder
from tests.support.stores import Stores

CONTENTS = {
    **{f"images/{number % 7}/{number:03}.jpg": b"image %d" % number for number in range(60)},
    "images/0/large.jpg": random.Random(1).randbytes(3 << 20),
    "images/0.jpg": b"sorts between the folders",
    "images/empty.jpg": b"",
    "tables/labels.csv": b"id,image\n",
}


class Place:
    """A cache, a folder, and what is fetched."""

    def __init__(self, stores: Stores, tmp_path: Path) -> None:
        self.stores, self.cache, self.folder = stores, tmp_path / "cache", tmp_path / "data"
        self.fetched: list[str] = []
        self.break_off: Callable[[str], None] = lambda _: None
        self.prefix = ""

    async def publish(self, **contents: bytes | None) -> Pinned:
        for key, content in contents.items():
            if content is None:
                await self.stores.objects.delete([self.prefix + key])
            else:
                await self.stores.put(self.prefix + key, content)
        return await find(self.stores.versions, await self.stores.commit("a snapshot"), publish="main")

    @asynccontextmanager
    async def pulling(self, found: Pinned, *, max_bytes: int = 1 << 40, **options: object) -> AsyncIterator[Pull]:
        async with self.stores.server.open(self.stores.repository, found.commit.id) as at:
            with ObjectCache(self.cache, max_bytes) as cache:
                objects = _Watched(at.reader, self)
                yield Pull(
                    found=found,
                    versions=self.stores.versions,
                    objects=objects,
                    prefix=self.prefix,
                    cache=cache,
                    about={"tag": found.commit.id},
                    **options,
                )

    async def pull(self, found: Pinned, **options: object) -> Pulled:
        self.fetched = []
        async with self.pulling(found, **options) as pull:
            return await pull.into(self.folder)

    def holds(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and OWN_DIRECTORY not in path.parts
        }

    def cached(self) -> list[Path]:
        return sorted(path for path in (self.cache / "objects").rglob("*") if path.is_file())

    @property
    def litter(self) -> list[str]:
        """What lies beside the folder and the cache, and in the cache beside its objects."""
        beside = [path.name for path in self.folder.parent.iterdir() if path not in {self.folder, self.cache}]
        return beside + [path.name for path in (self.cache / "incoming").iterdir()]


def _then(first: Callable[..., None], second: Callable[[], None]) -> Callable[..., None]:
    def both(*arguments: object) -> None:
        first(*arguments)
        second()

    return both


class _Watched:
    def __init__(self, objects: object, place: Place) -> None:
        self._objects, self._place = objects, place

    async def get(self, key: str) -> bytes:
        self._place.break_off(key)
        self._place.fetched.append(key)
        return await self._objects.get(key)

    async def fetch(self, key: str, sink: Callable[[bytes], Awaitable[None]]) -> None:
        self._place.break_off(key)
        self._place.fetched.append(key)
        await self._objects.fetch(key, sink)


@pytest.fixture
def place(stores: Stores, tmp_path: Path) -> Place:
    return Place(stores, tmp_path)


@pytest.mark.parametrize("prefix", ["", "photos/"])
@pytest.mark.parametrize("placing", [Placing.AUTO, Placing.HARDLINK, Placing.COPY])
async def test_the_folder_is_exactly_the_snapshot(place: Place, prefix: str, placing: Placing) -> None:
    place.prefix = prefix
    found = await place.publish(**CONTENTS)
    await place.stores.put(f"{prefix}images/later.jpg", b"not of it")
    done = await place.pull(found, placing=placing)
    assert place.holds() == CONTENTS
    assert (done.objects, done.size_bytes) == (len(CONTENTS), sum(map(len, CONTENTS.values())))
    assert (done.placed_objects, done.fetched_objects) == (done.objects, done.objects)
    assert done.placed_bytes == done.fetched_bytes == done.size_bytes
    assert place.litter == []
    assert f'"tag": "{found.commit.id}"' in (place.folder / OWN_DIRECTORY / "snapshot.json").read_text()
    mode = stat.S_IMODE((place.folder / "images/0.jpg").stat().st_mode)
    assert mode == (0o444 if done.placing is Placing.HARDLINK else 0o644)


async def test_only_what_changed_is_fetched(place: Place) -> None:
    first = await place.publish(**CONTENTS)
    changed = {"images/1/001.jpg": b"other", "images/new.jpg": b"new", "images/copy.jpg": CONTENTS["images/0.jpg"]}
    second = await place.publish(**changed, **{"images/2/002.jpg": None})
    await place.pull(first)
    done = await place.pull(second)
    assert sorted(place.fetched) == ["images/1/001.jpg", "images/new.jpg"]
    assert (done.missing_objects, done.fetched_objects) == (2, 2)
    wanted = CONTENTS | changed
    del wanted["images/2/002.jpg"]
    assert place.holds() == wanted
    await place.pull(first)
    assert place.fetched == []
    assert place.holds() == CONTENTS


async def test_what_was_damaged_in_the_cache_is_fetched_anew(place: Place) -> None:
    """A byte flipped by a disk, with size and times as they were."""
    found = await place.publish(**CONTENTS)
    await place.pull(found)
    victim = max(place.cached(), key=lambda path: path.stat().st_size)
    before = victim.stat()
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(content)
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    await place.pull(found, delete=True)
    assert place.fetched == ["images/0/large.jpg"]
    assert place.holds() == CONTENTS


@pytest.mark.parametrize("strange", ["images/mine.txt", "mine.txt", "images/0/zzz/deep.txt", "images/0/000.jpg"])
async def test_what_someone_wrote_there_is_not_lost(place: Place, strange: str) -> None:
    first = await place.publish(**CONTENTS)
    second = await place.publish(**{"images/new.jpg": b"new"})
    await place.pull(first, placing=Placing.COPY)
    mine = place.folder / strange
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"mine!!!")
    for asked in (first, second):
        with pytest.raises(TargetError, match=strange) as refused:
            await place.pull(asked, placing=Placing.COPY)
        assert "--delete" in refused.value.next_step
    assert mine.read_bytes() == b"mine!!!"
    assert place.litter == []
    await place.pull(second, delete=True)
    assert place.holds() == {**CONTENTS, "images/new.jpg": b"new"}


async def test_what_is_written_while_it_is_pulled_is_kept(place: Place) -> None:
    first = await place.publish(**CONTENTS)
    second = await place.publish(**{"images/new.jpg": b"new"})
    await place.pull(first)

    def write(_: str) -> None:
        (place.folder / "images" / "mine.txt").write_bytes(b"mine")

    place.break_off = write
    done = await place.pull(second)
    assert place.holds() == {**CONTENTS, "images/new.jpg": b"new"}
    (kept,) = done.kept
    assert (kept / "images" / "mine.txt").read_bytes() == b"mine"
    again = await place.pull(first)  # by the same process
    assert place.holds() == CONTENTS
    assert again.kept != done.kept
    assert (kept / "images" / "mine.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("there", [True, False])
async def test_what_comes_into_an_empty_folder_while_it_is_pulled_is_kept(place: Place, *, there: bool) -> None:
    if there:
        place.folder.mkdir()

    def write(_: str) -> None:
        place.folder.mkdir(exist_ok=True)
        (place.folder / "notes.txt").write_bytes(b"mine")

    place.break_off = write
    done = await place.pull(await place.publish(**CONTENTS), delete=True)  # these were no pull's
    assert place.holds() == CONTENTS
    assert [(kept / "notes.txt").read_bytes() for kept in done.kept] == [b"mine"]


@pytest.mark.parametrize("hidden", ["an empty folder", "a pulled folder"])
async def test_what_was_written_before_a_pull_was_killed_is_kept_by_the_next(place: Place, hidden: str) -> None:
    found = await place.publish(**CONTENTS)
    if hidden == "an empty folder":
        place.folder.mkdir()
    else:
        await place.pull(found)
    (place.folder / "notes.txt").write_bytes(b"mine")
    target = Target(place.folder)
    target.begin()
    (target.building / "images").mkdir()
    (target.building / "images" / "half.jpg").write_bytes(b"half")
    target.about({})
    place.folder.rename(target.building.with_name("between"))  # the exchange, and then it is killed
    target.building.rename(place.folder)
    target.building.with_name("between").rename(target.building)
    done = await place.pull(found, delete=True)
    assert place.holds() == CONTENTS
    assert [(kept / "notes.txt").read_bytes() for kept in done.kept] == [b"mine"]


@pytest.mark.parametrize("step", [1, 2])
async def test_killed_while_two_folders_change_places_in_two_steps(place: Place, step: int) -> None:
    found = await place.publish(**CONTENTS)
    await place.pull(found)
    target = Target(place.folder)
    target.begin()
    target.about({})
    aside = target.building.with_name(f".{place.folder.name}.syncd-old")
    place.folder.rename(aside)
    if step == 2:
        target.building.rename(place.folder)
    done = await place.pull(found)
    assert place.holds() == CONTENTS
    assert done.kept == []
    assert place.litter == []


async def test_what_cannot_be_looked_through_is_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await place.publish(**CONTENTS)
    await place.pull(found)
    (place.folder / "mine.txt").write_bytes(b"mine")

    def unreadable(_: Path) -> Iterator[object]:
        raise PermissionError(errno.EACCES, "Permission denied", "a folder in it")

    target = Target(place.folder)
    target.begin()
    target.about({})
    monkeypatch.setattr(targets, "strange_in", unreadable)
    kept = target.switch(delete=False)
    target.discard()
    assert kept is not None
    assert (kept / "mine.txt").read_bytes() == b"mine"


async def test_a_pull_that_is_cancelled_while_it_switches_throws_nothing_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await place.publish(**CONTENTS)
    await place.pull(found)
    (place.folder / "images" / "mine.txt").write_bytes(b"mine")
    switching, discarded = asyncio.Event(), threading.Event()
    loop, strange = asyncio.get_running_loop(), targets.strange_in

    def slowly(folder_: Path) -> Iterator[object]:
        loop.call_soon_threadsafe(switching.set)
        discarded.wait(0.5)  # that it comes first is what must not be
        return strange(folder_)

    monkeypatch.setattr(Target, "require_ours", lambda *_, **__: None)  # what is there came after that look
    monkeypatch.setattr(Target, "discard", _then(Target.discard, discarded.set))
    monkeypatch.setattr(targets, "strange_in", slowly)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        pulling_ = group.create_task(place.pull(found))
        await switching.wait()
        pulling_.cancel()
    (kept,) = place.folder.parent.glob("data.before-*")
    assert (kept / "images" / "mine.txt").read_bytes() == b"mine"
    assert place.holds() == CONTENTS


async def test_a_snapshot_without_files(place: Place) -> None:
    await place.pull(await place.publish(**{"images/a.jpg": b"a"}))
    done = await place.pull(await place.publish(**{"images/a.jpg": None}))
    assert done.objects == 0
    assert place.holds() == {}
    assert place.litter == []


@pytest.mark.parametrize("state", ["file", "not ours", "no parent"])
async def test_a_folder_that_is_not_a_pulls_is_refused(place: Place, state: str) -> None:
    found = await place.publish(**CONTENTS)
    if state == "file":
        place.folder.write_bytes(b"a file")
    elif state == "not ours":
        place.folder.mkdir()
        (place.folder / "thesis.tex").write_bytes(b"years of work")
    else:
        place.folder = place.folder / "of" / "nowhere"
    for delete in (False, True):
        with pytest.raises(UsageError):
            await place.pull(found, delete=delete)
    assert state != "not ours" or (place.folder / "thesis.tex").read_bytes() == b"years of work"


async def test_an_empty_folder_is_taken(place: Place) -> None:
    place.folder.mkdir()
    await place.pull(await place.publish(**CONTENTS))
    assert place.holds() == CONTENTS


async def test_two_pulls_at_once(place: Place) -> None:
    found = await place.publish(**CONTENTS)
    async with place.pulling(found) as one, place.pulling(found) as other:
        await asyncio.gather(one.into(place.folder), other.into(place.folder.with_name("other")))
        for _ in range(5):  # into the same folder one of them waits its turn, by being refused
            outcomes = await asyncio.gather(one.into(place.folder), other.into(place.folder), return_exceptions=True)
            assert sum(isinstance(outcome, Pulled) for outcome in outcomes) >= 1
            assert all(isinstance(outcome, Pulled | TargetError) for outcome in outcomes)
            assert place.holds() == CONTENTS
    place.folder = place.folder.with_name("other")
    assert place.holds() == CONTENTS


async def test_two_pulls_at_once_out_of_two_caches(place: Place, tmp_path: Path) -> None:
    found = await place.publish(**CONTENTS)
    async with place.pulling(found) as one, place.pulling(found) as other:
        with ObjectCache(tmp_path / "second") as cache:
            for _ in range(5):
                outcomes = await asyncio.gather(
                    one.into(place.folder), replace(other, cache=cache).into(place.folder), return_exceptions=True
                )
                assert sum(isinstance(outcome, Pulled) for outcome in outcomes) >= 1
                assert all(isinstance(outcome, Pulled | TargetError) for outcome in outcomes)
                assert place.holds() == CONTENTS


async def test_a_pull_that_fails_waits_for_what_it_still_places(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.pull(await place.publish(**CONTENTS))
    shutil.rmtree(place.folder)
    found = await place.publish(**{"images/0/000.jpg": b"not in the cache"})
    failing, discarded, placed = threading.Event(), threading.Event(), threading.Event()
    placing = Pull._place_cached

    def slowly(self: Pull, building: Path, page: Sequence[Entry], how: Placing) -> list[Entry]:
        if not any(entry.path == "images/0/000.jpg" for entry in page):
            assert failing.wait(20)
            discarded.wait(0.5)  # that it comes first is what must not be
        rest = placing(self, building, page, how)
        if failing.is_set():
            placed.set()
        return rest

    def fail(_: str) -> None:
        failing.set()
        raise NeedsPersonStoreError("it refuses the key")

    place.break_off = fail
    monkeypatch.setattr(pulling, "PAGE", 10)
    monkeypatch.setattr(Pull, "_place_cached", slowly)
    monkeypatch.setattr(Target, "discard", _then(Target.discard, discarded.set))
    with pytest.raises(NeedsPersonStoreError):
        await place.pull(found)
    assert placed.wait(20)
    assert not place.folder.exists()
    assert place.litter == []


async def test_a_pull_that_is_cancelled_closes_no_file_that_is_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await place.publish(**{"images/large.jpg": CONTENTS["images/0/large.jpg"]})
    writing, written, loop = asyncio.Event(), [], asyncio.get_running_loop()

    def slowly(self: Incoming, _: bytes) -> None:
        loop.call_soon_threadsafe(writing.set)
        time.sleep(0.2)  # long enough for a cancellation to close the file
        written.append(os.fstat(self._number).st_size)

    monkeypatch.setattr(Incoming, "write", slowly)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        pulling_ = group.create_task(place.pull(found))
        await writing.wait()
        pulling_.cancel()
    assert written == [0]
    assert place.litter == []


async def test_what_the_disk_refuses_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await place.publish(**CONTENTS)

    def refuse(_: Target) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/data")

    with monkeypatch.context() as patched:
        patched.setattr(Target, "begin", refuse)
        with pytest.raises(PullError, match="/srv/data: Permission denied") as refused:
            await place.pull(found)
    assert "df " in refused.value.next_step
    place.cache = Path("/proc/no/cache")
    with pytest.raises(CacheError, match="cannot be used") as unusable:
        await place.pull(found)
    assert "pull.cache_dir" in unusable.value.next_step


@pytest.mark.parametrize(
    "error",
    [TransientStoreError("lakeFS went away"), NeedsPersonStoreError("lakeFS went away: it refuses the key")],
    ids=["lakeFS is away", "the key has expired"],
)
async def test_a_pull_that_fails_leaves_the_folder_as_it_was_and_goes_on_where_it_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    monkeypatch.setattr(patience, "ATTEMPTS", 1)
    first = await place.publish(**{"images/a.jpg": b"a"})
    await place.pull(first)
    second = await place.publish(**CONTENTS)

    def fail(_: str) -> None:
        if len(place.fetched) >= 40:
            raise error

    place.break_off = fail
    with pytest.raises(type(error), match="went away"):
        await place.pull(second)
    assert place.holds() == {"images/a.jpg": b"a"}
    assert place.litter == []
    place.break_off = lambda _: None
    done = await place.pull(second)
    assert 0 < done.fetched_objects <= len(CONTENTS) - 5
    assert place.holds() == {"images/a.jpg": b"a", **CONTENTS}


async def test_what_fails_in_passing_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    found = await place.publish(**CONTENTS)
    failures = iter(range(30))

    def fail(_: str) -> None:
        if next(failures, None) is not None:
            raise TransientStoreError("busy")

    place.break_off = fail
    await place.pull(found)
    assert place.holds() == CONTENTS


async def test_what_is_gone_or_damaged_in_lakefs_is_named_and_the_folder_stays(place: Place) -> None:
    found = await place.publish(**CONTENTS)

    def fail(key: str) -> None:
        if key in {"images/0.jpg", "images/1/001.jpg"}:
            raise PermanentStoreError("lakeFS refused reading it", cause="garbage collection removed it")

    place.break_off = fail
    with pytest.raises(PullError) as failed:
        await place.pull(found)
    assert "2 of 64 objects" in failed.value.fact
    assert "'images/0.jpg': lakeFS refused reading it: garbage collection removed it" in failed.value.fact
    assert "a pin keeps" in failed.value.cause
    assert not place.folder.exists()


async def test_after_a_hundred_that_are_gone_the_rest_is_not_tried(place: Place) -> None:
    found = await place.publish(**{f"images/{number:04}.jpg": b"%d" % number for number in range(400)})

    def fail(_: str) -> None:
        raise PermanentStoreError("gone")

    place.break_off = fail
    with pytest.raises(PullError, match="100 of 400 objects"):
        await place.pull(found)


async def test_objects_of_someone_else_come_along(place: Place) -> None:
    """They carry no SHA-256: the server's word is all there is."""
    await place.publish(**{"images/a.jpg": b"a"})
    await place.stores.put_foreign("images/theirs.jpg", b"theirs")
    found = await place.publish(**{"images/b.jpg": b"b"})
    await place.pull(found)
    assert place.holds() == {"images/a.jpg": b"a", "images/b.jpg": b"b", "images/theirs.jpg": b"theirs"}
    await place.pull(found)
    assert place.fetched == ["images/theirs.jpg"]


async def test_no_room_is_known_before_anything_is_fetched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await place.publish(**CONTENTS)
    free = sum(map(len, CONTENTS.values())) - 1 + pulling._RESERVE_BYTES
    monkeypatch.setattr(pulling.shutil, "disk_usage", lambda _: os.statvfs_result and _Usage(free))
    with pytest.raises(PullError, match=r"3,\d\d\d,\d\d\d bytes are needed"):
        await place.pull(found, placing=Placing.HARDLINK)
    assert place.fetched == []
    assert not place.folder.exists()
    monkeypatch.setattr(pulling.shutil, "disk_usage", lambda _: _Usage(free + 1))
    await place.pull(found, placing=Placing.HARDLINK)
    assert place.holds() == CONTENTS


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


async def test_the_least_recently_used_go_from_the_cache(place: Place) -> None:
    first = await place.publish(**{"images/a.jpg": b"a" * 100_000, "images/b.jpg": b"b" * 100_000})
    second = await place.publish(**{"images/a.jpg": b"A" * 100_000})
    await place.pull(first)
    await place.pull(second, max_bytes=210_000)  # new a and b are in use, old a goes
    assert len(place.cached()) == 2
    await place.pull(first, max_bytes=1)
    assert place.fetched == ["images/a.jpg"]
    assert place.cached() == []
    assert place.holds() == {"images/a.jpg": b"a" * 100_000, "images/b.jpg": b"b" * 100_000}


@pytest.mark.parametrize("key", ["images/../../etc/passwd", "images/./a.jpg", "images//a.jpg", "images/" + 300 * "a"])
async def test_a_key_that_leads_out_of_the_folder_is_named_and_nothing_is_written(place: Place, key: str) -> None:
    await place.stores.put_foreign(key, b"root::0:0")
    found = await place.publish(**{"images/b.jpg": b"b"})
    with pytest.raises(PermanentStoreError, match="cannot be a file in a folder"):
        await place.pull(found)
    assert not place.folder.exists()
    assert folder(place.cache / "objects") == {}
