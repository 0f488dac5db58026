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


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of keys that the branch says are uncommitted, held against what was acknowledged there."""

    strange: Sequence[str]  # their state is none that syncd left there
    sure: int  # the others, of which is known what the branch's newest commit holds


def check(connection: sqlite3.Connection, found: Sequence[Uncommitted]) -> Checked:
    """Hold uncommitted keys against what was acknowledged."""
    query = (
        "SELECT staged_bytes, committed_sha256 IS NOT x'' FROM entry WHERE directory = ? AND name = ?"
        " AND staged_sha256 IS NOT committed_sha256 AND (staged_sha256 IS NULL) = ?"
    )
    keys, sure = [], 0
    for change in found:
        row = connection.execute(query, (*split_key(change.key), change.size_bytes is None)).fetchone()
        if row is None or row[0] != change.size_bytes:
            keys.append(change.key)
        else:
            sure += row[1]
    return Checked(keys, sure)


def count_uncommitted(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many keys the branch must say are uncommitted, and how many it may.

    The others are those where the newest commit holds something that does not say its digest: someone else's, which
    may be just what was staged.
    """
    must, may = connection.execute(
        "SELECT count(*) FILTER (WHERE committed_sha256 IS NOT x''), count(*) FILTER (WHERE committed_sha256 IS x'')"
        " FROM entry WHERE staged_sha256 IS NOT committed_sha256"
    ).fetchone()
    return int(must), int(may)


def unsure(connection: sqlite3.Connection, after: str, limit: int) -> list[tuple[str, bytes | None]]:
    """Return keys that the branch may say are uncommitted, from a key on, and the SHA-256 acknowledged there."""
    return connection.execute(
        "SELECT directory || name, staged_sha256 FROM entry WHERE (directory, name) > (?, ?)"
        " AND staged_sha256 IS NOT committed_sha256 AND committed_sha256 IS x'' ORDER BY directory, name LIMIT ?",
        (*split_key(after), limit),
    ).fetchall()


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
    """Tell a person, unless they have agreed to just this; return whether they have.

    Their agreement stands until what they agreed to is done: see :func:`release`.
    """
    if connection.execute("SELECT 1 FROM branch_hold WHERE found = ? AND agreed = 1", (found,)).fetchone():
        return True
    connection.execute("INSERT OR REPLACE INTO branch_hold VALUES (1, ?, ?, 0)", (found, fact))
    return False


def agree(connection: sqlite3.Connection, told: str) -> bool:
    """Take a person's agreement to what they were told; return whether that still is what is held."""
    return connection.execute("UPDATE branch_hold SET agreed = 1 WHERE fact = ?", (told,)).rowcount > 0


def release(connection: sqlite3.Connection) -> None:
    """The branch is as it was left, or what it holds has been taken over."""
    connection.execute("DELETE FROM branch_hold")
