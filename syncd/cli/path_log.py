"""``syncd log --path``: the snapshots in which a file changed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from syncd.model import IMAGES, TABLES
from syncd.snapshots.description import snapshot_of
from syncd.snapshots.path_history import commits_of, what_became
from syncd.snapshots.reference import Pinned
from syncd.status import iso, snapshot_json
from syncd.store.base import INTENT_METADATA, TAG_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from syncd.config import Settings
    from syncd.model import Snapshot, Trigger
    from syncd.store.base import Commit


def logged(one: Snapshot) -> dict[str, Any]:
    """Return a snapshot as ``syncd log`` tells of it."""
    return snapshot_json(one) | {"removed_at": iso(one.removed_at)}


async def log_of_path(
    settings: Settings,
    path: str,
    *,
    known: Callable[[str], Snapshot | None],
    limit: int,
    since: datetime | None,
    until: datetime | None,
    trigger: Trigger | None,
) -> list[dict[str, Any]]:
    """Return the newest snapshots that changed a path, with what became of it.

    Args:
        settings: Where lakeFS is.
        path: As ``syncd diff`` shows it, or below the folder; one that ends with "/" is a folder.
        known: Finds a snapshot by its intent in the journal, which knows its tag; where it does not, the commit does.
        limit: The most.
        since: Only those made at this time or later.
        until: Only those made at this time or earlier.
        trigger: Only those made for this reason.
    """
    from syncd.service.lakefs import open_reader

    prefix, publish = settings.lakefs.prefix, settings.lakefs.publish_branch
    key = prefix + (path if path.startswith((IMAGES, TABLES)) else IMAGES + path.removeprefix("/"))
    found: list[dict[str, Any]] = []
    async with (
        open_reader(settings) as reader,
        aclosing(commits_of(reader.versions, key, publish=publish)) as commits,
    ):
        async for commit in commits:
            if since is not None and commit.created_at < since:
                break
            told = _told(settings, known(commit.metadata[INTENT_METADATA]), commit)
            if (until is not None and commit.created_at > until) or (
                trigger is not None and told["trigger"] != trigger
            ):
                continue
            became = None if key.endswith("/") else await what_became(reader.versions, commit, key)
            change = None if became is None else {"kind": became.kind, "bytes": became.size_bytes}
            found.append(told | {"path": key.removeprefix(prefix), "path_change": change})
            if len(found) == limit:
                break
    return found


def _told(settings: Settings, known: Snapshot | None, commit: Commit) -> dict[str, Any]:
    if known is not None:
        return logged(known)
    pinned, place = Pinned(commit, commit.metadata.get(TAG_METADATA)), settings.lakefs
    return snapshot_of(pinned, repository=place.repository, prefix=place.prefix) | {"removed_at": None}
