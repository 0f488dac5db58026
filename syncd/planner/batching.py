"""Which of the due changes go into the next batch?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.planner.facts import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.model import PendingChange
    from syncd.planner.facts import Policies


def next_batch(puts: Sequence[PendingChange], deletes: Sequence[PendingChange], policies: Policies) -> Stage | None:
    """Return the next batch, or None when nothing is due.

    Deletes go only into a batch that takes every due put: so the new name of a renamed file is there before the
    old one goes. A put larger than ``batch_bytes`` travels alone rather than never.

    Args:
        puts: Oldest first; at most ``batch_objects``.
        deletes: Oldest first, those that may be carried out.
        policies: The limits.
    """
    chosen: list[PendingChange] = []
    size = 0
    for change in puts[: policies.batch_objects]:
        size += change.fingerprint.size_bytes if change.fingerprint else 0
        if chosen and size > policies.batch_bytes:
            break
        chosen.append(change)
    room = policies.batch_objects - len(chosen) if len(chosen) == len(puts) else 0
    going = tuple(deletes[:room])
    if not chosen and not going:
        return None
    return Stage(puts=tuple(chosen), deletes=going, reason=_reason(len(chosen), len(going)))


def _reason(puts: int, deletes: int) -> str:
    parts = [f"{puts} to upload" if puts else "", f"{deletes} to delete" if deletes else ""]
    return " and ".join(part for part in parts if part) + " on the staging branch"
