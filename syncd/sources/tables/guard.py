"""Is a table as it is read now believed, or is a person asked first? Pure. Promise P5."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLimits:
    """How many rows may go at once."""

    max_delete_percent: float = 25.0
    max_delete_count: int = 0  # 0: no limit
    min_objects: int = 20  # the percentage counts from so many rows on


def why_held(name: str, before: int, now: int, limits: RowLimits) -> str:
    """Return why a table that had ``before`` rows and has ``now`` is not published as it is; "" when it may be.

    A row that is replaced by another one counts as nothing here: only how many there are is compared.
    """
    gone = before - now
    if gone <= 0:
        return ""
    percent = 100 * gone / before
    beyond = now == 0 or (limits.max_delete_count and gone > limits.max_delete_count)
    if not beyond and (before < limits.min_objects or percent <= limits.max_delete_percent):
        return ""
    return (
        f"{gone:,} of {before:,} rows of {name} are gone ({percent:.0f} %), as after a TRUNCATE or a half-done load;"
        " the last version stays published. If it is intended: syncd approve"
    )
