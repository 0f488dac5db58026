"""Is a snapshot what its commit says it is? From the listing alone, or by reading what it holds."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncd.errors import NotFoundStoreError, PermanentStoreError, StoreError, first_alone
from syncd.fingerprint import SetDigest
from syncd.model import IMAGES, TABLES
from syncd.snapshots.fit import Fit
from syncd.snapshots.scratch import scratch_database
from syncd.snapshots.table_objects import stored_tables

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Mapping

    from syncd.snapshots.fit import TableFit
    from syncd.snapshots.reference import Pinned
    from syncd.store.base import ObjectInfo, ObjectReader, VersionStore

MOST_NAMED = 100  # faults listed one by one; beyond that they are counted
_READERS = 16


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it should be."""

    key: str  # without the prefix; "": the snapshot as a whole
    why: str


@dataclass(slots=True)
class Verification:
    """What was found."""

    objects: int = 0
    images: int = 0
    size_bytes: int = 0
    digest: str = ""
    read_objects: int = 0
    read_bytes: int = 0
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)
    tables: list[TableFit] = field(default_factory=list)  # sorted by name; empty where they were not read

    def note(self, key: str, why: str) -> None:
        """Count a fault, and keep it if there is room."""
        self.fault_count += 1
        if len(self.faults) < MOST_NAMED:
            self.faults.append(Fault(key, why))


async def verify(
    found: Pinned,
    *,
    versions: VersionStore,
    objects: ObjectReader,
    prefix: str,
    share: float,
    rng: random.Random,
    tables: bool = False,
) -> Verification:
    """List a snapshot and hold it against its commit; read a share of its objects. Memory does not grow with it.

    Args:
        found: The commit.
        versions: For the listing.
        objects: Of that commit.
        prefix: In front of every key of syncd's.
        share: Of the objects, to be read: 0 none, 1 all.
        rng: Chooses which.
        tables: Whether the tables are read, and their rows held against the images.

    Raises:
        StoreError: lakeFS does not answer or refuses; faults of single objects are found, not raised.
    """
    with scratch_database() if tables else nullcontext() as scratch:
        fit = None if scratch is None else Fit(scratch)
        told = await _list(found, versions, objects, prefix, share, rng, fit)
        _hold_against(found.commit.metadata, told)
        if fit is not None:
            for name, stored in (await stored_tables(found, versions, prefix)).items():
                one = await fit.table(stored, objects, found.commit.metadata)
                told.tables.append(one)
                for fault in one.faults:
                    told.note(f"{TABLES}{name}", fault)
    return told


async def _list(
    found: Pinned,
    versions: VersionStore,
    objects: ObjectReader,
    prefix: str,
    share: float,
    rng: random.Random,
    fit: Fit | None,
) -> Verification:
    told, digest = Verification(), SetDigest()
    to_read: asyncio.Queue[ObjectInfo | None] = asyncio.Queue(2 * _READERS)
    with first_alone():
        async with asyncio.TaskGroup() as group:
            for _ in range(_READERS if share else 0):
                group.create_task(_read_all(to_read, objects, prefix, told))
            async for one in _listed(versions.objects(found.commit.id, prefix), prefix, told, digest):
                if fit is not None and one.key.startswith(prefix + IMAGES):
                    fit.image(one.key.removeprefix(prefix))
                if share and rng.random() < share:
                    await to_read.put(one)
            for _ in range(_READERS if share else 0):
                await to_read.put(None)
    told.digest = digest.hexdigest()
    return told


async def _listed(
    rows: AsyncIterator[ObjectInfo], prefix: str, told: Verification, digest: SetDigest
) -> AsyncIterator[ObjectInfo]:
    async for one in rows:
        key = one.key.removeprefix(prefix)
        told.objects += 1
        told.size_bytes += one.size_bytes
        told.images += key.startswith(IMAGES)
        if one.sha256 is None:
            told.note(key, "it carries no digest: syncd did not write it")
        else:
            digest.add(key, one.sha256)
        yield one


async def _read_all(
    to_read: asyncio.Queue[ObjectInfo | None], objects: ObjectReader, prefix: str, told: Verification
) -> None:
    while (one := await to_read.get()) is not None:
        if one.sha256 is not None:
            await _read(one, objects, prefix, told)


async def _read(one: ObjectInfo, objects: ObjectReader, prefix: str, told: Verification) -> None:
    sha256, key = hashlib.sha256(), one.key.removeprefix(prefix)

    async def take(chunk: bytes) -> None:
        sha256.update(chunk)
        told.read_bytes += len(chunk)

    try:
        await objects.fetch(one.key, take)
    except (NotFoundStoreError, PermanentStoreError) as error:
        told.note(key, f"it cannot be read: {_said(error)}")
    else:
        told.read_objects += 1
        if sha256.digest() != one.sha256:
            told.note(key, "its bytes are not those of its digest: they were damaged where lakeFS stores them")


def _said(error: StoreError) -> str:
    return f"{error.fact}: {error.cause}" if error.cause else error.fact


def _hold_against(said: Mapping[str, str], told: Verification) -> None:
    """Note where the commit says otherwise; one that is no snapshot of syncd's says nothing."""
    if "syncd.digest" not in said:
        told.note("", "its commit does not say what it holds: syncd did not make it")
        return
    counted = {"images": told.images, "bytes": told.size_bytes, "digest": told.digest}
    for name, value in counted.items():
        if said.get(f"syncd.{name}") != str(value):
            told.note("", f"its commit says {said.get(f'syncd.{name}')} for {name}; listed are {value}")
