"""An in-memory repository that behaves as lakeFS does, passes the same suite, and fails on request.

For tests of what is built on the store ports. ``MemoryRepository`` is the server's side and outlives the two stores
on it, as a server outlives a process; each store counts its calls and can be told how the next one fails::

    repository = MemoryRepository()
    objects, versions = MemoryObjectStore(repository, "staging"), MemoryVersionStore(repository)
    versions.fail_next("commit", TransientStoreError("reset"), applied=True)  # done, but the answer was lost
    assert versions.calls["commit"] == 1
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from syncd.errors import ContentChangedStoreError, NotFoundStoreError, PermanentStoreError, StoreError
from syncd.keys import describe_key_fault, key_fault
from syncd.store.base import Commit, DeleteOutcome, Difference, ObjectInfo
from syncd.store.memory_repository import MemoryObject, MemoryRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from syncd.model import Fingerprint

__all__ = ["Hold", "MemoryObjectStore", "MemoryRepository", "MemoryVersionStore"]

T = TypeVar("T")
_CHUNK_BYTES = 1 << 20


class Hold:
    """One call that waits in the middle: await ``reached``, look around, then set ``release``."""

    def __init__(self) -> None:
        self.reached, self.release = asyncio.Event(), asyncio.Event()


class Scripted:
    """Counts calls, and lets the next ones fail or wait."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()  # method -> calls, failed ones included
        self._faults: dict[str, deque[tuple[StoreError, bool]]] = {}
        self._holds: dict[str, deque[Hold]] = {}

    def fail_next(self, method: str, error: StoreError, *, applied: bool = False, times: int = 1) -> None:
        """Let the next calls of a method fail; several such orders queue up.

        Args:
            method: Its name, "put".
            error: What it raises.
            applied: True: the call has its effect first, as when only the answer is lost.
            times: How many calls.
        """
        self._faults.setdefault(method, deque()).extend([(error, applied)] * times)

    def hold_next(self, method: str) -> Hold:
        """Let the next call of a method wait before its effect until the returned ``release`` is set."""
        hold = Hold()
        self._holds.setdefault(method, deque()).append(hold)
        return hold

    async def _perform(self, method: str, effect: Callable[[], T]) -> T:
        """Do one call: count it, give others the floor, fail or wait as told."""
        self.calls[method] += 1
        await asyncio.sleep(0)
        if holds := self._holds.get(method):
            hold = holds.popleft()
            hold.reached.set()
            await hold.release.wait()
        faults = self._faults.get(method)
        error, applied = faults.popleft() if faults else (None, False)
        if error is not None and not applied:
            raise error
        result = effect()
        if error is not None:
            raise error
        return result


