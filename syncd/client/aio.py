"""Snapshots from asynchronous code. Names and shapes are those of ``syncd`` itself, which says what each does.

>>> async with aio.connect("syncd.toml") as daemon:
...     snapshot = await daemon.snapshot(reason="train resnet50")
>>> async with await aio.open("photos", "snap-20261122T101500Z-41") as snapshot:
...     labels = await snapshot.table("labels")
"""

from __future__ import annotations

import asyncio
import io
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

from syncd.client import reading
from syncd.client.diff import DiffFacts
from syncd.client.facts import ImageFacts, SnapshotFacts
from syncd.client.place import settings_of
from syncd.client.reading import PullOptions
from syncd.client.session import Session
from syncd.client.taking import TakeOptions, take
from syncd.snapshots.reference import LATEST

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AsyncExitStack
    from datetime import datetime

    import pyarrow as pa

    from syncd.config import Settings
    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.file_changes import Change
    from syncd.snapshots.pull import Pulled
    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.row_changes import RowChange
    from syncd.snapshots.table_objects import TableInfo
    from syncd.store.base import ObjectInfo

T = TypeVar("T")

_AT_A_TIME = 1_000  # changes that a thread reads before the loop goes on


def connect(config: str | os.PathLike[str] | None = None, **lakefs: Any) -> Connection:
    """See :func:`syncd.connect`; enter it with ``async with``."""
    return Connection(settings_of(config, **lakefs))


async def open(  # noqa: A001 - as syncd.open
    repository: str | None = None,
    ref: str = LATEST,
    *,
    at: str | datetime | None = None,
    config: str | os.PathLike[str] | None = None,
    **lakefs: Any,
) -> Snapshot:
    """See :func:`syncd.open`; close the snapshot, or use it with ``async with``."""
    connection = connect(config, repository=repository, **lakefs)
    async with connection:
        snapshot = await connection.open(ref, at=at)
        snapshot.owns(connection)
    return snapshot


class Connection:
    """See :class:`syncd.Connection`."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._session = settings, Session(settings)
        self._kept = False

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self._kept or exc_info[0] is not None:
            await self.aclose()

    async def aclose(self) -> None:
        """Close it, and the snapshots that were opened through it."""
        await self._session.__aexit__()

    def keep(self) -> None:
        """Let it outlive its ``async with``: a snapshot owns it."""
        self._kept = True

    async def snapshot(self, reason: str = "", *, timeout: float = 60.0, allow_held: bool = False) -> Snapshot:  # noqa: ASYNC109 - the daemon's patience
        """See :meth:`syncd.Connection.snapshot`."""
        answer = await take(
            self._session.reader.settings, TakeOptions(reason=reason, timeout=timeout, allow_held=allow_held)
        )
        snapshot = await self.open(answer["tag"])
        snapshot.left_out = [(one["path"], one["reason"]) for one in answer["left_out"]]
        return snapshot

    async def open(self, ref: str = LATEST, *, at: str | datetime | None = None) -> Snapshot:
        """See :meth:`syncd.Connection.open`."""
        return Snapshot(self._session, await self._session.find(ref, at))


class Snapshot(SnapshotFacts):
    """See :class:`syncd.Snapshot`."""

    def __init__(self, session: Session, found: Pinned) -> None:
        super().__init__(session.settings, found)
        self._session = session
        self._owned: Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what was opened for this snapshot alone."""
        if self._owned is not None:
            await self._owned.aclose()

    def owns(self, connection: Connection) -> None:
        """Close a connection with the snapshot."""
        connection.keep()
        self._owned = connection

    async def images(self, below: str = "") -> AsyncIterator[Image]:
        """See :meth:`syncd.Snapshot.images`."""
        async for one in reading.images(self._session, self._found, below):
            yield Image(self, one)

    async def image(self, path: str) -> Image:
        """See :meth:`syncd.Snapshot.image`."""
        return Image(self, await reading.image(self._session, self._found, path))

    async def tables(self) -> list[TableInfo]:
        """See :meth:`syncd.Snapshot.tables`."""
        return await reading.tables(self._session, self._found)

    async def table(self, name: str) -> pa.Table:
        """See :meth:`syncd.Snapshot.table`."""
        return await reading.table(self._session, self._found, name)

    async def pull(self, folder: str | os.PathLike[str], **options: Any) -> Pulled:
        """See :meth:`syncd.Snapshot.pull`."""
        return await reading.pull(self._session, self, Path(folder), PullOptions(**options))

    async def diff(self, other: Snapshot | str) -> Diff:
        """See :meth:`syncd.Snapshot.diff`; use it with ``async with``."""
        new = await reading.other_end(self._session, self, other)
        return Diff(self, new, *await reading.compared(self._session, self, new))


class Diff(DiffFacts):
    """See :class:`syncd.Diff`."""

    def __init__(self, old: SnapshotFacts, new: SnapshotFacts, told: Comparison, stack: AsyncExitStack) -> None:
        super().__init__(old, new, told)
        self._stack = stack

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """See :meth:`syncd.Diff.close`."""
        await self._stack.aclose()

    def changes(self) -> AsyncIterator[Change]:
        """See :meth:`syncd.Diff.changes`."""
        return _in_threads(self._told.changes())

    def rows(self, table: str) -> AsyncIterator[RowChange]:
        """See :meth:`syncd.Diff.rows`."""
        return _in_threads(self._told.rows(self._table(table)))


async def _in_threads(items: Iterator[T]) -> AsyncIterator[T]:
    """Yield what an iterator that reads the disk yields."""
    while some := await asyncio.to_thread(lambda: list(islice(items, _AT_A_TIME))):
        for one in some:
            yield one


class Image(ImageFacts):
    """See :class:`syncd.Image`."""

    def __init__(self, snapshot: Snapshot, info: ObjectInfo) -> None:
        super().__init__(snapshot, info)
        self._of = snapshot

    async def read(self) -> bytes:
        """See :meth:`syncd.Image.read`."""
        return await reading.read(self._of._session, self._of._found, self._info)  # noqa: SLF001 - of this module

    async def open(self) -> BinaryIO:
        """See :meth:`syncd.Image.open`."""
        return io.BytesIO(await self.read())

    async def row(self, table: str | None = None) -> Mapping[str, Any] | None:
        """See :meth:`syncd.Image.row`."""
        return await reading.row(self._of._session, self._of._found, table, self.path)  # noqa: SLF001
