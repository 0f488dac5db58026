"""Puts files of a snapshot back, among others: where nothing is, and over what is known to be kept elsewhere.

What is to be done is a stream of steps, so that memory does not grow with it. What is not as a step expects is newer
than whoever asked could know: it stays, and is named.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from syncd.errors import SyncdError, first_alone
from syncd.snapshots import putting
from syncd.snapshots.fetching import Fetcher
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from syncd.snapshots.manifest import Entry
    from syncd.snapshots.object_cache import ObjectCache
    from syncd.store.base import ObjectReader

WORKERS = 32
MOST_NAMED = 1_000  # of those left alone; the rest is counted


class RestoreError(SyncdError):
    """It could not go on; what was put back by then stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One file to put back."""

    entry: Entry  # of the snapshot
    folder: Path  # with links resolved
    path: str  # below the folder
    expected: bytes | None  # SHA-256 of what is there now; None: nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One file to remove."""

    folder: Path  # with links resolved
    path: str  # below the folder
    expected: bytes  # SHA-256 of what is there now


Step = Put | Removal


@dataclass(slots=True)
class Restored:
    """What was done."""

    written: int = 0  # files where none was
    replaced: int = 0
    removed: int = 0
    same: int = 0  # were as in the snapshot already, as far as that was looked at
    size_bytes: int = 0  # of what was written or replaced
    left_count: int = 0
    left: dict[str, str] = field(default_factory=dict)  # path -> why it was left alone
    removed_paths: list[str] = field(default_factory=list)  # below their folder

    def leave(self, path: str, why: str) -> None:
        """Count what is left alone, and name it."""
        self.left_count += 1
        if len(self.left) < MOST_NAMED:
            self.left[path] = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorer:
    """Carries steps out, several at a time.

    Args:
        objects: Of the snapshot.
        prefix: In front of every key of syncd's.
        cache: Entered.
        done: Counts; shared with whoever makes the steps.
        progress: Called with it, often.
    """

    objects: ObjectReader
    prefix: str
    cache: ObjectCache
    done: Restored
    progress: Callable[[Restored], None] = lambda _: None

    async def carry_out(self, steps: AsyncGenerator[Step]) -> None:
        """Do all steps.

        Raises:
            RestoreError: A file cannot be written.
            PermanentStoreError: An object is damaged, or gone in lakeFS.
            StoreError: lakeFS does not answer or refuses.
        """
        fetcher = Fetcher(self.objects, self.prefix, self.cache)
        queue: asyncio.Queue[Step | None] = asyncio.Queue(2 * WORKERS)
        with first_alone():
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(self._work(queue, fetcher))
                async with aclosing(steps) as given:
                    async for step in given:
                        await queue.put(step)
                for _ in range(WORKERS):
                    await queue.put(None)

    async def _work(self, queue: asyncio.Queue[Step | None], fetcher: Fetcher) -> None:
        while (step := await queue.get()) is not None:
            try:
                if isinstance(step, Removal):
                    await in_thread_to_its_end(partial(self._remove, step))
                else:
                    await self._put(step, fetcher)
            except putting.InTheWayError as error:
                self.done.leave(step.path, str(error))
            except OSError as error:
                raise RestoreError(
                    f"{step.path!r} cannot be written below {step.folder}: {error.strerror}",
                    cause="permissions, or the disk is full",
                    next_step="mend that and restore again: what is in its place by now is left as it is",
                ) from error
            self.progress(self.done)

    async def _put(self, step: Put, fetcher: Fetcher) -> None:
        entry, sha256 = step.entry, step.entry.sha256
        if sha256 is None or not await in_thread_to_its_end(partial(self._cached, sha256, entry.size_bytes)):
            sha256 = await fetcher.fetch(entry)
        cached = self.cache.path(sha256)
        await in_thread_to_its_end(partial(putting.put, cached, step.folder, step.path, expected=step.expected))
        self.done.size_bytes += entry.size_bytes
        if step.expected is None:
            self.done.written += 1
        else:
            self.done.replaced += 1

    def _cached(self, sha256: bytes, size_bytes: int) -> bool:
        return self.cache.has(sha256, size_bytes) and self.cache.check(sha256)

    def _remove(self, step: Removal) -> None:
        if putting.remove(step.folder, step.path, expected=step.expected):
            self.done.removed += 1
            self.done.removed_paths.append(step.path)
