"""Which of the due deletions may be carried out? Promise P5.

Absence is a deletion only if the source was readable and completely listed. An empty or vanished source never
deletes anything: an unmounted disk looks just like that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from syncd.model import CLOSURE_LIST, IMAGES, TABLES, source_of

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.model import PendingChange
    from syncd.planner.facts import Facts, Policies

_JUDGED_FOR = timedelta(seconds=5)  # while they are held, not more often
_MOVING_FOR = timedelta(seconds=30)  # so long what is gone may turn up under another name before it is judged
_LOOK_AGAIN = timedelta(seconds=0.5)


def must_judge(facts: Facts, policies: Policies, now: datetime) -> bool:
    """Return whether it must be found out (again) if a person is to be asked about the images that are gone.

    Again, because some may be back by now, or turn out to have been moved.
    """
    found = facts.absences
    if not found.held:
        return found.beyond(policies.limits) and not may_be_moving(facts, policies, now)
    if not found.gone:
        return True
    return facts.revision != found.revision and (found.judged_at is None or now - found.judged_at >= _JUDGED_FOR)


def may_be_moving(facts: Facts, policies: Policies, now: datetime) -> bool:
    """Return whether much is gone and files are still being found: a renamed folder looks so for a moment."""
    found = facts.absences
    if found.held or not found.beyond(policies.limits):
        return False
    if not any(source.busy or source.settling for source in facts.sources):
        return False
    since = min((change.waiting_since for change in facts.due_deletes if change.key.startswith(IMAGES)), default=now)
    return now - since < _MOVING_FOR


def judge_again_at(facts: Facts, policies: Policies, now: datetime) -> datetime | None:
    """Return when to judge again although nothing else happens."""
    if may_be_moving(facts, policies, now):
        return now + _LOOK_AGAIN
    found = facts.absences
    is_old = found.held and facts.revision != found.revision and found.judged_at is not None
    return found.judged_at + _JUDGED_FOR if is_old and found.judged_at else None


def split(
    facts: Facts, policies: Policies, now: datetime
) -> tuple[tuple[PendingChange, ...], tuple[PendingChange, ...], str]:
    """Return the deletions that may go ahead, those still to be judged, and why the rest is held ("": there is none).

    An image that is withheld is in the source; it leaves the branch by the word of a table that was read.
    """
    allowed: list[PendingChange] = []
    unjudged: list[PendingChange] = []
    moving = may_be_moving(facts, policies, now)
    reasons: dict[str, None] = {}  # a set that keeps its order
    for change in facts.due_deletes:
        reason = "" if change.withheld else _why_held(change, facts)
        if reason:
            reasons[reason] = None
        elif moving and change.key.startswith(IMAGES) and not change.withheld and not change.agreed:
            unjudged.append(change)
        else:
            allowed.append(change)
    return tuple(allowed), tuple(unjudged), "; ".join(reasons)


def _why_held(change: PendingChange, facts: Facts) -> str:
    key, owner = change.key, source_of(change.key)
    if key == f"{TABLES}{owner}/{CLOSURE_LIST}":
        return ""  # syncd's own word: no source shows its absence
    for source in facts.sources:
        if source.name == owner and not source.complete:
            cause = source.reason or "it has not been listed completely yet"
            return f"deletions in {source.name} wait: {cause}"
    if not key.startswith(IMAGES) or change.agreed:
        return ""
    if facts.absences.held:
        return _too_many(facts)
    if facts.live_images == 0:
        return (
            "deletions in images wait: every image is gone from the source, as after an unmount or a"
            " half-finished copy; they go ahead once the folder holds an image again, or with syncd approve"
        )
    return ""


def _too_many(facts: Facts) -> str:
    found = facts.absences
    gone, before = found.gone + found.recent, found.images + found.recent
    percent = f" ({100 * gone / before:.0f} %)" if before else ""
    return (
        f"{gone:,} of {before:,} images are gone from the source{percent}: {found.waiting:,} deletions wait. If that is"
        " intended: syncd approve. If not, put the images back, or keep them published with syncd approve --discard"
    )
