"""Small conversions between Python values and columns, in one place."""

from __future__ import annotations

from datetime import UTC, datetime


def to_seconds(moment: datetime) -> float:
    """Return Unix seconds of a time-zone-aware time."""
    return moment.timestamp()


def to_time(seconds: float) -> datetime:
    """Return the time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def to_time_or_none(seconds: float | None) -> datetime | None:
    """Return the time in UTC, or None for NULL."""
    return None if seconds is None else to_time(seconds)
