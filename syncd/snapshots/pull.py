"""Pulls a snapshot into a folder: what the cache lacks is fetched, all is placed, and the folder is switched at once.

The snapshot is listed into a manifest on disk first. So the work is known before it starts, memory does not grow with
it, and a pull that was killed finds in the cache what it had fetched.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from syncd.errors import PermanentStoreError, SyncdError, first_alone
from syncd.keys import is_folder_marker
from syncd.snapshots import manifest
from syncd.snapshots.fetching import Fetcher
from syncd.snapshots.placing import Placing, choose, place
from syncd.snapshots.selection import areas_of, belongs
from syncd.snapshots.target import Target
from syncd.store.pages import pages
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from syncd.snapshots.manifest import Entry
    from syncd.snapshots.object_cache import ObjectCache
    from syncd.snapshots.reference import Pinned
    from syncd.store.base import ObjectReader, VersionStore

FETCHERS = 32
PLACERS = 2  # threads that read the cache
PAGE = 500
MOST_NAMED = 10
MOST_FAULTS = 100  # objects that cannot be had: then the rest is not tried
_RESERVE_BYTES = 16 << 20  # left on the disk


class PullError(SyncdError):
    """The snapshot could not be pulled; the folder is as it was."""


@dataclass(slots=True)
class Pulled:
    """What a pull did, and what there is to do."""

    objects: int = 0
    size_bytes: int = 0
    missing_objects: int = 0  # not in the cache when it began
    missing_bytes: int = 0
    placed_objects: int = 0
    placed_bytes: int = 0
    fetched_objects: int = 0
    fetched_bytes: int = 0
    placing: Placing = Placing.AUTO
    kept: list[Path] = field(default_factory=list)  # old states of the folder to which someone wrote during a pull
    faults: dict[str, str] = field(default_factory=dict)

    def count(self, *, placed: Collection[Entry] = (), fetched: Collection[Entry] = ()) -> None:
        """Count files that are in their place now: from the cache, or fetched."""
        size_bytes = sum(entry.size_bytes for entry in fetched)
        self.fetched_objects += len(fetched)
        self.fetched_bytes += size_bytes
        self.placed_objects += len(placed) + len(fetched)
        self.placed_bytes += sum(entry.size_bytes for entry in placed) + size_bytes

    def fault(self, entry: Entry, error: PermanentStoreError) -> None:
        """Note what cannot be had."""
        self.faults[entry.path] = f"{error.fact}: {error.cause}" if error.cause else error.fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One snapshot and where it goes.

    Args:
        found: The commit.
        versions: For the listing.
        objects: Of that commit.
        prefix: In front of every key of syncd's.
        cache: Entered.
        paths: Files and folders of it, such as "images/cats"; none: all that syncd publishes.
        placing: How files get into the folder.
        delete: What is in the folder and not as it was pulled may go.
        about: For ``.syncd/snapshot.json`` in the folder.
        progress: Called with what is done so far, often.
    """

    found: Pinned
    versions: VersionStore
    objects: ObjectReader
    prefix: str
    cache: ObjectCache
    paths: Sequence[str] = ()
    placing: Placing = Placing.AUTO
    delete: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[Pulled], None] = lambda _: None

    async def into(self, folder: Path) -> Pulled:
        """Make the folder exactly this snapshot.

        Raises:
            TargetError: The folder holds something else, or another pull is at work there.
            UsageError: It is no folder of a pull's.
            PullError: Objects are missing or damaged in lakeFS, there is no room, or the disk refuses.
            StoreError: lakeFS does not answer or refuses.
        """
        with _disk_faults(folder):
            target = await asyncio.to_thread(Target, folder)
            with target.locked():
                done = Pulled(kept=await in_thread_to_its_end(target.recover))
                await asyncio.to_thread(target.require_ours, delete=self.delete)
                try:
                    await self._build(target, done)
                    kept = await in_thread_to_its_end(partial(target.switch, delete=self.delete))
                    done.kept += [] if kept is None else [kept]
                finally:
                    await in_thread_to_its_end(target.discard)
            await in_thread_to_its_end(self.cache.evict)
        return done

    async def _build(self, target: Target, done: Pulled) -> None:
        await in_thread_to_its_end(target.begin)
        await self._list(target, done)
        done.placing = await in_thread_to_its_end(partial(self._choose, target))
        await asyncio.to_thread(self._require_room, target, done)
        await self._materialise(target, done)
        if done.faults:
            raise self._incomplete(done)
        await in_thread_to_its_end(partial(target.about, self.about))

    async def _list(self, target: Target, done: Pulled) -> None:
        for area in await areas_of(self.paths, self.found, self.versions, self.prefix):
            async for page in pages(self.versions.objects(self.found.commit.id, self.prefix + area), PAGE):
                wanted = [
                    item for item in page if not is_folder_marker(item.key) and belongs(item.key, self.prefix + area)
                ]
                entries = [manifest.entry_of(item, self.prefix) for item in wanted]
                await in_thread_to_its_end(partial(self._note, target.manifest, entries, done))
                self.progress(done)

    def _note(self, path: Path, entries: Sequence[Entry], done: Pulled) -> None:
        with path.open("a", encoding="ascii") as lines:
            lines.writelines(map(manifest.line_of, entries))
        for entry in entries:
            done.objects += 1
            done.size_bytes += entry.size_bytes
            if entry.sha256 is None or not self.cache.has(entry.sha256, entry.size_bytes):
                done.missing_objects += 1
                done.missing_bytes += entry.size_bytes

    def _choose(self, target: Target) -> Placing:
        try:
            with self.cache.incoming() as trial:
                trial.write(b"trial")
                return choose(self.placing, trial.name, target.building)
        except OSError as error:
            raise PullError(
                f"files cannot get from the cache {self.cache.directory} into {target.folder}: {error.strerror}",
                cause=f"the way {self.placing.value!r} does not work there",
                next_step="leave --link out, or use a cache on the same file system",
            ) from error

    def _require_room(self, target: Target, done: Pulled) -> None:
        copied = done.size_bytes if done.placing is Placing.COPY else 0
        needs = {self.cache.directory: done.missing_bytes, target.building: copied}
        if self.cache.directory.stat().st_dev == target.building.stat().st_dev:
            needs = {target.building: done.missing_bytes + copied}
        for place_, needed in needs.items():
            free = shutil.disk_usage(place_).free
            if needed and needed + _RESERVE_BYTES > free:
                why = "the cache is on another file system, so all is copied" if copied else ""
                raise PullError(
                    f"{needed:,} bytes are needed below {place_.parent}, and {free:,} are free",
                    cause=why,
                    next_step="free some, or name another place: DIR, and --cache for the cache",
                )

    async def _materialise(self, target: Target, done: Pulled) -> None:
        """Place what is in the cache, fetch and place the rest."""
        entries = manifest.read(target.manifest)
        fetcher, next_page = Fetcher(self.objects, self.prefix, self.cache), asyncio.Lock()
        missing: asyncio.Queue[Entry | None] = asyncio.Queue(2 * FETCHERS)

        async def place_cached() -> None:
            while page := await _next(entries, next_page):
                rest = await in_thread_to_its_end(partial(self._place_cached, target.building, page, done.placing))
                done.count(placed=set(page) - set(rest))
                self.progress(done)
                for entry in rest:
                    await missing.put(entry)

        with first_alone():
            async with asyncio.TaskGroup() as group:
                for _ in range(FETCHERS):
                    group.create_task(self._fetch_missing(fetcher, target.building, missing, done))
                async with asyncio.TaskGroup() as placing:
                    for _ in range(PLACERS):
                        placing.create_task(place_cached())
                for _ in range(FETCHERS):
                    await missing.put(None)

    async def _fetch_missing(
        self, fetcher: Fetcher, building: Path, missing: asyncio.Queue[Entry | None], done: Pulled
    ) -> None:
        while (entry := await missing.get()) is not None:
            try:
                await fetcher.fetch(entry, partial(self._place, building, entry, done.placing))
            except PermanentStoreError as error:
                done.fault(entry, error)
                if len(done.faults) >= MOST_FAULTS:
                    raise self._incomplete(done) from error
            else:
                done.count(fetched=[entry])
                self.progress(done)

    def _place_cached(self, building: Path, page: Sequence[Entry], how: Placing) -> list[Entry]:
        """Place what the cache holds, and return the rest."""
        missing = []
        for entry in page:
            sha256 = entry.sha256
            if sha256 is not None and self.cache.has(sha256, entry.size_bytes) and self.cache.check(sha256):
                self._place(building, entry, how, sha256)
            else:
                missing.append(entry)
        return missing

    def _place(self, building: Path, entry: Entry, how: Placing, sha256: bytes) -> None:
        source, path = self.cache.path(sha256), f"{building}/{entry.path}"
        try:
            try:
                place(source, path, how)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - called for every object
                place(source, path, how)
        except OSError as error:
            raise PullError(
                f"{entry.path!r} cannot be put into the folder: {error.strerror}",
                cause="the disk is full, or another file of the snapshot has the name of one of its folders",
                next_step="df; or pull a part: syncd pull REF DIR PATH",
            ) from error

    def _incomplete(self, done: Pulled) -> PullError:
        named = "; ".join(f"{path!r}: {why}" for path, why in sorted(done.faults.items())[:MOST_NAMED])
        more = f"; and {len(done.faults) - MOST_NAMED:,} more" if len(done.faults) > MOST_NAMED else ""
        name = self.found.tag or self.found.commit.id
        return PullError(
            f"{len(done.faults):,} of {done.objects:,} objects of {name} cannot be had: {named}{more}",
            cause="they are damaged or gone in lakeFS's storage; garbage collection takes what no branch leads to:"
            " a pin keeps a snapshot's objects",
            next_step=f"syncd verify {name} --read-data, and pull another snapshot",
        )


async def _next(entries: Iterator[Entry], lock: asyncio.Lock) -> list[Entry]:
    async with lock:
        return await asyncio.to_thread(lambda: list(islice(entries, PAGE)))


@contextmanager
def _disk_faults(folder: Path) -> Iterator[None]:
    """Say what of the disk stood in the way."""
    try:
        yield
    except OSError as error:
        place_ = error.filename or folder
        raise PullError(
            f"{place_}: {error.strerror or error}",
            cause="it may not be read or written, or the disk is full",
            next_step=f"ls -ld {shlex.quote(str(folder.parent))}; df {shlex.quote(str(folder.parent))}",
        ) from error
