"""How long to leave a failing store alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.planner.facts import FailureFacts

FIRST = timedelta(seconds=0.5)
LONGEST = timedelta(seconds=60)
PERSON = timedelta(seconds=10)  # first pause where only a person can help: a probe, not an attack


def retry_at(failure: FailureFacts, *, called: bool = False) -> datetime:
    """Return when the next attempt may be made.

    Args:
        failure: The newest.
        called: Someone called for a snapshot after it. They may have seen to its cause: no further pause.

    The pause doubles with each failure in a row, from half a second to a minute, and is drawn between half and
    all of that, so that many daemons do not come back at the same instant. What the server asked for
    (``Retry-After``) is a lower bound. What waits for another syncd to let go is looked at at a steady pace.
    """
    if failure.needs_person and failure.retry_after is not None:  # it is known when to look again, and that it is cheap
        return failure.last_at + max(failure.retry_after, FIRST)
    first = PERSON if failure.needs_person else FIRST
    doublings = min(failure.in_a_row - 1, 10)  # beyond that LONGEST rules anyway
    pause = min(first * (1 << doublings), LONGEST) * (0.5 + failure.jitter / 2)
    if called:
        pause = min(pause, FIRST)
    return failure.last_at + max(pause, failure.retry_after or timedelta(0))


def retry_object_in(attempts: int) -> timedelta:
    """Return the pause before an object that lakeFS refused is offered again: 30 s doubling to an hour."""
    return min(timedelta(seconds=30) * (1 << min(attempts - 1, 7)), timedelta(hours=1))
