"""Brings one object from the store into the cache, checked on the way."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from syncd.errors import PermanentStoreError
from syncd.snapshots.object_cache import CacheError
from syncd.snapshots.patience import patiently
from syncd.threads import Together, in_thread_to_its_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.snapshots.manifest import Entry
    from syncd.snapshots.object_cache import ObjectCache
    from syncd.store.base import ObjectReader

WRITERS = 2  # threads that check and write small objects
SMALL_BYTES = 1 << 20  # up to this size an object is held in memory while it comes


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches objects of one commit; several at a time.

    Args:
        objects: Of the commit.
        prefix: In front of every key of syncd's.
        cache: Entered.
        together: What small objects are checked and written by.
    """

    objects: ObjectReader
    prefix: str
    cache: ObjectCache
    together: Together = field(default_factory=partial(Together, WRITERS))

    async def fetch(self, entry: Entry, then: Callable[[bytes], None] = lambda _sha256: None) -> bytes:
        """Bring an object into the cache and return its SHA-256; what fails in passing is tried again.

        Args:
            entry: The object.
            then: Called with the SHA-256 in a thread, once the object is in the cache: in the one that put it there, as
                changing threads costs more than keeping a small object. It raises no ``OSError``.

        Raises:
            PermanentStoreError: It is not there, or not what the listing says.
            CacheError: The cache cannot be written.
            StoreError: lakeFS does not answer or refuses.
        """
        fetch = self._fetch_small if entry.size_bytes <= SMALL_BYTES else self._fetch_large
        try:
            return await patiently(lambda: fetch(entry, then))
        except OSError as error:
            raise self._unwritable(error) from error

    async def _fetch_small(self, entry: Entry, then: Callable[[bytes], None]) -> bytes:
        content = await self.objects.get(self.prefix + entry.path)

        def keep() -> bytes:
            sha256 = hashlib.sha256(content).digest()
            _require_same(entry, sha256, len(content))
            self.cache.keep(content, sha256)
            then(sha256)
            return sha256

        return await self.together.run(keep)

    async def _fetch_large(self, entry: Entry, then: Callable[[bytes], None]) -> bytes:
        digest, size_bytes = hashlib.sha256(), 0
        with self.cache.incoming() as incoming:

            async def take(chunk: bytes) -> None:
                nonlocal size_bytes
                size_bytes += len(chunk)
                await asyncio.to_thread(digest.update, chunk)
                try:  # the file is closed under no thread
                    await in_thread_to_its_end(partial(incoming.write, chunk))
                except OSError as error:  # not to be taken for one of the connection
                    raise self._unwritable(error) from error

            await self.objects.fetch(self.prefix + entry.path, take)
            _require_same(entry, digest.digest(), size_bytes)
            incoming.keep(digest.digest())
        await in_thread_to_its_end(partial(then, digest.digest()))
        return digest.digest()

    def _unwritable(self, error: OSError) -> CacheError:
        return CacheError(
            f"the cache {self.cache.directory} cannot be written: {error.strerror}",
            next_step="free some room there, or name another one: pull.cache_dir, or --cache",
        )


def _require_same(entry: Entry, sha256: bytes, size_bytes: int) -> None:
    """Check that what came is what the listing says.

    Raises:
        PermanentStoreError: It is not.
    """
    if size_bytes != entry.size_bytes or (entry.sha256 is not None and entry.sha256 != sha256):
        raise PermanentStoreError(
            "its bytes are not those of its digest", cause="they were damaged where lakeFS stores them"
        )
