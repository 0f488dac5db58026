"""The staging branch itself: is it still as syncd left it?

Its newest commit is remembered, and what is uncommitted on it can be held against what was acknowledged. Where it is
not as it was left, a person is told, and their answer covers what they were told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.journal.rows import to_seconds
from syncd.model import split_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime


def head(connection: sqlite3.Connection) -> str | None:
    """Return the id of the branch's newest commit, as syncd left it; None where that is not known."""
    row = connection.execute("SELECT commit_id FROM staging_head").fetchone()
    return None if row is None else str(row[0])


def keep_head(connection: sqlite3.Connection, commit_id: str) -> None:
    """Remember the branch's newest commit: syncd made it, or took over what it holds."""
    connection.execute(
        "INSERT INTO staging_head VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET commit_id = excluded.commit_id",
        (commit_id,),
    )


@dataclass(frozen=True, slots=True)
class Uncommitted:
    """What the branch says is uncommitted at a key."""

    key: str
    size_bytes: int | None  # None: nothing is there any more


def strange(connection: sqlite3.Connection, found: Sequence[Uncommitted]) -> list[str]:
    """Return those of the keys whose uncommitted state is none that syncd left there."""
    query = (
        "SELECT staged_bytes FROM entry WHERE directory = ? AND name = ? AND staged_sha256 IS NOT committed_sha256"
        " AND (staged_sha256 IS NULL) = ?"
    )
    keys = []
    for change in found:
        row = connection.execute(query, (*split_key(change.key), change.size_bytes is None)).fetchone()
        if row is None or row[0] != change.size_bytes:
            keys.append(change.key)
    return keys


def count_uncommitted(connection: sqlite3.Connection) -> int:
    """Return how many keys the branch must say are uncommitted: what it held before is known of them."""
    (count,) = connection.execute(
        "SELECT count(*) FROM entry WHERE staged_sha256 IS NOT committed_sha256 AND committed_sha256 IS NOT x''"
    ).fetchone()
    return int(count)


def doubt_uncommitted(connection: sqlite3.Connection, now: datetime) -> None:
    """Not all that was acknowledged is on the branch: what it holds at any uncommitted key is not known.

    A snapshot that was begun of it comes to nothing.
    """
    connection.execute("DELETE FROM snapshot WHERE step = 'begun'")
    connection.execute(
        "UPDATE entry SET staged_sha256 = x'', staged_bytes = NULL,"
        " unstaged_since = coalesce(unstaged_since, revision), waiting_since = coalesce(waiting_since, ?)"
        " WHERE staged_sha256 IS NOT committed_sha256",
        (to_seconds(now),),
    )


def held(connection: sqlite3.Connection) -> str:
    """Return what a person was told and has not agreed to, or ""."""
    row = connection.execute("SELECT fact FROM branch_hold WHERE agreed = 0").fetchone()
    return "" if row is None else str(row[0])


def hold(connection: sqlite3.Connection, found: str, fact: str) -> bool:
    """Tell a person, unless they have agreed to just this; return whether they have, which then is used up."""
    if connection.execute("DELETE FROM branch_hold WHERE found = ? AND agreed = 1", (found,)).rowcount:
        return True
    connection.execute("INSERT OR REPLACE INTO branch_hold VALUES (1, ?, ?, 0)", (found, fact))
    return False


def agree(connection: sqlite3.Connection, told: str) -> bool:
    """Take a person's agreement to what they were told; return whether that still is what is held."""
    return connection.execute("UPDATE branch_hold SET agreed = 1 WHERE fact = ?", (told,)).rowcount > 0


def release(connection: sqlite3.Connection) -> None:
    """The branch is as it was left."""
    connection.execute("DELETE FROM branch_hold")
