"""The cron expression of ``snapshot.schedule``, in its time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cronsim import CronSim

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


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
        moment = next(CronSim(self._expression, since.astimezone(self._zone)), None)
        return None if moment is None else moment.astimezone(UTC)

    def passed(self, at: datetime) -> None:
        """There was nothing to commit up to this time."""
        self._passed_at = at
