"""Is a table as it is read now believed, or is a person asked first? Pure. Promise P5."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncd.model import DeletionLimits


def why_held(name: str, before: int, now: int, limits: DeletionLimits) -> str:
    """Return why a table that had ``before`` rows and has ``now`` is not published as it is; "" when it may be.

    A row that is replaced by another one counts as nothing here: only how many there are is compared.
    """
    gone = before - now
    if gone <= 0:
        return ""
    if now and not limits.beyond(gone, before):
        return ""
    percent = 100 * gone / before
    return (
        f"{gone:,} of {before:,} rows of {name} are gone ({percent:.0f} %), as after a TRUNCATE or a half-done load;"
        " the last version stays published. If it is intended: syncd approve"
    )
