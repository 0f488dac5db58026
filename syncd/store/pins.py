"""The port to pins: what keeps a commit from the store's garbage collection.

Collection starts from branches, hidden ones as well, and from recent commits, but not from tags. So a pin is a hidden
branch at the commit. There are three sorts, each managed by those who make it and left alone by the others:

=========================== =================================================================================
``STAGING-pin-COMMIT``      of retention: for each snapshot that is kept, made by the syncd of that staging branch
``syncd-keep-COMMIT``       a person's, with a note of theirs; the same for all who use the repository
``syncd-use-UNTIL-ID``      a pull's that is under way; it counts until a time (Unix seconds), and is renewed before
=========================== =================================================================================

They are named by the commit and not by a tag: any commit can be pinned, no two names collide, and what a pin is to
hold is known even where the tag was moved.

All methods have a timeout of their own and raise the errors of ``syncd.errors``, as those of ``store.base`` do.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from syncd.errors import NeedsPersonStoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOTE_PATH = "syncd-pin.json"  # on a person's pin, never committed: gone with the branch
USE_PREFIX = "syncd-use-"
_USE = re.compile(USE_PREFIX + r"(\d{1,11})-\w+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{64}")


class Keeper(StrEnum):
    """Who keeps a commit without end."""

    RETENTION = "retention"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Pin:
    """One pin."""

    commit_id: str  # what it is to hold
    head: str  # what it holds: another commit where someone moved it


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a person says of their pin."""

    reason: str
    who: str  # "ann on gpu-3"
    at: str  # ISO 8601
    tag: str  # by which they named it; "": by something else

    def to_json(self) -> bytes:
        """Return it as it is kept."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, kept: bytes) -> Note | None:
        """Return what was kept, or None if that is something else."""
        try:
            told = json.loads(kept)
            return cls(**{name: str(told[name]) for name in ("reason", "who", "at", "tag")})
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Use:
    """A pull that is, or was, under way."""

    name: str
    commit_id: str
    until: datetime  # it counts no longer then


class PinStore(Protocol):
    """The pins of one repository; those of retention for one staging branch."""

    async def pin(self, keeper: Keeper, commit_id: str) -> bool:
        """Make a pin; return whether there was none.

        Raises:
            NotFoundStoreError: There is no such commit.
            NeedsPersonStoreError: There is a pin of that name at another commit.
        """

    async def unpin(self, keeper: Keeper, commit_id: str) -> bool:
        """Remove a pin, with its note; return whether there was one."""

    def pins(self, keeper: Keeper) -> AsyncIterator[Pin]:
        """Yield the pins of a sort, sorted by commit id."""

    async def write_note(self, commit_id: str, note: Note) -> None:
        """Write what a person says of their pin, in place of what they said before.

        Raises:
            StoreError: There is no such pin, or what all calls may raise.
        """

    async def note(self, commit_id: str) -> Note | None:
        """Return what a person says of their pin; None: nothing, or there is none."""

    async def use(self, commit_id: str, until: datetime) -> str:
        """Hold a commit until a time; return a name to end that by.

        Raises:
            NotFoundStoreError: There is no such commit.
        """

    async def end_use(self, name: str) -> None:
        """Let go of what ``use`` held; again does no harm."""

    def uses(self) -> AsyncIterator[Use]:
        """Yield what is held for pulls, also what counts no longer."""

    async def delete_tag(self, tag: str) -> None:
        """Delete a tag, if it is there. The caller has looked where it points."""


def prefix_of(keeper: Keeper, staging: str) -> str:
    """Return how the names of a sort's branches begin."""
    return f"{staging}-pin-" if keeper is Keeper.RETENTION else "syncd-keep-"


def pin_of(branch: str, head: str, prefix: str) -> Pin | None:
    """Return the pin that a branch is, or None if its name only begins like one."""
    commit_id = branch.removeprefix(prefix)
    return Pin(commit_id, head) if _COMMIT.fullmatch(commit_id) else None


def new_use_branch(until: datetime) -> str:
    """Return a name for what is held until a time; no other is the same."""
    return f"{USE_PREFIX}{round(until.timestamp())}-{uuid.uuid4().hex}"


def use_of(branch: str, head: str) -> Use | None:
    """Return what a branch holds for a pull, or None if its name only begins like one."""
    found = _USE.fullmatch(branch)
    return Use(branch, head, datetime.fromtimestamp(int(found[1]), UTC)) if found else None


def moved(branch: str, pin: Pin, repository: str) -> NeedsPersonStoreError:
    """Return the error for a pin that does not hold what it is to hold."""
    return NeedsPersonStoreError(
        f"the pin of commit {pin.commit_id[:12]} is at another one, {pin.head[:12]}",
        cause=f"someone committed to the hidden branch {branch}, or moved it",
        next_step=f"lakectl branch delete lakefs://{repository}/{branch}, and syncd makes it anew",
    )