class MemoryObjectStore(Scripted):
    """An ``ObjectStore`` on one branch of a ``MemoryRepository``."""

    def __init__(self, repository: MemoryRepository, branch: str) -> None:
        super().__init__()
        self._repository, self._branch = repository, branch

    async def put(self, key: str, body: bytes | BinaryIO, fingerprint: Fingerprint, content_type: str) -> None:
        """See ``ObjectStore.put``."""
        _check(key)

        def effect() -> None:
            try:
                content = body if isinstance(body, bytes) else body.read()
            except OSError as error:
                raise ContentChangedStoreError(f"{key} could not be read", cause=str(error)) from error
            if hashlib.sha256(content).digest() != fingerprint.sha256:
                raise ContentChangedStoreError(f"{key}: the bytes are not those of the fingerprint")
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            stored = MemoryObject(content=content, etag=md5, sha256=fingerprint.sha256, content_type=content_type)
            self._repository.stage(self._branch, key, stored)
            if md5 != fingerprint.md5.hex():
                raise ContentChangedStoreError(f"{key} was stored with another ETag")

        await self._perform("put", effect)

    async def copy(self, source: str, reference: str, key: str, fingerprint: Fingerprint) -> None:
        """See ``ObjectStore.copy``."""
        _check(key)

        def effect() -> None:
            found = self._repository.tree(reference).get(source)
            if found is None:
                raise NotFoundStoreError(f"There is no object {source} in {reference}")
            self._repository.stage(self._branch, key, found)
            if found.etag != fingerprint.md5.hex():
                raise ContentChangedStoreError(f"{key} was stored with another ETag")

        await self._perform("copy", effect)

    async def delete(self, keys: Sequence[str]) -> DeleteOutcome:
        """See ``ObjectStore.delete``."""

        def effect() -> DeleteOutcome:
            deleted: set[str] = set()
            failed: dict[str, StoreError] = {}
            for key in dict.fromkeys(keys):
                if fault := key_fault(key):
                    failed[key] = PermanentStoreError(describe_key_fault(fault))
                else:
                    self._repository.unstage(self._branch, key)
                    deleted.add(key)
            return DeleteOutcome(deleted=frozenset(deleted), failed=failed)

        return await self._perform("delete", effect)

    async def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        _check(key)

        def effect() -> ObjectInfo | None:
            found = self._repository.find_object(self._branch, key)
            return found.info(key) if found else None

        return await self._perform("head", effect)

    async def get(self, key: str) -> bytes:
        """See ``ObjectStore.get``."""
        _check(key)

        def effect() -> bytes:
            self._repository.require_bucket()
            found = self._repository.find_object(self._branch, key)
            if found is None:
                raise NotFoundStoreError(f"There is no object {key}")
            return found.content

        return await self._perform("get", effect)

    async def fetch(self, key: str, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """See ``ObjectStore.fetch``."""
        content = await self.get(key)
        for start in range(0, len(content), _CHUNK_BYTES):
            await sink(content[start : start + _CHUNK_BYTES])


class MemoryVersionStore(Scripted):
    """A ``VersionStore`` on a ``MemoryRepository``."""

    def __init__(self, repository: MemoryRepository) -> None:
        super().__init__()
        self._repository = repository

    async def ensure_repository(self, storage_namespace: str, default_branch: str) -> bool:
        """See ``VersionStore.ensure_repository``."""
        return await self._perform(
            "ensure_repository", lambda: self._repository.create(storage_namespace, default_branch)
        )

    async def default_branch(self) -> str:
        """See ``VersionStore.default_branch``."""
        return await self._perform("default_branch", self._repository.find_default_branch)

    async def ensure_branch(self, branch: str, source: str) -> bool:
        """See ``VersionStore.ensure_branch``."""
        return await self._perform("ensure_branch", lambda: self._repository.create_branch(branch, source))

    async def head(self, branch: str) -> Commit:
        """See ``VersionStore.head``."""
        return await self._perform("head", lambda: self._repository.head(branch))

    async def head_id(self, branch: str) -> str:
        """See ``VersionStore.head_id``."""
        return await self._perform("head_id", lambda: self._repository.head(branch).id)

    async def find_commit(self, reference: str) -> Commit:
        """See ``VersionStore.find_commit``."""
        return await self._perform("find_commit", lambda: self._repository.find_commit(reference))

    async def commit(self, branch: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """See ``VersionStore.commit``."""
        return await self._perform("commit", lambda: self._repository.commit(branch, message, metadata))

    async def merge(self, source: str, into: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """See ``VersionStore.merge``."""
        return await self._perform("merge", lambda: self._repository.merge(source, into, message, metadata))

    async def create_tag(self, tag: str, commit_id: str) -> None:
        """See ``VersionStore.create_tag``."""
        await self._perform("create_tag", lambda: self._repository.create_tag(tag, commit_id))

    async def tag_target(self, tag: str) -> str | None:
        """See ``VersionStore.tag_target``."""
        return await self._perform("tag_target", lambda: self._repository.tags.get(tag))

    async def tags(self) -> AsyncIterator[tuple[str, str]]:
        """See ``VersionStore.tags``."""
        for tag in await self._perform("tags", lambda: sorted(self._repository.tags.items())):
            yield tag

    async def log(self, reference: str, *, limit: int = 100, paths: Sequence[str] = ()) -> AsyncIterator[Commit]:
        """See ``VersionStore.log``."""
        for commit in await self._perform("log", lambda: self._repository.log(reference, paths)[:limit]):
            yield commit

    async def objects(self, reference: str, prefix: str) -> AsyncIterator[ObjectInfo]:
        """See ``VersionStore.objects``."""
        tree = await self._perform("objects", lambda: self._repository.tree(reference))
        for key in sorted(tree, key=str.encode):
            if key.startswith(prefix):
                yield tree[key].info(key)

    async def uncommitted(self, branch: str) -> AsyncIterator[Difference]:
        """See ``VersionStore.uncommitted``."""
        for difference in await self._perform("uncommitted", lambda: self._repository.uncommitted(branch)):
            yield difference

    async def diff(self, left: str, right: str, prefix: str = "") -> AsyncIterator[Difference]:
        """See ``VersionStore.diff``."""
        for difference in await self._perform("diff", lambda: self._repository.diff(left, right)):
            if difference.key.startswith(prefix):
                yield difference

    async def server_version(self) -> str:
        """See ``VersionStore.server_version``."""
        return await self._perform("server_version", lambda: "1.84.0")


def _check(key: str) -> None:
    if fault := key_fault(key):
        raise PermanentStoreError(f"Nothing was sent for {key!r}", cause=describe_key_fault(fault))
