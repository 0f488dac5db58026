"""The staging branch, written to only while the lease on it is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from syncd.model import Fingerprint
    from syncd.store.base import DeleteOutcome, ObjectInfo, ObjectStore


class LeasedObjects:
    """An ``ObjectStore`` that asks before each write.

    Args:
        objects: What is written to.
        may_write: Raises if the branch is another's.
    """

    def __init__(self, objects: ObjectStore, may_write: Callable[[], Awaitable[None]]) -> None:
        self._objects, self._may_write = objects, may_write

    async def put(self, key: str, body: bytes | BinaryIO, fingerprint: Fingerprint, content_type: str) -> None:
        """See ``ObjectStore.put``."""
        await self._may_write()
        await self._objects.put(key, body, fingerprint, content_type)

    async def copy(self, source: str, reference: str, key: str, fingerprint: Fingerprint) -> None:
        """See ``ObjectStore.copy``."""
        await self._may_write()
        await self._objects.copy(source, reference, key, fingerprint)

    async def delete(self, keys: Sequence[str]) -> DeleteOutcome:
        """See ``ObjectStore.delete``."""
        await self._may_write()
        return await self._objects.delete(keys)

    async def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        return await self._objects.head(key)

    async def get(self, key: str) -> bytes:
        """See ``ObjectStore.get``."""
        return await self._objects.get(key)

    async def fetch(self, key: str, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """See ``ObjectStore.fetch``."""
        await self._objects.fetch(key, sink)
