"""When is the next snapshot due, and why?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.model import Trigger

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.planner.facts import Facts, Policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A trigger, the moment from which it applies, and the reason in words."""

    at: datetime
    trigger: Trigger
    reason: str


def next_due(facts: Facts, policies: Policies, *, unstaged_since: datetime | None) -> Due | None:
    """Return the earliest automatic trigger, or None while there is nothing to commit.

    A trigger's moment may lie in the past: then it is due now. All are held back by ``min_interval``.

    Args:
        facts: Only the times, the counts and the sources are read.
        policies: The limits; those that are None do not apply.
        unstaged_since: Since when the oldest change waits that is not on the staging branch; None when nothing
            is due for upload or deletion (what is held or blocked does not count).
    """
    if not facts.uncommitted:
        return None
    triggers = [
        _max_changes(facts, policies),
        _schedule(facts, unstaged_since),
        _max_wait(facts, policies),
        _quiet(facts, policies) if unstaged_since is None else None,
    ]
    candidates = [due for due in triggers if due is not None]
    if not candidates:
        return None
    first = min(candidates, key=lambda due: due.at)
    if facts.last_snapshot_at is None:
        return first
    earliest = facts.last_snapshot_at + policies.min_interval
    return Due(at=max(first.at, earliest), trigger=first.trigger, reason=first.reason)


def _max_changes(facts: Facts, policies: Policies) -> Due | None:
    if policies.max_changes is None or facts.waiting_since is None:
        return None
    if facts.uncommitted < policies.max_changes:
        return None
    reason = f"{policies.max_changes} changes are staged"
    return Due(at=facts.waiting_since, trigger=Trigger.MAX_CHANGES, reason=reason)


def _schedule(facts: Facts, unstaged_since: datetime | None) -> Due | None:
    """The schedule takes in what was observed before its moment: that is staged first."""
    if facts.schedule_at is None:
        return None
    if unstaged_since is not None and unstaged_since <= facts.schedule_at:
        return None
    return Due(at=facts.schedule_at, trigger=Trigger.SCHEDULE, reason="the schedule says so")


def _max_wait(facts: Facts, policies: Policies) -> Due | None:
    """Count from the last snapshot at the earliest.

    Otherwise a backlog that built up while lakeFS was away would be committed after every batch.
    """
    if policies.max_wait is None or facts.waiting_since is None:
        return None
    since = max(facts.waiting_since, facts.last_snapshot_at or facts.waiting_since)
    reason = f"the oldest change has waited {policies.max_wait.total_seconds():g} s"
    return Due(at=since + policies.max_wait, trigger=Trigger.MAX_WAIT, reason=reason)


def _quiet(facts: Facts, policies: Policies) -> Due | None:
    """A burst has ended when no file is still changing either."""
    settling = any(source.settling for source in facts.sources)
    if policies.quiet is None or facts.last_change_at is None or settling:
        return None
    reason = f"nothing changed for {policies.quiet.total_seconds():g} s"
    return Due(at=facts.last_change_at + policies.quiet, trigger=Trigger.QUIET, reason=reason)
