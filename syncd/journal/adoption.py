"""The first meeting of a journal and a staging branch that already holds something.

A new state directory over an old branch: what the branch holds is taken over as staged and committed, so that
what the source no longer has is deleted, and what it still has is not sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.errors import JournalError
from syncd.fingerprint import SetDigest
from syncd.journal import branch, closure
from syncd.journal.rows import to_seconds
from syncd.journal.staging import UNKNOWN
from syncd.model import IMAGES, split_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime


_COMMITTED = """
INSERT INTO entry (directory, name, revision, staged_sha256, staged_bytes, committed_sha256, committed_bytes,
                   unstaged_since, waiting_since)
VALUES (:directory, :name, 0, :sha256, :size_bytes, :sha256, :size_bytes, 0, :now)
ON CONFLICT (directory, name) DO UPDATE SET
    staged_sha256 = :sha256, staged_bytes = :size_bytes,
    committed_sha256 = :sha256, committed_bytes = :size_bytes,
    unstaged_since = CASE WHEN wanted_sha256 IS :sha256 THEN NULL ELSE coalesce(unstaged_since, revision) END,
    waiting_since = CASE WHEN wanted_sha256 IS :sha256 THEN NULL ELSE coalesce(waiting_since, :now) END
"""

_UNCOMMITTED = """
INSERT INTO entry (directory, name, revision, staged_sha256, unstaged_since, waiting_since)
VALUES (:directory, :name, 0, x'', 0, :now)
ON CONFLICT (directory, name) DO UPDATE SET
    staged_sha256 = x'', staged_bytes = NULL,
    unstaged_since = coalesce(unstaged_since, revision), waiting_since = coalesce(waiting_since, :now)
"""


def bind(connection: sqlite3.Connection, target: Mapping[str, str]) -> None:
    """Remember what this journal is about, or check that it still is.

    Raises:
        JournalError: The journal belongs to another repository, branch or prefix.
    """
    bound = dict(connection.execute("SELECT name, value FROM binding").fetchall())
    if not bound:
        connection.executemany("INSERT INTO binding VALUES (?, ?)", target.items())
        return
    for name, value in target.items():
        if bound.get(name) != value:
            raise JournalError(
                f"this state directory belongs to {name} {bound.get(name)!r}, the configuration says {value!r}",
                cause="one state directory serves one repository, branch and prefix",
                next_step="give the new target a service.state_dir of its own",
            )


def adopted(connection: sqlite3.Connection) -> bool:
    """Tell whether the staging branch's first content has been taken over."""
    (flag,) = connection.execute("SELECT adopted FROM state").fetchone()
    return bool(flag)


def adopt_committed(
    connection: sqlite3.Connection, found: Sequence[tuple[str, bytes | None, int]], now: datetime
) -> None:
    """Take over part of what the branch's newest commit holds; the same part may come again.

    Args:
        connection: The writing one.
        found: ``(key, SHA-256 or None where it is not known, size in bytes)``.
        now: The time.
    """
    closure.unpair(connection)
    for key, sha256, size_bytes in found:
        values = _place(key, now) | {"sha256": sha256 or UNKNOWN, "size_bytes": size_bytes}
        connection.execute(_COMMITTED, values)


def adopt_uncommitted(connection: sqlite3.Connection, keys: Sequence[str], now: datetime) -> None:
    """Mark keys with uncommitted changes as not known: they are staged anew."""
    for key in keys:
        connection.execute(_UNCOMMITTED, _place(key, now))


def _place(key: str, now: datetime) -> dict[str, object]:
    directory, name = split_key(key)
    return {"directory": directory, "name": name, "now": to_seconds(now)}


def forget_branch(connection: sqlite3.Connection) -> None:
    """The staging branch is not the one this journal knew: believe nothing of it, and adopt it anew.

    A snapshot that had reached neither branch is dropped: what it held is due again.
    """
    connection.execute("DELETE FROM entry WHERE seen_sha256 IS NULL")
    connection.execute(
        "UPDATE entry SET staged_sha256 = NULL, staged_bytes = NULL, committed_sha256 = NULL,"
        " committed_bytes = NULL, unstaged_since = iif(withheld, NULL, coalesce(unstaged_since, revision)),"
        " waiting_since = iif(withheld, NULL, coalesce(waiting_since, seen_at))"
    )
    closure.unpair(connection)
    connection.execute("DELETE FROM snapshot WHERE step IN ('begun', 'committed')")
    connection.execute("UPDATE state SET adopted = 0")
    connection.execute("DELETE FROM staging_head")


def finish_adoption(connection: sqlite3.Connection, head: str) -> None:
    """Add up what was taken over; from here on the sums are kept by change.

    Args:
        connection: The writing one.
        head: Id of the branch's newest commit, which is what was taken over.
    """
    branch.keep_head(connection, head)
    branch.release(connection)
    images, size_bytes, digest = 0, 0, SetDigest()
    for key, sha256, size in connection.execute(
        "SELECT directory || name, committed_sha256, committed_bytes FROM entry WHERE committed_sha256 IS NOT NULL"
    ):
        images += key.startswith(IMAGES)
        size_bytes += size or 0
        if sha256:
            digest.add(key, sha256)
    connection.execute(
        "UPDATE state SET adopted = 1, committed_images = ?, committed_bytes = ?, digest_state = ?",
        (images, size_bytes, digest.state),
    )
    closure.pair_every_table(connection)
