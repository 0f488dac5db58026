"""Snapshots as the journal tells of them, for tests of what is decided about them."""

from __future__ import annotations

import hashlib
from datetime import datetime

from syncd.model import Snapshot, Trigger


def commit_of(tag: str) -> str:
    """A commit id that goes with a tag."""
    return hashlib.sha256(tag.encode()).hexdigest()


def snapshot(tag: str, created_at: datetime) -> Snapshot:
    return Snapshot(
        tag=tag,
        commit_id=commit_of(tag),
        created_at=created_at,
        trigger=Trigger.QUIET,
        added=1,
        changed=0,
        deleted=0,
        images=1,
        size_bytes=1,
        digest="0" * 64,
        uri=f"lakefs://photos/{tag}/",
    )
