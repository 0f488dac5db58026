"""Which commit a person means: by a tag, a commit id, a branch, "latest", or a time."""

from __future__ import annotations

import asyncio
import difflib
import heapq
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncd.errors import NotFoundStoreError, SyncdError, UsageError
from syncd.store.base import INTENT_METADATA, TAG_METADATA

if TYPE_CHECKING:
    from syncd.store.base import Commit, VersionStore

LATEST = "latest"
MOST_COMMITS = 1_000_000  # looked through for a time, newest first
MOST_NAMES = 10_000  # tags among which similar ones are looked for


class UnknownSnapshotError(SyncdError):
    """There is no such snapshot."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A commit, and the tag that names it."""

    commit: Commit
    tag: str | None  # None: it has none that is known, as a branch's head or a commit of someone else's

    @property
    def name(self) -> str:
        """What it is called: its tag, or the commit's id."""
        return self.tag or self.commit.id


async def find(versions: VersionStore, asked: str, *, publish: str) -> Pinned:
    """Return the commit that a tag, a commit id or its beginning, a branch, or "latest" means.

    Args:
        versions: The repository.
        asked: What a person said.
        publish: The branch with the snapshots.

    Raises:
        UnknownSnapshotError: Nothing is called so; the error names what is called similarly.
        StoreError: lakeFS does not answer or refuses.
    """
    if asked == LATEST:
        return await _newest(versions, publish, before=None)
    try:
        commit = await versions.find_commit(asked)
    except NotFoundStoreError as error:
        raise await _unknown(versions, asked, publish) from error
    if await versions.tag_target(asked) == commit.id:
        return Pinned(commit, asked)
    return Pinned(commit, await _tag_of(versions, commit))


async def find_at(versions: VersionStore, moment: datetime, *, publish: str) -> Pinned:
    """Return the newest snapshot that had been made at a time.

    Args:
        versions: The repository.
        moment: With a time zone.
        publish: The branch with the snapshots.

    Raises:
        UnknownSnapshotError: There was none yet.
        StoreError: lakeFS does not answer or refuses.
    """
    return await _newest(versions, publish, before=moment)


def moment_of(told: str | datetime) -> datetime:
    """Return a time, or what an ISO 8601 text means: "2026-11-01" is the first instant of that day; UTC unless it says.

    Raises:
        UsageError: It is none.
    """
    try:
        moment = datetime.fromisoformat(told) if isinstance(told, str) else told
    except ValueError as error:
        raise UsageError(
            f"{told!r} is not a time", next_step="write it as 2026-11-01, 2026-11-01T13:30 or 2026-11-01T13:30:00+01:00"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


async def _newest(versions: VersionStore, publish: str, *, before: datetime | None) -> Pinned:
    """Return the newest snapshot; costs the commits made after it, and its tag."""
    first_at: datetime | None = None
    try:
        async for commit in versions.log(publish, limit=MOST_COMMITS):
            if not commit.is_snapshot:
                continue
            if before is None or commit.created_at <= before:
                return Pinned(commit, await _tag_of(versions, commit))
            first_at = commit.created_at
    except NotFoundStoreError as error:
        raise UnknownSnapshotError("there is no snapshot yet", cause=error.fact, next_step="syncd snapshot") from error
    if before is not None and first_at is not None:
        raise UnknownSnapshotError(
            f"there was no snapshot yet at {before.isoformat()}; the first was made at {first_at.isoformat()}",
            next_step="syncd log",
        )
    raise UnknownSnapshotError("there is no snapshot yet", next_step="syncd snapshot")


async def _tag_of(versions: VersionStore, commit: Commit) -> str | None:
    """Return the tag of a snapshot: the one it was to get, where that came to be; else any at that commit."""
    meant = commit.metadata.get(TAG_METADATA)
    if meant is not None and await versions.tag_target(meant) == commit.id:
        return meant
    if INTENT_METADATA not in commit.metadata:
        return None
    async for tag, target in versions.tags():
        if target == commit.id:
            return tag
    return None


async def _unknown(versions: VersionStore, asked: str, publish: str) -> UnknownSnapshotError:
    names = [LATEST, publish]
    async for tag, _ in versions.tags():
        names.append(tag)
        if len(names) > MOST_NAMES:
            break
    near = await asyncio.to_thread(_similar, asked, names)  # a good part of a second, among many
    return UnknownSnapshotError(
        f"no tag, commit or branch is called {asked!r}",
        cause=f"similar: {', '.join(near)}" if near else "",
        next_step="syncd log",
    )


def _similar(asked: str, names: list[str], most: int = 3) -> list[str]:
    begun = heapq.nlargest(most, (name for name in names if name.startswith(asked)))  # a tag ends with its time
    return begun or difflib.get_close_matches(asked, names, n=most)
