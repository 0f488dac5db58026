"""A snapshot is held against its commit; over the real store as over the pretended one."""

from __future__ import annotations

import random

import pytest

from syncd.fingerprint import SetDigest
from syncd.snapshots.reference import Pinned, find
from syncd.snapshots.verification import MOST_NAMED, Verification, verify
from syncd.store.base import INTENT_METADATA
from tests.support.stores import Stores

IMAGES = {f"images/{number:03}.jpg": b"image %d" % number for number in range(30)}
TABLES = {"tables/labels.csv": b"id,image\n"}


async def publish(stores: Stores, *, prefix: str = "", **other: str) -> Pinned:
    """A snapshot as syncd makes it, but for what its commit is made to say otherwise."""
    contents, digest = IMAGES | TABLES, SetDigest()
    for key, content in contents.items():
        await stores.put(prefix + key, content)
        digest.add(key, stores.fingerprint(content).sha256)
    said = {"images": len(IMAGES), "bytes": sum(map(len, contents.values())), "digest": digest.hexdigest(), **other}
    metadata = {INTENT_METADATA: "one", **{f"syncd.{name}": str(value) for name, value in said.items()}}
    commit = await stores.versions.commit("staging", "a snapshot", metadata)
    return await find(stores.versions, commit.id, publish="main")


async def verified(stores: Stores, found: Pinned, *, prefix: str = "", share: float = 0.0) -> Verification:
    async with stores.server.open(stores.repository, found.commit.id) as of_the_commit:
        return await verify(
            found,
            versions=stores.versions,
            objects=of_the_commit.objects,
            prefix=prefix,
            share=share,
            rng=random.Random(1),
        )


@pytest.mark.parametrize("prefix", ["", "photos/"])
async def test_a_snapshot_is_what_its_commit_says(stores: Stores, prefix: str) -> None:
    if prefix:
        await stores.put("someone/elses.txt", b"not ours")
    found = await publish(stores, prefix=prefix)
    await stores.put(f"{prefix}images/later.jpg", b"not committed")
    told = await verified(stores, found, prefix=prefix, share=1.0)
    assert told.faults == []
    assert (told.objects, told.images) == (31, 30)
    assert (told.read_objects, told.read_bytes) == (31, told.size_bytes)
    assert told.digest == found.commit.metadata["syncd.digest"]


async def test_what_lies_below_the_prefix_and_does_not_belong_there_shows(stores: Stores) -> None:
    await stores.put("images/strange.jpg", b"not of this snapshot")
    told = await verified(stores, await publish(stores))
    assert [fault.why.partition(" for ")[2].partition(";")[0] for fault in told.faults] == ["images", "bytes", "digest"]


@pytest.mark.parametrize(("said", "name"), [("31", "images"), ("1", "bytes"), ("0" * 64, "digest")])
async def test_what_the_commit_says_otherwise_is_named(stores: Stores, said: str, name: str) -> None:
    told = await verified(stores, await publish(stores, **{name: said}))
    (fault,) = told.faults
    assert fault.why.startswith(f"its commit says {said} for {name}; listed are ")
    assert told.read_objects == 0


async def test_a_commit_of_someone_else_is_named_as_such(stores: Stores) -> None:
    await stores.put("images/a.jpg", b"a")
    found = await find(stores.versions, await stores.commit("by someone else"), publish="main")
    (fault,) = (await verified(stores, found)).faults
    assert "syncd did not make it" in fault.why


async def test_a_sample_is_read(stores: Stores) -> None:
    told = await verified(stores, await publish(stores), share=0.3)
    assert 0 < told.read_objects < 31


def test_faults_beyond_a_hundred_are_counted() -> None:
    told = Verification()
    for number in range(MOST_NAMED + 5):
        told.note(f"{number}", "why")
    assert (told.fault_count, len(told.faults)) == (MOST_NAMED + 5, MOST_NAMED)
