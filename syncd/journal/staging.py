"""Batches: what goes to the staging branch, and what became of it.

Before anything is sent, its keys are marked as not known (``x''``); afterwards they take what the branch holds.
A crash in between leaves them marked, and so due again: a put or delete that was lost, applied, or both costs one
more put or delete, never a wrong belief.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from syncd.journal import branch, problems
from syncd.journal.rows import to_seconds, to_time, to_time_or_none
from syncd.model import Fingerprint, PendingChange, split_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

UNKNOWN = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What the staging branch holds at a key, as far as a batch found out."""

    key: str
    sha256: bytes | None  # None: nothing; b"": not known
    size_bytes: int | None  # None exactly where there is no content, or it is not known
    sent: bool  # the change was carried out; False: it was not, or nobody knows
    refused: bool = False  # lakeFS did not take this object
    changing: bool = False  # its file is not what was observed any more
    retry_at: datetime | None = None  # not offered again before
    offered: bytes | None = UNKNOWN  # the content this is said of: a pause is not for what was seen since; b"": any


_DUE = """
SELECT directory, name, wanted_sha256, seen_md5, size_bytes, staged_sha256, staged_bytes, attempts,
       unstaged_since, waiting_since, withheld, agreed
FROM entry {of} WHERE unstaged_since IS NOT NULL AND wanted_sha256 {kind} AND not_before <= ?
ORDER BY unstaged_since LIMIT ?
"""
_OF_TABLES = "directory >= 'tables/' AND directory < 'tables0'"
_DUE_TABLE_PUTS = _DUE.format(of="INDEXED BY entry_unstaged_table", kind=f"IS NOT NULL AND {_OF_TABLES}")
_DUE_OTHER_PUTS = _DUE.format(of="INDEXED BY entry_due_put", kind=f"IS NOT NULL AND NOT ({_OF_TABLES})")
_DUE_TABLE_DELETES = _DUE.format(of="INDEXED BY entry_unstaged_table", kind=f"IS NULL AND {_OF_TABLES}")
_DUE_OTHER_DELETES = [
    _DUE.format(of="INDEXED BY entry_due_delete", kind=f"IS NULL AND NOT ({_OF_TABLES}) AND {granted}")
    for granted in (
        "withheld = 1 AND agreed = 0",
        "withheld = 0 AND agreed = 1",
        "withheld = 0 AND agreed = 2",
        "withheld = 0 AND agreed = 0",
    )
]

_LOST = "FROM entry INDEXED BY entry_lost WHERE seen_sha256 IS NULL AND committed_sha256"
_ANY_LOST = f"SELECT 1 {_LOST} IS NOT NULL LIMIT 1"
_LOST_AS = f"SELECT directory || name {_LOST} = ? LIMIT 1"

_MARK = """
UPDATE entry SET staged_sha256 = x'', staged_bytes = NULL, staged_batch = :batch,
    unstaged_since = coalesce(unstaged_since, revision), waiting_since = coalesce(waiting_since, :now)
WHERE directory = :directory AND name = :name
"""

_OUTCOME = """
UPDATE entry SET
    staged_sha256 = :sha256, staged_bytes = :size_bytes,
    unstaged_since = CASE WHEN wanted_sha256 IS :sha256 THEN NULL
                          WHEN :sent THEN revision ELSE coalesce(unstaged_since, revision) END,
    waiting_since = CASE WHEN wanted_sha256 IS :sha256 AND committed_sha256 IS :sha256 THEN NULL
                         ELSE coalesce(waiting_since, :now) END,
    attempts = CASE WHEN :refused THEN attempts + 1 WHEN :sent THEN 0 ELSE attempts END,
    not_before = CASE WHEN {meant} THEN coalesce(:retry_at, 0) ELSE not_before END,
    changing = CASE WHEN {meant} THEN :changing ELSE changing END
WHERE directory = :directory AND name = :name
  AND coalesce(seen_sha256, :sha256, committed_sha256) IS NOT NULL
""".format(meant="(:offered IS x'' OR wanted_sha256 IS :offered)")

_GONE = """
DELETE FROM entry WHERE directory = :directory AND name = :name
  AND coalesce(seen_sha256, :sha256, committed_sha256) IS NULL
"""


def due(
    connection: sqlite3.Connection, now: datetime, limit: int
) -> tuple[tuple[PendingChange, ...], tuple[PendingChange, ...]]:
    """Return puts and deletes that may be staged now, of each kind the oldest, at most ``limit``.

    Those of tables come before those of images: they are few, and what a million images wait for. Deletes that wait
    for a person, or for a table to be read again, hide none that need not: of each kind there are ``limit``.
    """

    def found(query: str, most: int) -> tuple[PendingChange, ...]:
        return tuple(_change(row) for row in connection.execute(query, (to_seconds(now), most)))

    tables = found(_DUE_TABLE_PUTS, limit)
    puts = (*tables, *found(_DUE_OTHER_PUTS, limit - len(tables)))
    return puts, tuple(change for query in (_DUE_TABLE_DELETES, *_DUE_OTHER_DELETES) for change in found(query, limit))


