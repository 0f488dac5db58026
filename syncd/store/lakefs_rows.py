"""What rows of lakeFS's answers mean in the words of the port."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from syncd.store.base import Commit, Difference


def to_commit(row: Any) -> Commit:
    """Return a commit."""
    return Commit(
        id=row.id,
        message=row.message,
        metadata=dict(row.metadata or {}),
        parents=tuple(row.parents),
        created_at=datetime.fromtimestamp(row.creation_date, UTC),
    )


def to_difference(row: Any) -> Difference:
    """Return a difference between two references, or of a branch to its head."""
    return Difference(key=row.path, kind=row.type, size_bytes=row.size_bytes)
