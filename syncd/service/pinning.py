"""A person keeps a snapshot, whatever the keep rules say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from syncd.errors import SyncdError, UsageError
from syncd.snapshots.reference import UnknownSnapshotError, find
from syncd.store.pins import Keeper, Note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from syncd.model import Snapshot
    from syncd.service.lakefs import Reader
    from syncd.snapshots.reference import Pinned

LONGEST_REASON = 1000  # characters


class TagMovedError(SyncdError):
    """A tag does not point where syncd put it."""


async def pin(
    reader: Reader, reference: str, *, reason: str, who: str, known: Callable[[str], Awaitable[Snapshot | None]]
) -> dict[str, Any]:
    """Keep a snapshot; again: with another reason.

    Args:
        reader: Of the repository.
        reference: What the person called it.
        reason: What it is needed for.
        who: The person.
        known: Returns the snapshot that was given a tag, where the journal knows it.

    Raises:
        UsageError: There is no reason, or a very long one.
        TagMovedError: A tag is not where syncd put it.
        UnknownSnapshotError: Nothing is called so.
        StoreError: lakeFS does not answer or refuses.
    """
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON:
        raise UsageError(
            f"the reason has {len(reason):,} characters", next_step=f"write 1 to {LONGEST_REASON:,} of them"
        )
    found = await _find(reader, reference, await known(reference))
    note = Note(reason=reason, who=who, at=datetime.now(UTC).isoformat(timespec="seconds"), tag=found.tag or "")
    await reader.pins.pin(Keeper.PERSON, found.commit.id)
    await reader.pins.write_note(found.commit.id, note)
    return pinned_json(found.commit.id, note)


def pinned_json(commit_id: str, note: Note | None, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a pin with stable keys.

    Args:
        commit_id: What it keeps.
        note: What was said of it.
        tags: By commit, for what the note does not say.
    """
    return {
        "tag": note.tag if note and note.tag else (tags or {}).get(commit_id),
        "commit_id": commit_id,
        "reason": note.reason if note else "",
        "who": note.who if note else "",
        "at": note.at if note else None,
    }


async def _find(reader: Reader, reference: str, known: Snapshot | None) -> Pinned:
    """Return what a reference means; where the journal knows its tag, it must be where syncd put it."""
    try:
        found = await find(reader.versions, reference, publish=reader.settings.lakefs.publish_branch)
    except UnknownSnapshotError as error:
        if known is None:
            raise
        raise TagMovedError(
            f"the tag {reference} is gone; syncd had put it on commit {known.commit_id[:12]}",
            cause="retention removed the snapshot" if known.removed_at else "someone deleted it",
            next_step=f"syncd pin {known.commit_id[:12]} pins what it was, as far as lakeFS still has it",
        ) from error
    if known is not None and known.commit_id != found.commit.id:
        raise TagMovedError(
            f"the tag {reference} points at commit {found.commit.id[:12]}, and syncd put it on {known.commit_id[:12]}",
            cause="someone deleted the tag and made it anew elsewhere",
            next_step=f"syncd pin {known.commit_id[:12]} pins what the snapshot was, syncd pin {found.commit.id[:12]}"
            " what the tag means now",
        )
    return found
