"""What the configuration lets go without asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.model import DeletionLimits

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
