"""Claims on a branch: the fake and the real one alike."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from syncd.errors import NotFoundStoreError
from syncd.store.lakefs_api import LakeFSAPI
from syncd.store.lakefs_lease import LakeFSLease
from syncd.store.memory_lease import MemoryLease

if TYPE_CHECKING:
    from syncd.store.base import LeaseStore
    from tests.support.stores import Stores


@pytest.fixture
async def lease(stores: Stores) -> LeaseStore:
    versions = stores.versions
    if isinstance(versions, LakeFSAPI):
        store: LeaseStore = LakeFSLease(versions.sdk, stores.repository, "staging")
    else:
        store = MemoryLease({})
    await store.prepare("main")
    await store.prepare("main")
    return store


async def test_of_many_that_claim_a_generation_one_gets_it(lease: LeaseStore) -> None:
    assert await lease.claims() == []
    told = await asyncio.gather(*(lease.claim(7, "me") for _ in range(8)))
    assert sorted(told) == [False] * 7 + [True]
    (claim,) = await lease.claims()
    assert (claim.generation, dict(claim.note)) == (7, {})
    assert claim.made_by == hashlib.md5(b"me", usedforsecurity=False).hexdigest()
    await lease.note(7, {"host": "a"})
    assert (await lease.claims())[0].made_by == claim.made_by


async def test_what_a_holder_says_of_itself_is_replaced_as_a_whole(lease: LeaseStore) -> None:
    await lease.claim(1, "me")
    await lease.note(1, {"host": "a", "pid": "1"})
    await lease.note(1, {"host": "b"})
    (claim,) = await lease.claims()
    assert dict(claim.note) == {"host": "b"}


async def test_claims_come_in_order_and_can_be_forgotten(lease: LeaseStore) -> None:
    for generation in (2, 10, 1):
        assert await lease.claim(generation, "me")
    assert [claim.generation for claim in await lease.claims()] == [1, 2, 10]
    await lease.forget(2)
    await lease.forget(2)
    assert [claim.generation for claim in await lease.claims()] == [1, 10]


async def test_a_claim_that_is_not_there_cannot_be_renewed(lease: LeaseStore) -> None:
    with pytest.raises(NotFoundStoreError):
        await lease.note(3, {"host": "a"})


@pytest.mark.lakefs
async def test_a_sign_of_life_stores_nothing_and_leaves_the_staging_branch_alone(real_stores: Stores) -> None:
    versions = real_stores.versions
    assert isinstance(versions, LakeFSAPI)
    lease = LakeFSLease(versions.sdk, real_stores.repository, "staging")
    await lease.prepare("main")
    await lease.claim(1, "me")
    addresses = set()
    for beat in range(5):
        await lease.note(1, {"beat": str(beat)})
        stat = versions.sdk.client.objects_api.stat_object(
            real_stores.repository, "staging-lease", "lease/000000000001"
        )
        addresses.add(stat.physical_address)
    assert len(addresses) == 1
    assert not [change async for change in versions.uncommitted("staging")]