def _change(
    row: tuple[str, str, bytes | None, bytes, int, bytes | None, int | None, int, Any, Any, Any, Any],
) -> PendingChange:
    directory, name, sha256, md5, size_bytes, staged, staged_bytes, attempts, *rest = row
    since, waiting_since, withheld, agreed = rest
    return PendingChange(
        key=directory + name,
        fingerprint=None if sha256 is None else Fingerprint(sha256, md5, size_bytes),
        staged=staged,
        staged_bytes=staged_bytes,
        attempts=attempts,
        revision=since,
        waiting_since=to_time(waiting_since),
        withheld=bool(withheld),
        agreed=bool(agreed),
    )


def blocked_until(connection: sqlite3.Connection, now: datetime) -> datetime | None:
    """Return when the first refused object may be offered again; None when none waits."""
    (at,) = connection.execute(
        "SELECT min(not_before) FROM entry WHERE not_before > 0 AND not_before > ?", (to_seconds(now),)
    ).fetchone()
    return to_time_or_none(at)


def blocked_up_to(connection: sqlite3.Connection, revision: int, limit: int) -> list[tuple[str, bool]]:
    """Return ``(key, still changing)`` of what was observed up to a revision and could not be staged.

    What is not still changing was refused by lakeFS.
    """
    found = connection.execute(
        "SELECT directory || name, changing FROM entry WHERE not_before > 0 AND unstaged_since <= ? LIMIT ?",
        (revision, limit),
    )
    return [(key, bool(changing)) for key, changing in found]


def held(connection: sqlite3.Connection, keys: Collection[str]) -> set[str]:
    """Return those of the keys at which the staging branch holds something, as far as is known."""
    query = "SELECT 1 FROM entry WHERE directory = ? AND name = ? AND staged_sha256 IS NOT NULL"
    return {key for key in keys if connection.execute(query, split_key(key)).fetchone()}


class Begun(NamedTuple):
    """A batch that has begun."""

    number: int
    gone: frozenset[str]  # keys that nothing is known of any more: never on the branch, and not to come there


def begin(connection: sqlite3.Connection, changes: Sequence[PendingChange], now: datetime) -> Begun:
    """Write the intent to send these changes. Nothing may be sent before."""
    puts = sum(change.fingerprint is not None for change in changes)
    number = connection.execute(
        "INSERT INTO batch (begun_at, puts, deletes) VALUES (?, ?, ?)",
        (to_seconds(now), puts, len(changes) - puts),
    ).lastrowid
    if number is None:
        raise AssertionError("an INSERT has a row id")
    # One may have come back to what is staged since the batch was planned: it is sent, and then due again.
    values: dict[str, object] = {"batch": number, "now": to_seconds(now)}
    gone = []
    for change in changes:
        values["directory"], values["name"] = split_key(change.key)
        if connection.execute(_MARK, values).rowcount == 0:
            gone.append(change.key)
    return Begun(number, frozenset(gone))


def finish(connection: sqlite3.Connection, outcomes: Sequence[Staged], now: datetime) -> None:
    """Write what the branch holds now; may be called several times for one batch."""
    for outcome in outcomes:
        directory, name = split_key(outcome.key)
        values = {
            "directory": directory,
            "name": name,
            "sha256": outcome.sha256,
            "size_bytes": outcome.size_bytes,
            "sent": outcome.sent,
            "refused": outcome.refused,
            "changing": outcome.changing,
            "offered": outcome.offered,
            "retry_at": outcome.retry_at and to_seconds(outcome.retry_at),
            "now": to_seconds(now),
        }
        if connection.execute(_OUTCOME, values).rowcount == 0:
            connection.execute(_GONE, values)
    problems.taken(connection, [outcome.key for outcome in outcomes if outcome.sent])


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What need not be sent, since a commit holds it under a name that the source has lost."""

    reference: str  # the commit
    sources: Mapping[str, str]  # the key to read there, by the key to be written


def copies(connection: sqlite3.Connection, puts: Sequence[PendingChange]) -> Copies | None:
    """Return which of these changes are files that were moved, as far as that is known; None: of none it is.

    Costs nothing but a look where nothing was moved.
    """
    reference = branch.head(connection)
    if reference is None or connection.execute(_ANY_LOST).fetchone() is None:
        return None
    sources: dict[str, str] = {}
    for change in puts:
        if change.fingerprint is not None:
            row = connection.execute(_LOST_AS, (change.fingerprint.sha256,)).fetchone()
            if row is not None:
                sources[change.key] = row[0]
    return Copies(reference=reference, sources=sources) if sources else None


def end(connection: sqlite3.Connection, batch: int, now: datetime, outcomes: Sequence[Staged] = ()) -> None:
    """Mark a batch as ended, whatever became of it, with its last outcomes; of earlier ones nobody asks any more."""
    finish(connection, outcomes, now)
    connection.execute("UPDATE batch SET ended_at = ? WHERE id = ?", (to_seconds(now), batch))
    connection.execute("DELETE FROM batch WHERE id < ?", (batch,))
