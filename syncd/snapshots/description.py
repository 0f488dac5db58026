"""What a snapshot says of itself, by its commit alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.sources.tables.roles import roles_in_commit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.snapshots.reference import Pinned

_COUNTS = ("added", "changed", "deleted", "images", "bytes")
_BY_TABLE = ("rows", "missing", "orphaned")


def describe(found: Pinned, *, repository: str, prefix: str) -> dict[str, Any]:
    """Return JSON-able values with stable keys; the first eleven are those of every snapshot in syncd's answers.

    What the commit does not say, as one that someone else made, is None.

    Args:
        found: The commit and its tag.
        repository: Its name.
        prefix: In front of every key of syncd's.
    """
    said = found.commit.metadata
    told = snapshot_of(found, repository=repository, prefix=prefix)
    return {
        **told,
        "s3_uri": told["uri"].replace("lakefs://", "s3://", 1),
        "observed_at": said.get("syncd.observed_at"),
        "message": found.commit.message,
        "tables": _tables(said),
        "metadata": dict(said),
    }


def snapshot_of(found: Pinned, *, repository: str, prefix: str) -> dict[str, Any]:
    """Return the keys of every snapshot in syncd's answers alone; arguments as above."""
    said = found.commit.metadata
    return {
        "tag": found.tag,
        "commit_id": found.commit.id,
        "created_at": found.commit.created_at.isoformat(),
        "trigger": said.get("syncd.trigger"),
        **{key: _number(said, f"syncd.{key}") for key in _COUNTS},
        "digest": said.get("syncd.digest"),
        "uri": f"lakefs://{repository}/{found.name}/{prefix}",
    }


def _tables(said: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return by table: its rows, its key and image column, and how many rows and images of it do not fit.

    None is what the commit does not say, as of a table that was not compared with the images.
    """
    names = sorted(key.removeprefix("syncd.rows.") for key in said if key.startswith("syncd.rows."))
    return {name: _table(said, name) for name in names}


def _table(said: Mapping[str, str], name: str) -> dict[str, Any]:
    roles = roles_in_commit(said, name)
    return {
        **{what: _number(said, f"syncd.{what}.{name}") for what in _BY_TABLE},
        "key": roles.key,
        "image_column": roles.image and roles.image.name,
        "closure": roles.closure,
    }


def _number(said: Mapping[str, str], key: str) -> int | None:
    value = said.get(key, "")
    return int(value) if value.isascii() and value.isdecimal() else None
