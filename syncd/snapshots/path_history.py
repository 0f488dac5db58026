"""In which snapshots a file changed, newest first. lakeFS compares the commits itself, and hands on those that count.

It skips what two commits have in common, range by range: for a thousand commits it takes some tenths of a second, and
one request. One more says what became of the file in one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.errors import NotFoundStoreError
from syncd.snapshots.reference import UnknownSnapshotError
from syncd.store.base import INTENT_METADATA

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from syncd.store.base import Commit, Difference, VersionStore

MOST_COMMITS = 1_000_000


async def commits_of(versions: VersionStore, key: str, *, publish: str) -> AsyncGenerator[Commit, None]:
    """Yield the snapshots that changed a key, or something below one that ends with "/"; the newest first.

    They are the commits that were merged to publish them, with the same contents and metadata. Use it within
    ``contextlib.aclosing``.

    Args:
        versions: The repository.
        key: With the prefix.
        publish: The branch with the snapshots.

    Raises:
        UnknownSnapshotError: There is none at all yet.
        StoreError: lakeFS does not answer or refuses.
    """
    try:
        async for commit in versions.log(publish, limit=MOST_COMMITS, paths=[key]):
            if INTENT_METADATA in commit.metadata:
                yield commit
    except NotFoundStoreError as error:
        raise UnknownSnapshotError("there is no snapshot yet", cause=error.fact, next_step="syncd snapshot") from error


async def what_became(versions: VersionStore, commit: Commit, key: str) -> Difference | None:
    """Return what a commit with one parent did to a key; None: nothing."""
    async for one in versions.diff(commit.parents[0], commit.id, key):
        return one if one.key == key else None  # of all keys that begin so, it is the first
    return None
