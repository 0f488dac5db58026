"""What a snapshot says of itself, by its commit alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    name = found.tag or found.commit.id
    place = f"{repository}/{name}/{prefix}"
    return {
        "tag": found.tag,
        "commit_id": found.commit.id,
        "created_at": found.commit.created_at.isoformat(),
        "trigger": said.get("syncd.trigger"),
        **{key: _number(said, f"syncd.{key}") for key in _COUNTS},
        "digest": said.get("syncd.digest"),
        "uri": f"lakefs://{place}",
        "s3_uri": f"s3://{place}",
        "observed_at": said.get("syncd.observed_at"),
        "message": found.commit.message,
        "tables": _tables(said),
        "metadata": dict(said),
    }


def _tables(said: Mapping[str, str]) -> dict[str, dict[str, int | None]]:
    """Return by table: its rows, and how many rows and images of it do not fit, None where that was not compared."""
    names = sorted(key.removeprefix("syncd.rows.") for key in said if key.startswith("syncd.rows."))
    return {name: {what: _number(said, f"syncd.{what}.{name}") for what in _BY_TABLE} for name in names}


def _number(said: Mapping[str, str], key: str) -> int | None:
    value = said.get(key, "")
    return int(value) if value.isascii() and value.isdecimal() else None
