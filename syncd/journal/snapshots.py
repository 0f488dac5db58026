"""Snapshots: what the next commit holds, and the steps it has taken. See ``history`` for those that were made."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.fingerprint import SetDigest
from syncd.journal import absence, branch, closure, tables
from syncd.journal.rows import to_seconds, to_time, to_time_or_none
from syncd.model import IMAGES, Trigger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a commit of all that is staged would change, and what it would hold."""

    added: int
    changed: int
    deleted: int
    images: int
    size_bytes: int
    digest: SetDigest
    rows: Mapping[str, int]  # by table
    observed_at: datetime | None  # the newest observation of changed content


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSnapshot:
    """A snapshot on its way: each step is taken once, and can be resumed."""

    sequence: int
    intent: str
    step: str  # "begun" | "committed" | "merged"
    trigger: Trigger
    tag: str
    message: str
    metadata: Mapping[str, str]
    begun_at: datetime
    staging_commit: str | None
    commit_id: str | None


_UNCOMMITTED = """
SELECT directory || name, staged_sha256, staged_bytes, committed_sha256, committed_bytes
FROM entry WHERE staged_sha256 IS NOT committed_sha256
"""


def summarise(connection: sqlite3.Connection) -> Summary:
    """Add up what is staged and not committed; costs what changed. No key's staged content may be unknown."""
    images, size_bytes, digest_state, observed_at = connection.execute(
        "SELECT committed_images, committed_bytes, digest_state, last_change_at FROM state"
    ).fetchone()
    digest, kinds = SetDigest(digest_state), Counter[str]()
    for key, staged, staged_bytes, committed, committed_bytes in connection.execute(_UNCOMMITTED):
        kinds["added" if committed is None else "deleted" if staged is None else "changed"] += 1
        size_bytes += (staged_bytes or 0) - (committed_bytes or 0)
        if key.startswith(IMAGES):
            images += (staged is not None) - (committed is not None)
        if committed:
            digest.remove(key, committed)
        if staged:
            digest.add(key, staged)
    return Summary(
        added=kinds["added"],
        changed=kinds["changed"],
        deleted=kinds["deleted"],
        images=images,
        size_bytes=size_bytes,
        digest=digest,
        rows=tables.staged_rows(connection),
        observed_at=to_time_or_none(observed_at),
    )


def begin(
    connection: sqlite3.Connection,
    summary: Summary,
    *,
    intent: str,
    trigger: Trigger,
    tag: str,
    message: str,
    metadata: Mapping[str, str],
    now: datetime,
) -> None:
    """Write the intent to publish what ``summary`` describes; nothing may be staged until it is committed."""
    connection.execute(
        "INSERT INTO snapshot (sequence, intent, step, trigger_name, begun_at, tag, message, metadata,"
        " added, changed, deleted, images, size_bytes, digest_state, digest)"
        " VALUES ((SELECT coalesce(max(sequence), 0) + 1 FROM snapshot),"
        " ?, 'begun', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            intent,
            trigger.value,
            to_seconds(now),
            tag,
            message,
            json.dumps(dict(metadata)),
            summary.added,
            summary.changed,
            summary.deleted,
            summary.images,
            summary.size_bytes,
            summary.digest.state,
            summary.digest.hexdigest(),
        ),
    )


def committed(connection: sqlite3.Connection, sequence: int, staging_commit: str) -> None:
    """The staging branch has the commit: what was staged is committed."""
    (begun_at,) = connection.execute("SELECT begun_at FROM snapshot WHERE sequence = ?", (sequence,)).fetchone()
    absence.count_commit(connection, to_time(begun_at))
    connection.execute(
        "UPDATE snapshot SET step = 'committed', staging_commit = ? WHERE sequence = ? AND step = 'begun'",
        (staging_commit, sequence),
    )
    branch.keep_head(connection, staging_commit)
    _take_over(connection, sequence)


def abandon(connection: sqlite3.Connection, sequence: int) -> None:
    """Nothing was found to commit: the branch's newest commit holds just what is staged."""
    _take_over(connection, None, totals_of=sequence)
    connection.execute("DELETE FROM snapshot WHERE sequence = ?", (sequence,))


def _take_over(connection: sqlite3.Connection, sequence: int | None, totals_of: int | None = None) -> None:
    closure.take_over(connection)
    connection.execute(
        "UPDATE state SET (committed_images, committed_bytes, digest_state) ="
        " (SELECT images, size_bytes, digest_state FROM snapshot WHERE sequence = ?)",
        (totals_of if sequence is None else sequence,),
    )
    connection.execute(
        "DELETE FROM entry WHERE staged_sha256 IS NOT committed_sha256"
        " AND seen_sha256 IS NULL AND staged_sha256 IS NULL"
    )
    connection.execute(
        "UPDATE entry SET committed_sha256 = staged_sha256, committed_bytes = staged_bytes,"
        " committed_in = ?, waiting_since = CASE WHEN wanted_sha256 IS staged_sha256 THEN NULL"
        " ELSE coalesce(seen_at, waiting_since) END"
        " WHERE staged_sha256 IS NOT committed_sha256",
        (sequence,),
    )
    tables.prune(connection)


def merged(connection: sqlite3.Connection, sequence: int, commit_id: str, created_at: datetime) -> None:
    """The publish branch has the commit."""
    connection.execute(
        "UPDATE snapshot SET step = 'merged', commit_id = ?, created_at = ? WHERE sequence = ? AND step = 'committed'",
        (commit_id, to_seconds(created_at), sequence),
    )


def retag(connection: sqlite3.Connection, sequence: int, tag: str) -> None:
    """The tag's name was taken; remember the other one before it is created."""
    connection.execute("UPDATE snapshot SET tag = ? WHERE sequence = ? AND step = 'merged'", (tag, sequence))


def tagged(connection: sqlite3.Connection, sequence: int) -> None:
    """The tag stands: the snapshot is done."""
    connection.execute("UPDATE snapshot SET step = 'tagged' WHERE sequence = ? AND step = 'merged'", (sequence,))


def open_snapshot(connection: sqlite3.Connection) -> OpenSnapshot | None:
    """Return the snapshot that was begun and is not tagged."""
    row = connection.execute(
        "SELECT sequence, intent, step, trigger_name, tag, message, metadata, begun_at, staging_commit, commit_id"
        " FROM snapshot WHERE step <> 'tagged'"
    ).fetchone()
    if row is None:
        return None
    sequence, intent, step, trigger, tag, message, metadata, begun_at, staging_commit, commit_id = row
    return OpenSnapshot(
        sequence=sequence,
        intent=intent,
        step=step,
        trigger=Trigger(trigger),
        tag=tag,
        message=message,
        metadata=json.loads(metadata),
        begun_at=to_time(begun_at),
        staging_commit=staging_commit,
        commit_id=commit_id,
    )
