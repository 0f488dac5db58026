"""What the journal holds that is news to those who are told: snapshots, and whether the source is all in them."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from syncd.journal import history, problems

if TYPE_CHECKING:
    import sqlite3

    from syncd.model import Snapshot

MOST_AT_ONCE = 1000  # snapshots between two looks; far more than can be made


def new_snapshots(connection: sqlite3.Connection, told_up_to: str | None) -> list[Snapshot]:
    """Return the snapshots that were finished since, the oldest first.

    Args:
        connection: A reader of the journal.
        told_up_to: A commit; "": all are new; None: the newest alone is asked for.
    """
    newest_first = history.finished(connection, limit=1 if told_up_to is None else MOST_AT_ONCE)
    return list(takewhile(lambda one: one.commit_id != told_up_to, newest_first))[::-1]


def leaves_nothing_out(connection: sqlite3.Connection) -> bool:
    """Return whether nothing of the source is named as not synced."""
    return next(problems.standing(connection, limit=1), None) is None
