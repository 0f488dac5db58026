"""What a client does with a snapshot, in an event loop; both faces of the library call it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.client.facts import SnapshotFacts
from syncd.errors import NotFoundStoreError, UsageError
from syncd.keys import is_folder_marker
from syncd.model import IMAGES
from syncd.snapshots.checked import read_object
from syncd.snapshots.comparison import compare
from syncd.snapshots.image_rows import ImageRows
from syncd.snapshots.object_cache import ObjectCache
from syncd.snapshots.placing import Placing
from syncd.snapshots.pull import Pull, Pulled
from syncd.snapshots.table_objects import UnknownTableError
from syncd.snapshots.tables import read_table
from syncd.snapshots.tables import tables as found_tables

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    import pyarrow as pa

    from syncd.client.session import Session
    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.table_objects import TableInfo
    from syncd.store.base import ObjectInfo


@dataclass(frozen=True, slots=True)
class PullOptions:
    """How a snapshot is pulled.

    Args:
        paths: Files and folders of it, such as "images/cats"; none: all.
        delete: What is in the folder and not as it was pulled may go.
        link: "auto", "reflink", "hardlink" or "copy".
        cache: Another cache than the configured one.
        progress: Called with what is done so far, often.
    """

    paths: Sequence[str] = ()
    delete: bool = False
    link: str = "auto"
    cache: str | os.PathLike[str] | None = None
    progress: Callable[[Pulled], None] = lambda _: None


async def images(session: Session, found: Pinned, below: str) -> AsyncIterator[ObjectInfo]:
    """Yield the images of a snapshot, sorted by path; only those of a folder, if it is named."""
    area = f"{session.settings.lakefs.prefix}{IMAGES}{below.strip('/')}{'/' if below.strip('/') else ''}"
    async for one in session.versions.objects(found.commit.id, area):
        if not is_folder_marker(one.key):
            yield one


async def image(session: Session, found: Pinned, path: str) -> ObjectInfo:
    """Return one image of a snapshot.

    Raises:
        NotFoundStoreError: It has none of this path.
    """
    key = f"{session.settings.lakefs.prefix}{IMAGES}{path}"
    async for one in session.versions.objects(found.commit.id, key):
        if one.key == key:
            return one
        break
    raise NotFoundStoreError(
        f"the snapshot {found.name} has no image {path!r}",
        next_step="paths are relative to the watched folder, as snapshot.images() gives them",
    )


async def read(session: Session, found: Pinned, one: ObjectInfo) -> bytes:
    """Return an object's bytes, checked against its digest."""
    return await read_object(one, await session.objects(found.commit.id))


async def row(session: Session, found: Pinned, name: str | None, path: str) -> Mapping[str, Any] | None:
    """Return the row that names an image, of the named table or the first that has one; reads the tables once."""
    commit_id = found.commit.id
    if commit_id not in session.rows:
        session.rows[commit_id] = {
            info.name: await asyncio.to_thread(ImageRows, info, await table(session, found, info.name))
            for info in await tables(session, found)
            if info.image_column is not None
        }
    rows = session.rows[commit_id]
    if name is not None and name not in rows:
        raise UnknownTableError(
            f"the snapshot {found.tag or commit_id} has no table {name!r} whose rows name images",
            cause=f"those that do: {', '.join(rows) or 'none'}",
        )
    wanted = rows.values() if name is None else [rows[name]]
    return next((row for one in wanted if (row := one.row(path)) is not None), None)


async def tables(session: Session, found: Pinned) -> list[TableInfo]:
    """Return what tables there are."""
    objects = await session.objects(found.commit.id)
    return await found_tables(found, session.versions, session.settings.lakefs.prefix, objects=objects)


async def table(session: Session, found: Pinned, name: str) -> pa.Table:
    """Return a table, all of it."""
    objects = await session.objects(found.commit.id)
    prefix = session.settings.lakefs.prefix
    return await read_table(found, name, versions=session.versions, objects=objects, prefix=prefix)


async def pull(session: Session, snapshot: SnapshotFacts, folder: Path, options: PullOptions) -> Pulled:
    """Make a folder exactly a snapshot, or a part of it."""
    found, settings = snapshot._found, session.settings  # noqa: SLF001 - of this room
    cache = ObjectCache(Path(options.cache or settings.pull.cache_dir), settings.pull.cache_bytes)
    with cache:
        async with session.in_use(found.commit.id):
            return await Pull(
                found=found,
                versions=session.versions,
                objects=await session.objects(found.commit.id),
                prefix=settings.lakefs.prefix,
                cache=cache,
                paths=tuple(options.paths),
                placing=Placing(options.link),
                delete=options.delete,
                about=snapshot.description,
                progress=options.progress,
            ).into(folder)


async def other_end(session: Session, snapshot: SnapshotFacts, other: SnapshotFacts | str) -> SnapshotFacts:
    """Return what a snapshot is compared with: one of the same repository, or the one a name stands for.

    Raises:
        UsageError: It is of another repository.
        UnknownSnapshotError: There is none of this name.
    """
    if isinstance(other, str):
        return SnapshotFacts(session.settings, await session.find(other, None))
    if not other.is_beside(snapshot):
        raise UsageError(f"{other.uri} and {snapshot.uri} are of two repositories, which are not compared")
    return other


async def compared(session: Session, old: SnapshotFacts, new: SnapshotFacts) -> tuple[Comparison, AsyncExitStack]:
    """Return what changed from one snapshot to another, and what closes it."""
    left, right = old._found, new._found  # noqa: SLF001 - of this room
    stack = AsyncExitStack()
    lent = compare(
        left,
        right,
        versions=session.versions,
        left_objects=await session.objects(left.commit.id),
        right_objects=await session.objects(right.commit.id),
        prefix=session.settings.lakefs.prefix,
    )
    return await stack.enter_async_context(lent), stack
