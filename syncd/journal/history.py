"""The snapshots that were made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncd.journal.rows import to_seconds, to_time, to_time_or_none
from syncd.model import Snapshot, Trigger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from datetime import datetime

_ROWS = "syncd.rows."  # and a table's name, in a commit's metadata
_TAG = '$."syncd.tag"'  # there, too: the tag it was to get
_HISTORY = """
SELECT tag, commit_id, created_at, trigger_name, added, changed, deleted, images, size_bytes, digest,
       (SELECT value FROM binding WHERE name = 'repository'),
       (SELECT value FROM binding WHERE name = 'prefix'),
       (SELECT removed_at FROM removal WHERE removal.sequence = snapshot.sequence) AS removed_at
FROM snapshot WHERE step = 'tagged'
"""


def finished(
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


def meant_tag(connection: sqlite3.Connection, made: Snapshot) -> str | None:
    """Return the tag that a snapshot was to get, as its commit says; None: it does not."""
    row = connection.execute(
        "SELECT json_extract(metadata, ?) FROM snapshot WHERE tag = ? AND commit_id = ?",
        (_TAG, made.tag, made.commit_id),
    ).fetchone()
    return None if row is None else row[0]


def rows_since(connection: sqlite3.Connection, table: str, since: datetime) -> list[tuple[datetime, int]]:
    """Return when snapshots were begun and how many rows of a table they hold; the oldest first.

    Those begun after ``since``, and the newest one before.
    """
    found = []
    for begun_at, metadata in connection.execute("SELECT begun_at, metadata FROM snapshot ORDER BY sequence DESC"):
        rows = json.loads(metadata).get(f"{_ROWS}{table}")
        if rows is not None:
            found.append((to_time(begun_at), int(rows)))
        if begun_at <= to_seconds(since):
            break
    return found[::-1]


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
