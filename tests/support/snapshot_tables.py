"""Snapshots with tables, written by what the daemon writes them with, over any store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncd.fingerprint import SetDigest
from syncd.model import TABLES
from syncd.snapshots.reference import Pinned
from syncd.sources.tables.base import Column, Kind, Row
from syncd.sources.tables.images import ImageColumn
from syncd.sources.tables.publish import KnownObject, Publisher
from syncd.sources.tables.publish_csv import publish_csv
from syncd.sources.tables.roles import Roles
from syncd.sources.tables.spool import Spool
from syncd.store.base import INTENT_METADATA, ObjectStore
from tests.support.stores import Stores

ID = Column(name="id", kind=Kind.INTEGER, declared="bigint")
IMAGE = Column(name="image", kind=Kind.TEXT, declared="text")
LABEL = Column(name="label", kind=Kind.TEXT, declared="text")
COLUMNS = (ID, IMAGE, LABEL)


@dataclass(frozen=True)
class Reading:
    """One read of rows."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    key_position: int = 0

    def batches(self) -> Iterator[Sequence[Row]]:
        for at in range(0, len(self.rows), 1_000):
            yield self.rows[at : at + 1_000]


class CountedObjects:
    """An object store that is only read; remembers which keys were."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.read: list[str] = []

    async def fetch(self, key: str, sink: Any) -> None:
        self.read.append(key)
        await self._objects.fetch(key, sink)

    async def head(self, key: str) -> Any:
        self.read.append(f"HEAD {key}")
        return await self._objects.head(key)


@dataclass
class TableSnapshots:
    """Publishes tables and images, and takes snapshots of them."""

    stores: Stores
    scratch: Path
    prefix: str = ""
    roles: dict[str, Roles] = field(default_factory=dict)  # by table, as the commits say them
    rows: dict[str, int] = field(default_factory=dict)
    _known: dict[str, dict[str, KnownObject]] = field(default_factory=dict)

    async def put(self, key: str, content: bytes) -> None:
        await self.stores.put(self.prefix + key, content)

    async def delete(self, *keys: str) -> None:
        await self.stores.objects.delete([self.prefix + key for key in keys])

    async def csv(self, name: str, text: str, *, key: str | None = "id", image: ImageColumn | None = None) -> None:
        """A CSV file as it is."""
        await self.put(f"{TABLES}{name}.csv", text.encode())
        self._say(name, Roles(key=key, image=image), max(0, len(text.splitlines()) - 1))

    async def database(
        self,
        name: str,
        rows: Sequence[Row],
        columns: Sequence[Column] = COLUMNS,
        *,
        as_csv: bool = False,
        image: ImageColumn | None = None,
        target_rows: int = 10_000,
        key_position: int = 0,
    ) -> None:
        """A table of a database: in parts, or as text. Only what changed is written."""
        spool, reading = Spool(self.scratch / name), Reading(columns, rows, key_position)
        known = self._known.get(name, {})
        if as_csv:
            made = publish_csv(reading, name=name, image_column=image, known=known, spool=spool)
        else:
            publisher = Publisher(name=name, image_column=image, known=known, spool=spool, target_rows=target_rows)
            made = publisher.whole(reading)
        for one in made.objects:
            if one.key not in known or known[one.key].published != one:
                with spool.open(one.fingerprint.sha256) as body:
                    await self.put(one.key, body.read())
        await self.delete(*(known.keys() - {one.key for one in made.objects}))
        self._known[name] = {one.key: KnownObject(published=one) for one in made.objects}
        self._say(name, Roles(key=columns[key_position].name, image=image), made.rows)

    async def take(self, **other: str) -> Pinned:
        """Commit what was put, as syncd does."""
        objects, digest = [one async for one in self.stores.versions.objects("staging", self.prefix)], SetDigest()
        for one in objects:
            digest.add(one.key.removeprefix(self.prefix), one.sha256 or b"")
        said = {
            INTENT_METADATA: "one",
            "syncd.images": str(sum(one.key.startswith(f"{self.prefix}images/") for one in objects)),
            "syncd.bytes": str(sum(one.size_bytes for one in objects)),
            "syncd.digest": digest.hexdigest(),
            **{f"syncd.rows.{name}": str(rows) for name, rows in self.rows.items()},
        }
        for name, roles in self.roles.items():
            said |= roles.metadata(name)
        return Pinned(await self.stores.versions.commit("staging", "a snapshot", said | other), None)

    @asynccontextmanager
    async def objects_of(self, found: Pinned) -> AsyncIterator[CountedObjects]:
        async with self.stores.server.open(self.stores.repository, found.commit.id) as of_the_commit:
            yield CountedObjects(of_the_commit.objects)

    def _say(self, name: str, roles: Roles, rows: int) -> None:
        self.roles[name], self.rows[name] = roles, rows
