"""What is to be sent, read just ahead of the senders: small files whole and checked, large ones as open files."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from syncd.errors import LostBodyError, SyncdError
from syncd.store.content_type import content_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.journal.staging import Copies
    from syncd.model import Fingerprint, PendingChange

SMALL_BYTES = 1 << 20  # up to this, a body is read and checked before it is sent
CHUNK_FILES = 32  # read in one thread job
CHUNK_BYTES = 4 << 20


class Contents(Protocol):
    """Where bodies come from: the sources, by key."""

    def open(self, key: str) -> BinaryIO:
        """Open the file behind a key; blocks.

        Raises:
            OSError: It is gone or cannot be read.
            SourceUnavailableError: Its source is gone.
            LostBodyError: Its source is not there any more for good, nor is its body.
        """

    def recheck(self, key: str) -> None:
        """Ask the source to look at this key again: it was not as observed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One change with its body, ready to be sent."""

    change: PendingChange
    fingerprint: Fingerprint
    body: bytes | BinaryIO | None  # None: the file cannot be read, or is not what was observed any more
    lost: LostBodyError | None = None  # there is nobody to observe it again

    def close(self) -> None:
        """Give back what is open."""
        if self.body is not None and not isinstance(self.body, bytes):
            with contextlib.suppress(OSError):
                self.body.close()


@dataclass(frozen=True, slots=True)
class Moved:
    """One change that needs no body: the server copies what a commit holds under another key."""

    change: PendingChange
    fingerprint: Fingerprint
    source: str  # the other key
    reference: str  # the commit

    def close(self) -> None:
        """Nothing is open."""


def divided(puts: Sequence[PendingChange], copies: Copies | None) -> tuple[list[Moved], Sequence[PendingChange]]:
    """Return what the server may copy, and the rest. A copy keeps its content type, so both keys must have the same."""
    if copies is None:
        return [], puts
    moved, rest = [], []
    for change in puts:
        source, fingerprint = copies.sources.get(change.key), change.fingerprint
        if source is not None and fingerprint is not None and content_type(source) == content_type(change.key):
            moved.append(Moved(change, fingerprint, source, copies.reference))
        else:
            rest.append(change)
    return moved, rest


def load(contents: Contents, chunk: Sequence[PendingChange]) -> list[Loaded]:
    """Read or open the bodies of a chunk; blocks."""
    return [_load_one(contents, change) for change in chunk]


def _load_one(contents: Contents, change: PendingChange) -> Loaded:
    fingerprint = change.fingerprint
    if fingerprint is None:
        raise AssertionError("a put has a content")
    try:
        body = contents.open(change.key)
    except LostBodyError as error:
        return Loaded(change, fingerprint, None, error)
    except (OSError, SyncdError):
        return Loaded(change, fingerprint, None)
    if fingerprint.size_bytes > SMALL_BYTES:
        return Loaded(change, fingerprint, body)  # its ETag tells whether it was the same
    try:
        with body:
            content = body.read(fingerprint.size_bytes + 1)
    except OSError:  # such as a bad sector: the source, asked to look at it again, names it
        return Loaded(change, fingerprint, None)
    same = hashlib.sha256(content).digest() == fingerprint.sha256
    return Loaded(change, fingerprint, content if same else None)


def chunks(puts: Sequence[PendingChange]) -> list[list[PendingChange]]:
    """Group puts for reading: each group is bounded in files and bytes, large files stand alone."""
    chunks: list[list[PendingChange]] = [[]]
    size = 0
    for change in puts:
        own = change.fingerprint.size_bytes if change.fingerprint else 0
        if chunks[-1] and (len(chunks[-1]) == CHUNK_FILES or size + own > CHUNK_BYTES):
            chunks.append([])
            size = 0
        chunks[-1].append(change)
        size += own
    return chunks
