"""Keeps the snapshot that alone holds what a restore replaces or removes: pinned as a person would pin it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncd.store.pins import Keeper, Note

if TYPE_CHECKING:
    from syncd.client.facts import SnapshotFacts
    from syncd.store.pins import PinStore

WHO = "syncd restore"


async def keep(pins: PinStore, snapshot: SnapshotFacts, reason: str) -> bool:
    """Pin a snapshot, whatever the keep rules say; return whether it was not pinned. What others noted there stays.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    made = await pins.pin(Keeper.PERSON, snapshot.commit_id)
    if await pins.note(snapshot.commit_id) is None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        await pins.write_note(snapshot.commit_id, Note(reason=reason, who=WHO, at=now, tag=snapshot.tag or ""))
    return made


async def let_go(pins: PinStore, snapshot: SnapshotFacts) -> None:
    """Take the pin away again, unless somebody has made it theirs.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    note = await pins.note(snapshot.commit_id)
    if note is not None and note.who == WHO:
        await pins.unpin(Keeper.PERSON, snapshot.commit_id)
