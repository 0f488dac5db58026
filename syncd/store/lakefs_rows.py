"""What rows of lakeFS's answers mean in the words of the port."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from syncd.store.base import SHA256_METADATA, Commit, Difference, ObjectInfo, digest_from_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHA256_OVER_REST = f"X-Amz-Meta-{SHA256_METADATA}"  # how the S3 gateway's user metadata appears in this protocol


def paths_query(paths: Sequence[str]) -> dict[str, Any]:
    """Return how a log is asked for commits that changed some keys, or something below those that end with "/"."""
    folders = [path for path in paths if path.endswith("/")]
    objects = [path for path in paths if not path.endswith("/")]
    return {name: some for name, some in (("objects", objects), ("prefixes", folders)) if some}


def to_commit(row: Mapping[str, Any]) -> Commit:
    """Return a commit."""
    return Commit(
        id=row["id"],
        message=row["message"],
        metadata=dict(row.get("metadata") or {}),
        parents=tuple(row["parents"]),
        created_at=datetime.fromtimestamp(row["creation_date"], UTC),
    )


def to_difference(row: Mapping[str, Any]) -> Difference:
    """Return a difference between two references, or of a branch to its head."""
    there = row.get("right")  # not told of what is uncommitted, nor by old servers
    sha256 = None if there is None else _digest(there)
    return Difference(key=row["path"], kind=row["type"], size_bytes=row.get("size_bytes"), sha256=sha256)


def to_object(row: Mapping[str, Any]) -> ObjectInfo:
    """Return one object of a listing."""
    return ObjectInfo(key=row["path"], size_bytes=row.get("size_bytes") or 0, etag=row["checksum"], sha256=_digest(row))


def to_reference(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return a branch or a tag, and the commit it points at."""
    return row["id"], row["commit_id"]


def _digest(there: Mapping[str, Any]) -> bytes | None:
    return digest_from_metadata((there.get("metadata") or {}).get(_SHA256_OVER_REST))
