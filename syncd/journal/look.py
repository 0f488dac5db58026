"""Everything a plan needs of the journal, in one read: facts of two moments could lead to a plan that fits neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.journal import absence, pictures, snapshots, staging

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from syncd.journal.pictures import Standing
    from syncd.journal.snapshots import OpenSnapshot
    from syncd.model import Absences, PendingChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The journal at one moment."""

    standing: Standing
    puts: tuple[PendingChange, ...]
    deletes: tuple[PendingChange, ...]
    open_snapshot: OpenSnapshot | None
    blocked_until: datetime | None
    absences: Absences


def look_for_plan(connection: sqlite3.Connection, now: datetime, *, limit: int, count_up_to: int) -> Look:
    """Read it all; run through ``Journal.read``, which makes it one moment.

    Args:
        connection: A reader.
        now: For what may be tried again.
        limit: Puts, and deletes, at the most.
        count_up_to: Where counting stops.
    """
    puts, deletes = staging.due(connection, now, limit)
    return Look(
        standing=pictures.standing(connection, count_up_to=count_up_to),
        puts=puts,
        deletes=deletes,
        open_snapshot=snapshots.open_snapshot(connection),
        blocked_until=staging.blocked_until(connection, now),
        absences=absence.absences(connection, now),
    )
