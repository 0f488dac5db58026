"""What is known of a snapshot without asking: its names, and what its commit says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.model import IMAGES
from syncd.snapshots.description import describe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from syncd.config import Settings
    from syncd.snapshots.reference import Pinned
    from syncd.store.base import ObjectInfo


class SnapshotFacts:
    """The names and metadata of a snapshot; they never change."""

    def __init__(self, settings: Settings, found: Pinned) -> None:
        self._settings, self._found = settings, found
        self.left_out: list[tuple[str, str]] = []  # of one that was just taken: files still changing, and why

    @property
    def name(self) -> str:
        """The tag, or the commit id of what has none."""
        return self.tag or self.commit_id

    @property
    def tag(self) -> str | None:
        """The tag; None for a commit that has none."""
        return self._found.tag

    @property
    def commit_id(self) -> str:
        """The commit's id: 64 hex digits."""
        return self._found.commit.id

    @property
    def created_at(self) -> datetime:
        """When it was made, in UTC."""
        return self._found.commit.created_at

    @property
    def uri(self) -> str:
        """``lakefs://repository/tag/…``, as lakeFS's own tools take it."""
        return str(self.description["uri"])

    @property
    def s3_uri(self) -> str:
        """``s3://repository/tag/…``, as S3 clients take it; the bucket is the repository."""
        return str(self.description["s3_uri"])

    @property
    def digest(self) -> str | None:
        """SHA-256 over all paths and contents, in hex; equal for equal data. None where syncd did not make it."""
        found: str | None = self.description["digest"]
        return found

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the commit says of itself."""
        return self._found.commit.metadata

    @property
    def description(self) -> dict[str, Any]:
        """All of this and the counts, as ``syncd show --json`` prints it."""
        place = self._settings.lakefs
        return describe(self._found, repository=place.repository, prefix=place.prefix)

    def names(self) -> dict[str, Any]:
        """Return what a pipeline passes on, JSON-able: all names, when it was made, and ``left_out``."""
        return {
            "tag": self.tag,
            "commit_id": self.commit_id,
            "uri": self.uri,
            "s3_uri": self.s3_uri,
            "digest": self.digest,
            "created_at": self.created_at.isoformat(),
            "repository": self._settings.lakefs.repository,
            "left_out": [{"path": path, "reason": reason} for path, reason in self.left_out],
        }

    def is_beside(self, other: SnapshotFacts) -> bool:
        """Return whether another one is of the same repository, on the same server."""
        return self._identity[:2] == other._identity[:2]

    def __repr__(self) -> str:
        return f"<syncd snapshot {self.uri}>"

    def __eq__(self, other: object) -> bool:
        """Snapshots are equal if they are the same commit of the same repository."""
        return isinstance(other, SnapshotFacts) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str, str]:
        place = self._settings.lakefs
        return place.endpoint, place.repository, self.commit_id


class ImageFacts:
    """What a snapshot's listing says of an image."""

    def __init__(self, snapshot: SnapshotFacts, info: ObjectInfo) -> None:
        self._info, self._snapshot = info, snapshot

    @property
    def path(self) -> str:
        """Relative to the watched folder: "cats/1.jpg"."""
        prefix: str = self._snapshot._settings.lakefs.prefix  # noqa: SLF001 - of this module
        return self._info.key.removeprefix(prefix).removeprefix(IMAGES)

    @property
    def size(self) -> int:
        """In bytes."""
        return self._info.size_bytes

    @property
    def sha256(self) -> str | None:
        """Of its bytes, in hex; None for an object that syncd did not write."""
        return self._info.sha256.hex() if self._info.sha256 else None

    @property
    def s3_uri(self) -> str:
        """``s3://repository/tag/images/…``."""
        return f"{self._snapshot.s3_uri}{IMAGES}{self.path}"

    def __repr__(self) -> str:
        return f"<image {self.path!r} of {self._snapshot.name}, {self.size:,} bytes>"
