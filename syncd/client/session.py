"""What a client holds open on one repository, within one event loop."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from syncd.service.lakefs import open_reader
from syncd.snapshots.in_use import in_use
from syncd.snapshots.reference import LATEST, find, find_at, moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from syncd.config import Settings
    from syncd.service.lakefs import Reader
    from syncd.snapshots.image_rows import ImageRows
    from syncd.snapshots.reference import Pinned
    from syncd.store.base import ObjectReader, VersionStore


class Session:
    """The repository's versions, and the objects of each commit that is read; an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._objects: dict[str, ObjectReader] = {}
        self.rows: dict[str, Mapping[str, ImageRows]] = {}  # by commit id: those of its tables that name images
        self._reader: Reader | None = None

    async def __aenter__(self) -> Self:
        """Open it; nothing is sent yet, unless an embedded server has to be started."""
        self._reader = await self._stack.enter_async_context(open_reader(self.settings))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def reader(self) -> Reader:
        """What reads the repository."""
        if self._reader is None:
            raise AssertionError("the session is not entered")
        return self._reader

    @property
    def versions(self) -> VersionStore:
        """The repository's branches, commits and tags."""
        return self.reader.versions

    async def objects(self, commit_id: str) -> ObjectReader:
        """Return the objects of a commit; they stay open with the session."""
        async with self._opening:
            if commit_id not in self._objects:
                self._objects[commit_id] = await self._stack.enter_async_context(self.reader.objects(commit_id))
        return self._objects[commit_id]

    def in_use(self, commit_id: str) -> AbstractAsyncContextManager[None]:
        """Keep the keep rules and garbage collection from a commit meanwhile; see ``snapshots.in_use``."""
        return in_use(self.reader.pins, commit_id, clock=lambda: datetime.now(UTC))

    async def find(self, asked: str, at: str | datetime | None) -> Pinned:
        """Return the commit a caller means; see ``snapshots.reference``."""
        publish = self.settings.lakefs.publish_branch
        if at is None:
            return await find(self.versions, asked or LATEST, publish=publish)
        return await find_at(self.versions, moment_of(at), publish=publish)
