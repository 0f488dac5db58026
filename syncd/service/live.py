"""What the daemon is doing at this moment, for status; facts that no journal holds."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from syncd.planner.facts import Plan


class Activity(StrEnum):
    """What the loop is busy with."""

    NOTHING = "nothing"
    UPLOADING = "uploading"
    COMPARING = "comparing"
    COMMITTING = "committing"


@dataclass(slots=True, kw_only=True)
class Live:
    """Owned by the loop; read by status."""

    since: datetime  # when the daemon started
    activity: Activity = Activity.NOTHING
    why: str = "starting"
    hold: str = ""
    next_decision_at: datetime | None = None

    def planned(self, plan: Plan) -> None:
        """Keep what the newest plan says."""
        self.why, self.hold, self.next_decision_at = plan.why, plan.hold, plan.wake_at

    @contextmanager
    def doing(self, activity: Activity) -> Iterator[None]:
        """Show an activity while it lasts."""
        self.activity = activity
        try:
            yield
        finally:
            self.activity = Activity.NOTHING
