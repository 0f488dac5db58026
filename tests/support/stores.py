"""The stores under test, over a server in memory or a real one."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from syncd.model import Fingerprint
from syncd.store.content_type import content_type
from syncd.store.lakefs_api import LakeFSAPI
from syncd.store.lakefs_reader import LakeFSReader
from syncd.store.memory import MemoryObjectStore, MemoryRepository, MemoryVersionStore
from syncd.store.memory_repository import MemoryObject
from syncd.store.s3_gateway import S3Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncd.store.base import ObjectReader, ObjectStore, VersionStore


@dataclass
class Stores:
    """The two ports on one repository."""

    repository: str
    objects: ObjectStore  # on the branch "staging"
    versions: VersionStore
    server: Server  # what opened them
    reader: ObjectReader  # of the same reference

    async def put(self, key: str, content: bytes) -> None:
        await self.objects.put(key, content, self.fingerprint(content), content_type(key))

    async def put_foreign(self, key: str, content: bytes) -> None:
        """As another tool would: no SHA-256 goes along."""
        if isinstance(self.objects, MemoryObjectStore):
            etag = self.fingerprint(content).md5.hex()
            stored = MemoryObject(content=content, etag=etag, sha256=None, content_type="text/plain")
            self.objects._repository.stage("staging", key, stored)
        else:
            upload = self.versions.sdk.client.objects_api.upload_object
            await asyncio.to_thread(upload, self.repository, "staging", key, content=content)

    async def commit(self, message: str = "a commit", **metadata: str) -> str:
        return (await self.versions.commit("staging", message, metadata)).id

    async def publish(self) -> str:
        return (await self.versions.merge("staging", "main", "publish", {})).id

    @staticmethod
    def fingerprint(content: bytes) -> Fingerprint:
        return Fingerprint(
            sha256=hashlib.sha256(content).digest(),
            md5=hashlib.md5(content).digest(),  # noqa: S324  # what an ETag is
            size_bytes=len(content),
        )

    async def keys(self, reference: str, prefix: str = "") -> list[str]:
        return [found.key async for found in self.versions.objects(reference, prefix)]

    async def changes(self, branch: str = "staging") -> list[tuple[str, str]]:
        return [(found.kind, found.key) async for found in self.versions.uncommitted(branch)]


class MemoryServer:
    def __init__(self) -> None:
        self._repositories: dict[str, MemoryRepository] = {}
        self._used_namespaces: set[str] = set()

    @asynccontextmanager
    async def open(self, repository: str, branch: str = "staging") -> AsyncIterator[Stores]:
        shared = self._repositories.setdefault(
            repository, MemoryRepository(repository, used_namespaces=self._used_namespaces)
        )
        objects = MemoryObjectStore(shared, branch)
        yield Stores(repository, objects, MemoryVersionStore(shared), self, objects)


class RealServer:
    """A server by its address; what answers there need not be lakeFS."""

    def __init__(self, endpoint: str, access_key_id: str = "AKIAANY", secret_access_key: str | None = None) -> None:
        self.endpoint = endpoint
        self.credentials = {"access_key_id": access_key_id, "secret_access_key": secret_access_key or "any secret"}

    @asynccontextmanager
    async def open(
        self,
        repository: str,
        branch: str = "staging",
        *,
        concurrency: int = 64,
        commit_timeout_s: float = 60.0,
        **changed: Any,
    ) -> AsyncIterator[Stores]:
        """Open both stores; ``changed`` are further settings of both, as ``endpoint``."""
        settings = {"endpoint": self.endpoint, "repository": repository, **self.credentials, **changed}
        objects = S3Gateway(branch=branch, concurrency=concurrency, **settings)
        versions = LakeFSAPI(commit_timeout_s=commit_timeout_s, **settings)
        reader = LakeFSReader(reference=branch, concurrency=concurrency, **settings)
        async with objects, versions, reader:
            yield Stores(repository, objects, versions, self, reader)


Server = MemoryServer | RealServer
