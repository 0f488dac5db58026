"""May what is staged be published, or must rows and images fit together first? Promise P3.

Whether they fit is checked against exactly what the commit would hold, and that is known only once everything is
staged. So the check is an action of its own, asked for when a snapshot would be made, and believed for as long as
nothing more is staged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.model import IMAGES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.model import PendingChange
    from syncd.planner.facts import Facts, Policies


def check_needed(facts: Facts, policies: Policies, now: datetime, *, more_to_stage: bool) -> bool:
    """Return whether rows and images must be compared (again) before anything is published.

    While they do not fit and more is still to be staged, a new check waits for its time: each costs what is
    uncommitted, and a long backlog would pay that once a batch.
    """
    checked = facts.closure
    if not policies.checks_closure or (checked is not None and checked.staged_at == facts.staged_at):
        return False
    return checked is None or not checked.held or not more_to_stage or now >= checked.recheck_at


def why_held(facts: Facts, policies: Policies) -> str:
    """Return what does not fit and so keeps everything from being published, or ""; the newest check is believed.

    But for one that will be made anew before anything is published: then nothing is known, and the moment when a
    snapshot is due is one to wake up for.
    """
    if not policies.checks_closure or facts.closure is None or not facts.uncommitted:
        return ""
    return "" if _checked_next(facts) else facts.closure.held


def staged_since(facts: Facts) -> bool:
    """Return whether more was staged since rows and images were compared: they may fit by now."""
    return facts.closure is not None and facts.closure.staged_at != facts.staged_at


def _checked_next(facts: Facts) -> bool:
    """Return whether more was staged since a check, and all is staged: :func:`check_needed` asks for the next one."""
    unstaged = facts.due_puts or facts.due_deletes or facts.tables_under_way or facts.uncertain
    return staged_since(facts) and not unstaged


def images_stay(facts: Facts, now: datetime) -> bool:
    """Return whether the images on the branch stay as they are: a table is being read again to fit them.

    Else images that keep coming would keep the two from ever fitting. Not for long, should the table be unreadable.
    """
    until = None if facts.closure is None else facts.closure.images_stay_until
    return until is not None and now < until


def stageable(changes: Sequence[PendingChange], facts: Facts, now: datetime) -> tuple[PendingChange, ...]:
    """Return those that may be staged as rows and images stand: while images stay, tables and what no row names."""
    if not images_stay(facts, now):
        return tuple(changes)
    return tuple(change for change in changes if change.withheld or not change.key.startswith(IMAGES))


def images_wait(changes: Sequence[PendingChange], facts: Facts, now: datetime) -> bool:
    """Return whether images are kept from being staged by a table that has been read again since.

    Nothing else may ever be due that would have rows and images compared: a trigger waits for what is unstaged.
    """
    return staged_since(facts) and len(stageable(changes, facts, now)) < len(changes)


def overdue(facts: Facts, policies: Policies, now: datetime) -> str:
    """Return the same once the missing half has been waited for long enough for a person to be told, else "".

    A call that waits is not refused for what was found before it: the missing half may have come since.
    """
    if facts.closure is None or now < facts.closure.alert_at or _mending(facts):
        return ""
    return why_held(facts, policies)


def _mending(facts: Facts) -> bool:
    """Return whether a call waits for something that the newest check has not seen."""
    if not facts.requests:
        return False
    newest = max(request.revision for request in facts.requests)
    on_its_way = any(change.revision <= newest for change in (*facts.due_puts, *facts.due_deletes))
    return on_its_way or bool(facts.tables_under_way) or staged_since(facts)
