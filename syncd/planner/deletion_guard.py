"""Which of the due deletions may be carried out? Promise P5.

Absence is a deletion only if the source was readable and completely listed. An empty or vanished source never
deletes anything: an unmounted disk looks just like that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.model import CLOSURE_LIST, IMAGES, TABLES, source_of

if TYPE_CHECKING:
    from syncd.model import PendingChange
    from syncd.planner.facts import Facts


def split(facts: Facts) -> tuple[tuple[PendingChange, ...], str]:
    """Return the deletions that may go ahead, and why the rest is held ("" when there is no rest).

    An image that is withheld is in the source; it leaves the branch by the word of a table that was read.
    """
    allowed: list[PendingChange] = []
    reasons: dict[str, None] = {}  # a set that keeps its order
    for change in facts.due_deletes:
        reason = "" if change.withheld else _why_held(change.key, facts)
        if reason:
            reasons[reason] = None
        else:
            allowed.append(change)
    return tuple(allowed), "; ".join(reasons)


def _why_held(key: str, facts: Facts) -> str:
    owner = source_of(key)
    if key == f"{TABLES}{owner}/{CLOSURE_LIST}":
        return ""  # syncd's own word: no source shows its absence
    for source in facts.sources:
        if source.name == owner and not source.complete:
            cause = source.reason or "it has not been listed completely yet"
            return f"deletions in {source.name} wait: {cause}"
    if key.startswith(IMAGES) and facts.live_images == 0:
        return (
            "deletions in images wait: every image is gone from the source, as after an unmount or a"
            " half-finished copy; they go ahead once the folder holds an image again"
        )
    return ""
