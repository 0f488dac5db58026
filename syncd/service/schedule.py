"""The cron expression of ``snapshot.schedule``, in its time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


MOST_BELIEVED = timedelta(hours=1)  # so far a clock is set back by someone who corrects it, or by a wrong time zone


class Schedule:
    """Knows which scheduled moment has not been dealt with.

    A moment is dealt with by a snapshot made after it, or by finding nothing to commit. One that passed while
    syncd was not running is made up for once, however many were missed.
    """

    def __init__(self, expression: str, zone: ZoneInfo, *, started_at: datetime) -> None:
        """Keep the expression; moments before ``started_at`` count only if there is an older snapshot."""
        self._expression, self._zone = expression, zone
        self._started_at = started_at
        self._passed_at: datetime | None = None

    def next_moment(self, last_snapshot_at: datetime | None) -> datetime | None:
        """Return the first moment not dealt with, in UTC; None if the expression never comes true."""
        since = last_snapshot_at or self._started_at
        if self._passed_at is not None:
            since = max(since, self._passed_at)
        moments = (moment.astimezone(UTC) for moment in CronSim(self._expression, since.astimezone(self._zone)))
        # From within the second of an hour that comes twice, CronSim begins with moments of the first one.
        return next((moment for moment in moments if moment > since), None)

    def set_back(self, last_snapshot_at: datetime | None, now: datetime) -> None:
        """Go by a clock that was set back: what was dealt with comes once, unless that is too far ahead to be true."""
        dealt_with = max(at for at in (last_snapshot_at, self._passed_at, self._started_at) if at is not None)
        self._passed_at = dealt_with if dealt_with - now <= MOST_BELIEVED else now
        self._started_at = min(self._started_at, now)

    def passed(self, at: datetime) -> None:
        """There was nothing to commit up to this time."""
        self._passed_at = at
