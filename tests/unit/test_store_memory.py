"""The fake: how it counts, fails and waits on request. What it has in common with lakeFS is in tests/contract."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from syncd.errors import NeedsPersonStoreError, TransientStoreError
from syncd.model import Fingerprint
from syncd.store.memory import MemoryObjectStore, MemoryRepository, MemoryVersionStore


@pytest.fixture
def repository() -> MemoryRepository:
    made = MemoryRepository()
    made.create("local://photos", "main")
    made.create_branch("staging", "main")
    return made


@pytest.fixture
def objects(repository: MemoryRepository) -> MemoryObjectStore:
    return MemoryObjectStore(repository, "staging")


@pytest.fixture
def versions(repository: MemoryRepository) -> MemoryVersionStore:
    return MemoryVersionStore(repository)


async def put(objects: MemoryObjectStore, key: str, content: bytes = b"x") -> None:
    md5 = hashlib.md5(content).digest()  # noqa: S324  # what an ETag is
    fingerprint = Fingerprint(sha256=hashlib.sha256(content).digest(), md5=md5, size_bytes=len(content))
    await objects.put(key, content, fingerprint, "image/jpeg")


async def test_calls_are_counted_by_method_on_each_store(
    objects: MemoryObjectStore, versions: MemoryVersionStore
) -> None:
    await put(objects, "images/1.jpg")
    await objects.delete(["images/1.jpg", "images/2.jpg"])
    await versions.head("main")
    assert [found async for found in versions.objects("main", "")] == []
    assert objects.calls == {"put": 1, "delete": 1}
    assert versions.calls == {"head": 1, "objects": 1}


async def test_a_call_that_fails_is_counted_and_has_no_effect(objects: MemoryObjectStore) -> None:
    objects.fail_next("put", TransientStoreError("reset"), times=2)
    for _ in range(2):
        with pytest.raises(TransientStoreError):
            await put(objects, "images/1.jpg")
    assert await objects.head("images/1.jpg") is None
    await put(objects, "images/1.jpg")
    assert objects.calls["put"] == 3


async def test_a_call_whose_answer_is_lost_has_its_effect(
    objects: MemoryObjectStore, versions: MemoryVersionStore
) -> None:
    await put(objects, "images/1.jpg")
    versions.fail_next("commit", TransientStoreError("reset"), applied=True)
    with pytest.raises(TransientStoreError):
        await versions.commit("staging", "m", {"syncd.snapshot": "1"})
    assert (await versions.head("staging")).metadata == {"syncd.snapshot": "1"}
    assert not [change async for change in versions.uncommitted("staging")]


async def test_a_listing_fails_when_it_is_read(versions: MemoryVersionStore) -> None:
    versions.fail_next("objects", TransientStoreError("reset"))
    with pytest.raises(TransientStoreError):
        [found async for found in versions.objects("main", "")]


async def test_a_held_call_waits_before_its_effect(objects: MemoryObjectStore) -> None:
    hold = objects.hold_next("put")
    putting = asyncio.create_task(put(objects, "images/1.jpg"))
    await hold.reached.wait()
    assert await objects.head("images/1.jpg") is None
    hold.release.set()
    await putting
    assert await objects.head("images/1.jpg") is not None


async def test_the_repository_outlives_its_stores(repository: MemoryRepository, objects: MemoryObjectStore) -> None:
    await put(objects, "images/1.jpg")
    after_restart = MemoryObjectStore(repository, "staging")
    assert await after_restart.get("images/1.jpg") == b"x"
    assert after_restart.calls == {"get": 1}


async def test_protected_branches_and_read_only_repositories_refuse_writes(
    repository: MemoryRepository, objects: MemoryObjectStore, versions: MemoryVersionStore
) -> None:
    await put(objects, "images/1.jpg")
    repository.protected = {"main"}
    with pytest.raises(NeedsPersonStoreError):
        await put(MemoryObjectStore(repository, "main"), "images/1.jpg")
    await versions.commit("staging", "m", {})
    await versions.merge("staging", "main", "publish", {})
    repository.read_only = True
    with pytest.raises(NeedsPersonStoreError):
        await objects.delete(["images/1.jpg"])


async def test_a_deleted_branch_takes_no_more_objects(repository: MemoryRepository, objects: MemoryObjectStore) -> None:
    repository.delete_branch("staging")
    with pytest.raises(NeedsPersonStoreError):
        await put(objects, "images/1.jpg")
