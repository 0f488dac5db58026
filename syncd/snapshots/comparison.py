"""What changed between two snapshots: files added, changed, deleted and renamed, and the rows of each table.

The cost follows the change. One listing of the differences, a request for each thousand, tells sizes and digests, so
that renames cost nothing more; of tables a second one tells what the left side had. Parts of a table are read where
they differ, and nothing is listed. Memory does not grow with any of it: what is found lies in a database without a
name, on the disk where it is more than some megabytes (see ``TMPDIR``).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from syncd.errors import first_alone
from syncd.model import IMAGES, TABLES
from syncd.snapshots.file_changes import FileChanges
from syncd.snapshots.scratch import scratch_database
from syncd.snapshots.table_comparison import Differing, Side, TableComparison, compare_table
from syncd.snapshots.table_objects import table_of
from syncd.store.base import ObjectInfo
from syncd.store.pages import pages
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from syncd.snapshots.file_changes import Amount, Change, Folder, Wanted
    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.row_changes import RowChange
    from syncd.store.base import ObjectReader, VersionStore

_PAGE = 1_000
_LOOK_UPS = 32  # under way at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found; for as long as it is lent. Reading it blocks, briefly."""

    left: Pinned
    right: Pinned
    stat: Mapping[str, Amount]  # of "added", "changed", "removed" and "renamed" paths, tables' objects among them
    of_images: Mapping[str, Amount]  # the same without those
    tables: Sequence[TableComparison] = field(default=())  # those that differ, sorted by name
    _files: FileChanges

    def changes(self) -> Iterator[Change]:
        """Yield the paths that differ, sorted."""
        return self._files.all()

    def one(self, path: str) -> Change | None:
        """Return what changed at a path."""
        return self._files.one(path)

    def page(self, wanted: Wanted, *, after: str = "", limit: int) -> list[Change]:
        """Return some of the paths that differ, sorted, from after a path on."""
        return self._files.page(wanted, after=after, limit=limit)

    def count(self, wanted: Wanted) -> int:
        """Return how many of them differ."""
        return self._files.count(wanted)

    def among(self, paths: Sequence[str]) -> set[str]:
        """Return those of some paths, at most some thousands, that differ: as they are called now, or were."""
        return self._files.among(paths)

    def say(self, values: Iterable[tuple[str, str]]) -> None:
        """Take in one value of each path, by which changes can be asked for; instead of those taken in before."""
        self._files.say(values)

    def folders(self, wanted: Wanted, limit: int) -> list[Folder]:
        """Return what differs in a folder, by the folders in it; the most first."""
        return self._files.folders(wanted, limit)

    def rows(self, table: TableComparison) -> Iterator[RowChange]:
        """Yield the rows of a table that differ, in the order of their keys; none of one that came or went."""
        return iter(()) if table.found is None else table.found.all()


@asynccontextmanager
async def compare(
    left: Pinned,
    right: Pinned,
    *,
    versions: VersionStore,
    left_objects: ObjectReader,
    right_objects: ObjectReader,
    prefix: str,
    tables: bool = True,
) -> AsyncIterator[Comparison]:
    """Compare two snapshots, and lend what was found.

    Args:
        left: From.
        right: To.
        versions: The repository.
        left_objects: Of the left commit.
        right_objects: Of the right commit.
        prefix: In front of every key of syncd's; what does not begin with it is passed over.
        tables: Whether the rows of tables are compared.

    Raises:
        StoreError: lakeFS does not answer or refuses, or an object is damaged.
    """
    with scratch_database() as scratch:
        sides, files = (Side(left, left_objects), Side(right, right_objects)), FileChanges(scratch)
        async for page in pages(versions.diff(left.commit.id, right.commit.id, prefix), _PAGE):
            await in_thread_to_its_end(partial(files.add, page, prefix))
        await _look_up(files, sides, prefix)
        await in_thread_to_its_end(files.find_renames)
        compared = []
        if tables:
            for name, differing in (await _tables(files, versions, sides, prefix)).items():
                compared.append(await compare_table(name, sides, differing, scratch))
        stat, of_images = await in_thread_to_its_end(lambda: (files.stat(), files.stat(IMAGES)))
        yield Comparison(left=left, right=right, stat=stat, of_images=of_images, tables=compared, _files=files)


async def _look_up(files: FileChanges, sides: tuple[Side, Side], prefix: str) -> None:
    """Ask for the digests that the differences do not tell, where a rename may hang on them: old servers tell none."""
    slots = asyncio.Semaphore(_LOOK_UPS)

    async def look_up(path: str, side: Side) -> None:
        async with slots:
            found = await side.objects.head(prefix + path)
        if found is not None and found.sha256 is not None:
            files.learn(path, found.sha256)

    with first_alone():
        async with asyncio.TaskGroup() as group:
            for path, kind in files.unknown():
                group.create_task(look_up(path, sides[kind == "added"]))


async def _tables(
    files: FileChanges, versions: VersionStore, sides: tuple[Side, Side], prefix: str
) -> dict[str, tuple[Differing, Differing]]:
    """Return by table the objects that differ, on each side. Memory: an entry for each of them."""
    found: dict[str, tuple[Differing, Differing]] = {}
    changed: set[str] = set()
    for path, kind, size_bytes, sha256 in files.below(TABLES):
        info = ObjectInfo(key=prefix + path, size_bytes=size_bytes, etag="", sha256=sha256)
        if kind == "changed":
            changed.add(info.key)
        await _file(found, info, path, sides, "left" if kind == "removed" else "right")
    if changed:  # what these were on the left is told by looking from the right
        async for one in versions.diff(sides[1].found.commit.id, sides[0].found.commit.id, prefix + TABLES):
            if one.key in changed:
                info = ObjectInfo(key=one.key, size_bytes=one.size_bytes or 0, etag="", sha256=one.sha256)
                await _file(found, info, one.key.removeprefix(prefix), sides, "left")
    return {name: differing for name, differing in sorted(found.items()) if any(differing)}


async def _file(
    found: dict[str, tuple[Differing, Differing]],
    info: ObjectInfo,
    path: str,
    sides: tuple[Side, Side],
    where: Literal["left", "right"],
) -> None:
    name, role = table_of(path)
    if role is None:
        return
    if info.sha256 is None:  # what is read is checked
        info = await sides[where == "right"].objects.head(info.key) or info
    differing = found.setdefault(name, (Differing(), Differing()))[where == "right"]
    if role == "part":
        differing.parts[info.key] = info
    elif role == "text":
        differing.text = info
    else:
        differing.schema = info
