"""Read-only pictures of the journal, for the planner and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.journal.rows import to_time_or_none
from syncd.model import split_key

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand, as far as the planner needs it; every count is bounded."""

    revision: int
    last_change_at: datetime | None
    live_images: int
    uncertain: int
    unstaged_tables: int  # objects of tables not staged as last read, where a commit might hold half a table
    uncommitted: int
    staged_at: int  # number of the newest batch, 0 before the first: while it stays, so does what is staged
    waiting_since: datetime | None
    changing_revision: int | None
    next_sequence: int
    last_snapshot_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Exact counts, for people; walks what waits, not all there is."""

    to_upload: int
    upload_bytes: int
    to_delete: int
    uncommitted: int
    images: int  # in the newest snapshot
    size_bytes: int  # of it


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPicture:
    """All that is known of one key."""

    key: str
    seen: bytes | None
    size_bytes: int | None
    seen_at: datetime | None
    seen_how: str
    staged: bytes | None
    staged_batch: int | None
    committed: bytes | None
    committed_in: int | None  # sequence of a snapshot
    attempts: int
    not_before: datetime | None
    withheld: bool  # no row names it, and only what fits together is published
    kept: bool  # it stays published: an image that is gone, by a person's word; of a table, while not configured


_WAITING = "SELECT min(waiting_since) FROM entry WHERE waiting_since IS NOT NULL"
_UNCOMMITTED = "SELECT count(*) FROM (SELECT 1 FROM entry WHERE staged_sha256 IS NOT committed_sha256 LIMIT ?)"
_UNCERTAIN = "SELECT count(*) FROM (SELECT 1 FROM entry WHERE staged_sha256 = x'' LIMIT 1000)"
# An object of a table that was never read here is no half of anything: it was on the branch when it was adopted. Nor
# is a table that is one file, whose rows nobody compares: that one need not keep images waiting.
_UNSTAGED_TABLES = """
SELECT count(*) FROM (
    SELECT 1 FROM entry INDEXED BY entry_unstaged_table
    WHERE unstaged_since IS NOT NULL AND directory >= 'tables/' AND directory < 'tables0' AND EXISTS (
        SELECT 1 FROM table_state t
        WHERE (entry.directory = 'tables/' AND entry.name = t.name || '.csv' AND t.keeps_rows)
        OR substr(entry.directory, 1, length(t.name) + 8) = 'tables/' || t.name || '/'
    ) LIMIT 1000
)
"""
_CHANGING = "SELECT min(unstaged_since) FROM entry WHERE changing = 1"
_SNAPSHOTS = "SELECT coalesce(max(sequence), 0) + 1, max(CASE WHEN step = 'tagged' THEN begun_at END) FROM snapshot"


def standing(connection: sqlite3.Connection, *, count_up_to: int) -> Standing:
    """Return what the planner needs."""
    revision, last_change_at, live_images = connection.execute(
        "SELECT revision, last_change_at, live_images FROM state"
    ).fetchone()
    (waiting_since,) = connection.execute(_WAITING).fetchone()
    (uncommitted,) = connection.execute(_UNCOMMITTED, (count_up_to,)).fetchone()
    (uncertain,) = connection.execute(_UNCERTAIN).fetchone()
    (unstaged_tables,) = connection.execute(_UNSTAGED_TABLES).fetchone()
    (staged_at,) = connection.execute("SELECT coalesce(max(id), 0) FROM batch").fetchone()
    (changing_revision,) = connection.execute(_CHANGING).fetchone()
    next_sequence, last_snapshot_at = connection.execute(_SNAPSHOTS).fetchone()
    return Standing(
        revision=revision,
        last_change_at=to_time_or_none(last_change_at),
        live_images=live_images,
        uncertain=uncertain,
        unstaged_tables=unstaged_tables,
        uncommitted=uncommitted,
        staged_at=staged_at,
        waiting_since=to_time_or_none(waiting_since),
        changing_revision=changing_revision,
        next_sequence=next_sequence,
        last_snapshot_at=to_time_or_none(last_snapshot_at),
    )


def counts(connection: sqlite3.Connection) -> Counts:
    """Return exact counts of what waits."""
    to_upload, upload_bytes = connection.execute(
        "SELECT count(*), coalesce(sum(size_bytes), 0) FROM entry"
        " WHERE unstaged_since IS NOT NULL AND wanted_sha256 IS NOT NULL"
    ).fetchone()
    (to_delete,) = connection.execute(
        "SELECT count(*) FROM entry WHERE unstaged_since IS NOT NULL AND wanted_sha256 IS NULL"
    ).fetchone()
    (uncommitted,) = connection.execute(_UNCOMMITTED, (-1,)).fetchone()
    images, size_bytes = connection.execute("SELECT committed_images, committed_bytes FROM state").fetchone()
    return Counts(
        to_upload=to_upload,
        upload_bytes=upload_bytes,
        to_delete=to_delete,
        uncommitted=uncommitted,
        images=images,
        size_bytes=size_bytes,
    )


def entry(connection: sqlite3.Connection, key: str) -> EntryPicture | None:
    """Return what is known of a key; None where it was never observed."""
    row = connection.execute(
        "SELECT seen_sha256, size_bytes, seen_at, seen_how, staged_sha256, staged_batch, committed_sha256,"
        " committed_in, attempts, not_before, withheld, kept FROM entry WHERE directory = ? AND name = ?",
        split_key(key),
    ).fetchone()
    if row is None:
        return None
    (
        seen,
        size_bytes,
        seen_at,
        seen_how,
        staged,
        staged_batch,
        committed,
        committed_in,
        attempts,
        until,
        withheld,
        kept,
    ) = row
    return EntryPicture(
        key=key,
        seen=seen,
        size_bytes=size_bytes,
        seen_at=to_time_or_none(seen_at),
        seen_how=seen_how,
        staged=staged,
        staged_batch=staged_batch,
        committed=committed,
        committed_in=committed_in,
        attempts=attempts,
        not_before=to_time_or_none(until or None),
        withheld=bool(withheld),
        kept=bool(kept),
    )


def alike(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a live key in the same directory whose name differs in upper and lower case (of ASCII) alone, if any."""
    found = connection.execute(
        "SELECT directory || name FROM entry WHERE directory = ?1 AND name <> ?2 AND name COLLATE NOCASE = ?2"
        " AND seen_sha256 IS NOT NULL LIMIT 1",
        split_key(key),
    ).fetchone()
    return None if found is None else str(found[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingChange:
    """One key whose content differs from the newest snapshot's."""

    key: str
    kind: str  # "added" | "changed" | "deleted"
    size_bytes: int | None  # of the new content; None for a deletion


_KIND = """
CASE WHEN wanted_sha256 IS NULL THEN 'deleted' WHEN committed_sha256 IS NULL THEN 'added' ELSE 'changed' END
"""
_NEW_BYTES = "iif(withheld, NULL, size_bytes)"
_CHANGED = "FROM entry WHERE waiting_since IS NOT NULL AND wanted_sha256 IS NOT committed_sha256"


def waiting_changes(connection: sqlite3.Connection, *, limit: int) -> list[WaitingChange]:
    """Return what the next snapshot would change, sorted by key."""
    rows = connection.execute(
        f"SELECT directory || name, {_KIND}, {_NEW_BYTES} {_CHANGED} ORDER BY directory, name LIMIT ?",
        (limit,),
    )
    return [WaitingChange(key=key, kind=kind, size_bytes=size_bytes) for key, kind, size_bytes in rows]


def waiting_totals(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Return by kind how many keys the next snapshot would change, and their bytes."""
    rows = connection.execute(f"SELECT {_KIND}, count(*), coalesce(sum({_NEW_BYTES}), 0) {_CHANGED} GROUP BY 1")
    return {kind: (count, size_bytes) for kind, count, size_bytes in rows}
