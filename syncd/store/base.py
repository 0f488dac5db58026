"""The two ports to a versioned object store, and the words they share.

They speak of objects, branches, commits and tags, not of a product. Every implementation passes
``tests/contract``. All methods have a timeout of their own and raise only the errors of ``syncd.errors``:
``TransientStoreError`` (whether it was applied is unknown), ``PermanentStoreError`` (this request is refused),
``NeedsPersonStoreError`` (nothing works until someone changes something).

Keys given here are whole paths on the branch, prefix included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from syncd.model import SHA256_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from syncd.errors import StoreError
    from syncd.model import Fingerprint

SHA256_METADATA = "sha256"  # user metadata of each object: lower-case hex
INTENT_METADATA = "syncd.snapshot"  # metadata of each commit made by a syncd: the id of its intent
TAG_METADATA = "syncd.tag"  # the tag it is to get
STAGING_METADATA = "syncd.staging"  # and the branch it was staged on: whose it is, where several publish to one branch


def digest_from_metadata(value: str | None) -> bytes | None:
    """Return the SHA-256 in an object's metadata, or None if there is none or it is not one."""
    try:
        digest = bytes.fromhex(value or "")
    except ValueError:
        return None
    return digest if len(digest) == SHA256_BYTES else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What the store says of one object."""

    key: str
    size_bytes: int
    etag: str  # without quotes; the hex MD5 for what syncd wrote
    sha256: bytes | None  # from the object's metadata; None: not written by syncd


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit."""

    id: str
    message: str
    metadata: Mapping[str, str]
    parents: Sequence[str]
    created_at: datetime

    @property
    def is_snapshot(self) -> bool:
        """Whether it is what the tag of a snapshot is put on: a syncd's merge, not the commit on its staging branch."""
        return INTENT_METADATA in self.metadata and len(self.parents) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One key that differs between two references, or between a branch and its head."""

    key: str
    kind: str  # "added" | "changed" | "removed" | "conflict"
    size_bytes: int | None = None  # of what is there now, or was removed
    sha256: bytes | None = None  # the same; None: it is not told, or syncd did not write it


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOutcome:
    """What became of a delete request: every key is in exactly one of the two."""

    deleted: frozenset[str]  # also those that did not exist
    failed: Mapping[str, StoreError] = field(default_factory=dict)


class ObjectReader(Protocol):
    """Objects at one reference of one repository, to be read."""

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is at the key, or None; None also where the branch or the repository is missing."""

    async def get(self, key: str) -> bytes:
        """Return an object's bytes; for small objects, of a MiB at most.

        Raises:
            NotFoundStoreError: There is none.
        """

    async def fetch(self, key: str, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand an object's bytes on, some at a time, each once the sink has taken those before.

        Raises:
            NotFoundStoreError: There is none.
        """


async def fetched_whole(objects: ObjectReader, key: str) -> bytes:
    """Return an object's bytes in one piece; raises as ``fetch``."""
    chunks: list[bytes] = []

    async def take(chunk: bytes) -> None:
        chunks.append(chunk)

    await objects.fetch(key, take)
    return b"".join(chunks)


class ObjectStore(ObjectReader, Protocol):
    """Objects on one branch of one repository."""

    async def put(self, key: str, body: bytes | BinaryIO, fingerprint: Fingerprint, content_type: str) -> None:
        """Store an object and check that the server stored these bytes.

        Args:
            key: The whole path on the branch, 1 to 1,024 bytes.
            body: The bytes, or a file opened for reading, positioned at its start.
            fingerprint: Of exactly these bytes. The SHA-256 goes into the object's metadata, the MD5 is compared
                with the ETag of the answer.
            content_type: Fixed for the key: the same key always gets the same type.

        Raises:
            ContentChangedStoreError: The bytes are not those of the fingerprint: the file changed under way. They are
                not on the branch, except where only the ETag differs.
            PermanentStoreError: The key is not valid.
            NeedsPersonStoreError: The branch or the repository is missing, protected or read-only.
        """

    async def copy(self, source: str, reference: str, key: str, fingerprint: Fingerprint) -> None:
        """Store what another key holds in a commit, without sending it, and check that these bytes were stored.

        Metadata and content type come along.

        Args:
            source: The other key.
            reference: The commit.
            key: Where to.
            fingerprint: What the bytes must be.

        Raises:
            PermanentStoreError: It is not there, or is something else; or this cannot be done. What the branch holds at
                the key is not known, where it was something else.
        """

    async def delete(self, keys: Sequence[str]) -> DeleteOutcome:
        """Delete up to 1,000 objects; one that does not exist counts as deleted.

        The caller has checked that the branch exists: lakeFS answers success where it does not. Deleting again is
        harmless. A key that must not be sent fails alone.
        """


class VersionStore(Protocol):
    """Branches, commits, merges and tags of one repository."""

    async def ensure_repository(self, storage_namespace: str, default_branch: str) -> bool:
        """Create the repository if it is missing; return whether it was created.

        Raises:
            NeedsPersonStoreError: The name or the storage namespace is refused or taken.
        """

    async def default_branch(self) -> str:
        """Return the repository's default branch: where a new branch can begin.

        Raises:
            NotFoundStoreError: No such repository.
        """

    async def ensure_branch(self, branch: str, source: str) -> bool:
        """Create the branch at the head of ``source`` if it is missing; return whether it was created."""

    async def head(self, branch: str) -> Commit:
        """Return the newest commit of a branch.

        Raises:
            NotFoundStoreError: No such repository or branch.
        """

    async def head_id(self, branch: str) -> str:
        """Return the id of the newest commit of a branch; raises as :meth:`head`."""

    async def find_commit(self, reference: str) -> Commit:
        """Return the commit that a tag, a branch or a commit id (or its unique beginning) means.

        Raises:
            NotFoundStoreError: It means none.
        """

    async def commit(self, branch: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """Commit what is staged on the branch. No write to the branch may be under way.

        Raises:
            NothingToCommitError: There is no change.
            TransientStoreError: Unknown whether it was applied; compare the head's metadata before trying again.
        """

    async def merge(self, source: str, into: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """Merge a commit, or the head of a branch, into a branch; return the merge commit.

        Raises:
            NothingToCommitError: The destination holds it already.
            ConflictStoreError: The same key changed on both.
        """

    async def create_tag(self, tag: str, commit_id: str) -> None:
        """Create a tag; one that exists already at this very commit is fine.

        Raises:
            ConflictStoreError: The tag exists and points elsewhere, or a branch has that name.
        """

    async def tag_target(self, tag: str) -> str | None:
        """Return the commit id a tag points at, or None if there is no such tag."""

    def tags(self) -> AsyncIterator[tuple[str, str]]:
        """Yield every tag and the commit id it points at, sorted by tag."""

    def log(self, reference: str, *, limit: int = 100, paths: Sequence[str] = ()) -> AsyncIterator[Commit]:
        """Yield the newest ``limit`` commits reachable from a reference, newest first.

        Args:
            reference: Where to begin.
            limit: The most.
            paths: Only commits that changed one of these keys, or a key that begins with one that ends with "/"; and
                of them those with one parent: a merge brings what its parents changed. (): all commits.
        """

    def objects(self, reference: str, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield every object below a prefix, sorted by key; on a branch with its uncommitted changes."""

    def uncommitted(self, branch: str) -> AsyncIterator[Difference]:
        """Yield the uncommitted changes of a branch, sorted by key."""

    def diff(self, left: str, right: str, prefix: str = "") -> AsyncIterator[Difference]:
        """Yield what differs below a prefix between the contents of two references, sorted by key (two-dot)."""

    async def server_version(self) -> str:
        """Return the server's version, "1.84.0"; also a proof that it answers and the credentials work."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim on a staging branch; the newest owns it."""

    generation: int
    note: Mapping[str, str]  # what its holder says of itself; empty when it was made just now
    made_by: str  # MD5, in hex, of the id of who made it


class LeaseStore(Protocol):
    """The claims on one staging branch."""

    async def prepare(self, source: str) -> None:
        """Make sure that claims can be kept; ``source`` is a branch of the repository."""

    async def claims(self) -> list[Claim]:
        """Return all claims, the oldest first."""

    async def claim(self, generation: int, mine: str) -> bool:
        """Make a claim with this id; return False if that generation was taken. Of several, one is told True."""

    async def note(self, generation: int, note: Mapping[str, str]) -> None:
        """Replace what the holder of a claim says of itself.

        Raises:
            NotFoundStoreError: There is no such claim.
        """

    async def forget(self, generation: int) -> None:
        """Remove a claim, if it is there."""
