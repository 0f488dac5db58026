"""What the configuration lets go without asking: images and rows, and old snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.model import DeletionLimits
from syncd.planner.retention import KeepRules

if TYPE_CHECKING:
    from syncd.config import Settings


def deletion_limits(settings: Settings) -> DeletionLimits:
    """Return how many images, or rows of a table, may go at once."""
    guard = settings.guard
    return DeletionLimits(
        max_delete_percent=guard.max_delete_percent,
        max_delete_count=guard.max_delete_count,
        min_objects=guard.min_objects,
    )


def keep_rules(settings: Settings) -> KeepRules:
    """Return how many snapshots are kept."""
    asked = settings.snapshot
    return KeepRules(last=asked.keep_last, daily=asked.keep_daily, weekly=asked.keep_weekly, monthly=asked.keep_monthly)
