"""The bytes of images, each checked against its digest: out of a folder, out of the cache, else from lakeFS."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.errors import PermanentStoreError, first_alone
from syncd.model import IMAGES
from syncd.snapshots.checked import read_object
from syncd.snapshots.fetching import Fetcher
from syncd.snapshots.manifest import Entry
from syncd.snapshots.object_cache import ObjectCache
from syncd.store.base import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from syncd.client.session import Session
    from syncd.client.sync import Snapshot
    from syncd.datasets.listing import Listed, Listing

AT_A_TIME = 32  # as a pull


class UnreadableImageError(Exception):
    """The bytes of an image cannot be had."""

    def __init__(self, number: int, error: PermanentStoreError) -> None:
        super().__init__(number)
        self.number, self.error = number, error


class Contents:
    """Reads images of one snapshot; thread-safe, for forked and spawned processes too.

    Args:
        snapshot: Open; where it was closed, reading opens it anew.
        listing: Its images.
        folder: Where a pull put a snapshot, or a part of one; what is not there, or differs, is read elsewhere. None:
            there is none.
        cache: Whether what is fetched is kept in ``pull.cache_dir``. What that holds beyond ``pull.cache_bytes`` goes
            now, unless someone uses it, and after each pull.
    """

    def __init__(self, snapshot: Snapshot, listing: Listing, *, folder: Path | None, cache: bool) -> None:
        self._snapshot, self._listing, self._folder = snapshot, listing, folder
        settings = snapshot._settings  # noqa: SLF001 - of the same library
        self._prefix: str = settings.lakefs.prefix
        self._cache_dir: Path | None = settings.pull.cache_dir if cache else None
        if self._cache_dir is not None:
            with ObjectCache(self._cache_dir, settings.pull.cache_bytes) as found:
                found.evict()

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """Return the bytes of images, in the order of the numbers; those that have to be fetched, concurrently.

        Raises:
            UnreadableImageError: lakeFS has damaged bytes, or none.
            CacheError: The cache cannot be used or written.
            StoreError: lakeFS does not answer or refuses.
        """
        with ExitStack() as stack:
            cache = None if self._cache_dir is None else stack.enter_context(ObjectCache(self._cache_dir))
            wanted = {number: self._listing[number] for number in numbers}
            found = {number: self._at_hand(one, cache) for number, one in wanted.items()}
            missing = {number: wanted[number] for number, content in found.items() if content is None}
            if missing:
                opened = self._snapshot._opened  # noqa: SLF001 - of the same library
                found |= opened.call(lambda session: self._fetched(session, missing, cache))
        return [found[number] or b"" for number in numbers]

    def _at_hand(self, one: Listed, cache: ObjectCache | None) -> bytes | None:
        """Return the bytes of an image that need not be fetched."""
        if one.sha256 is None:
            return None  # nothing tells whether a file is it
        if self._folder is not None:
            content = _read(self._folder / IMAGES / one.path, one.sha256, is_cached=False)
            if content is not None:
                return content
        if cache is None:
            return None
        content = _read(Path(cache.path(one.sha256)), one.sha256, is_cached=True)
        if content is None and cache.has(one.sha256, one.size_bytes):
            cache.check(one.sha256)  # damaged: it goes
        return content

    async def _fetched(
        self, session: Session, missing: dict[int, Listed], cache: ObjectCache | None
    ) -> dict[int, bytes]:
        objects = await session.objects(self._snapshot.commit_id)
        fetcher = None if cache is None else Fetcher(objects, self._prefix, cache)

        async def through_cache(one: Listed, fetcher: Fetcher) -> bytes:
            sha256 = await fetcher.fetch(Entry(IMAGES + one.path, one.size_bytes, one.sha256))
            return await asyncio.to_thread(Path(fetcher.cache.path(sha256)).read_bytes)

        def fetch(one: Listed) -> Awaitable[bytes]:
            if fetcher is not None:
                return through_cache(one, fetcher)
            key = self._prefix + IMAGES + one.path
            return read_object(ObjectInfo(key=key, size_bytes=one.size_bytes, etag="", sha256=one.sha256), objects)

        return await fetched_together(missing, fetch)


async def fetched_together(missing: dict[int, Listed], fetch: Callable[[Listed], Awaitable[bytes]]) -> dict[int, bytes]:
    """Return the bytes of images by their numbers, some fetched at a time.

    Raises:
        UnreadableImageError: One cannot be had. What else ``fetch`` raises.
    """
    found: dict[int, bytes] = {}
    rest = iter(missing.items())

    async def some() -> None:
        for number, one in rest:
            try:
                found[number] = await fetch(one)
            except PermanentStoreError as error:
                raise UnreadableImageError(number, error) from error

    with first_alone():
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_A_TIME, len(missing))):
                group.create_task(some())
    return found


def _read(path: Path, sha256: bytes, *, is_cached: bool) -> bytes | None:
    """Return the bytes of a file if they are those of the digest; of a cached one, note that it was used."""
    try:
        with path.open("rb", buffering=0) as file:
            content = file.readall()
            if hashlib.sha256(content).digest() != sha256:
                return None
            if is_cached:
                os.utime(file.fileno(), ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
    except (OSError, ValueError):  # not there, or no name that a file can have
        return None
    return content
