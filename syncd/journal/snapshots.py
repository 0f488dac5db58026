"""Snapshots: what the next commit holds, the steps it has taken, and the history."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.fingerprint import SetDigest
from syncd.journal import absence, branch, closure, tables
from syncd.journal.rows import to_seconds, to_time, to_time_or_none
from syncd.model import IMAGES, Snapshot, Trigger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
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


_ROWS = "syncd.rows."  # and a table's name, in the commit's metadata

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


_HISTORY = """
SELECT tag, commit_id, created_at, trigger_name, added, changed, deleted, images, size_bytes, digest,
       (SELECT value FROM binding WHERE name = 'repository'),
       (SELECT value FROM binding WHERE name = 'prefix'),
       (SELECT removed_at FROM removal WHERE removal.sequence = snapshot.sequence) AS removed_at
FROM snapshot WHERE step = 'tagged'
"""


def history(
    connection: sqlite3.Connection,
    *,
    limit: int,
    since: datetime | None = None,
    until: datetime | None = None,
    trigger: Trigger | None = None,
    kept: bool = False,
    least_changes: int = 0,
    before: str | None = None,
) -> Iterator[Snapshot]:
    """Yield finished snapshots, the newest first.

    Args:
        connection: A reader.
        limit: The most; -1: all.
        since: Only those made at this time or later.
        until: Only those made at this time or earlier.
        trigger: Only those made for this reason.
        kept: Only those that retention has not removed.
        least_changes: Only those with so many files added, changed and deleted.
        before: Only those made before the one with this tag.
    """
    asked = {
        "created_at >= ?": since and to_seconds(since),
        "created_at <= ?": until and to_seconds(until),
        "trigger_name = ?": trigger,
        "added + changed + deleted >= ?": least_changes or None,
        "sequence < (SELECT max(sequence) FROM snapshot WHERE tag = ?)": before,
    }
    given = {term: value for term, value in asked.items() if value is not None}
    terms = [_HISTORY, *given, *(["removed_at IS NULL"] if kept else [])]
    query = " AND ".join(terms) + " ORDER BY sequence DESC LIMIT ?"
    for row in connection.execute(query, (*given.values(), limit)):
        yield _snapshot(row)


def rows_by_tag(connection: sqlite3.Connection, tags: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many rows each table had, by tag and by table; none of a tag without tables."""
    found: dict[str, dict[str, int]] = {}
    marks = ",".join("?" * len(tags))
    query = f"SELECT tag, key, value FROM snapshot, json_each(metadata) WHERE tag IN ({marks}) AND key LIKE ?"  # noqa: S608
    for tag, key, value in connection.execute(query, (*tags, f"{_ROWS}%")):
        found.setdefault(tag, {})[key.removeprefix(_ROWS)] = int(value)
    return found


def growth(connection: sqlite3.Connection) -> list[tuple[float, int, int]]:
    """Return of each finished snapshot when it was made (Unix seconds), its images and its bytes; the oldest first."""
    return connection.execute(
        "SELECT created_at, images, size_bytes FROM snapshot WHERE step = 'tagged' ORDER BY sequence"
    ).fetchall()


def newest_metadata(connection: sqlite3.Connection) -> dict[str, str]:
    """Return what the commit of the newest snapshot says; empty while there is none."""
    row = connection.execute("SELECT metadata FROM snapshot ORDER BY sequence DESC LIMIT 1").fetchone()
    return {} if row is None else dict(json.loads(row[0]))


def by_sequence(connection: sqlite3.Connection, sequence: int) -> Snapshot | None:
    """Return one finished snapshot."""
    row = connection.execute(_HISTORY + " AND sequence = ?", (sequence,)).fetchone()
    return None if row is None else _snapshot(row)


def by_intent(connection: sqlite3.Connection, intent: str) -> Snapshot | None:
    """Return the finished snapshot of an intent, which its commits carry."""
    row = connection.execute(_HISTORY + " AND intent = ?", (intent,)).fetchone()
    return None if row is None else _snapshot(row)


def by_tag(connection: sqlite3.Connection, tag: str) -> Snapshot | None:
    """Return the newest finished snapshot that was given a tag."""
    row = connection.execute(_HISTORY + " AND tag = ? ORDER BY sequence DESC LIMIT 1", (tag,)).fetchone()
    return None if row is None else _snapshot(row)


def remove(connection: sqlite3.Connection, removed: Sequence[Snapshot], now: datetime) -> None:
    """Retention does not keep these any more: their pins are gone. They stay in the history."""
    connection.executemany(
        "INSERT OR IGNORE INTO removal SELECT sequence, ? FROM snapshot WHERE tag = ? AND commit_id = ?",
        [(to_seconds(now), one.tag, one.commit_id) for one in removed],
    )


def _snapshot(row: tuple[str, str, float, str, int, int, int, int, int, str, str, str, float | None]) -> Snapshot:
    tag, commit_id, created_at, trigger, added, changed, deleted, images, size_bytes = row[:9]
    digest, repository, prefix, removed_at = row[9:]
    return Snapshot(
        tag=tag,
        commit_id=commit_id,
        created_at=to_time(created_at),
        trigger=Trigger(trigger),
        added=added,
        changed=changed,
        deleted=deleted,
        images=images,
        size_bytes=size_bytes,
        digest=digest,
        uri=f"lakefs://{repository}/{tag}/{prefix}",
        removed_at=to_time_or_none(removed_at),
    )
