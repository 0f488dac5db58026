"""What the journal knows to have happened at a time that is still to come: the clock was set back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.journal.rows import to_seconds

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

_TIMES = (  # what a decision compares with the time now
    ("state", "last_change_at"),
    ("entry", "waiting_since"),
    ("entry", "not_before"),
    ("snapshot", "begun_at"),
    ("deletion", "at"),
    ("guard_trip", "judged_at"),
)


def not_after(connection: sqlite3.Connection, now: datetime) -> None:
    """Let what seems to lie ahead be now; else nothing would be done about it until that time comes again.

    An object that may not be offered before a later time is offered anew at once: how long it still has to wait is not
    known any more.
    """
    for table, column in _TIMES:
        connection.execute(
            f"UPDATE {table} SET {column} = :now WHERE {column} > :now",  # noqa: S608 - constants
            {"now": to_seconds(now)},
        )
