"""Recording what the source showed, and answering what was known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.journal import absence, exclusion, problems
from syncd.journal.rows import to_seconds
from syncd.model import IMAGES, Signature, source_of, split_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from syncd.model import Observation

_SEEN = "SELECT seen_sha256, attempts, kept FROM entry WHERE directory = ? AND name = ?"

_PRESENT = """
INSERT INTO entry (directory, name, seen_sha256, seen_md5, size_bytes, mtime_ns, ctime_ns, inode,
                   seen_at, seen_how, revision, unstaged_since, waiting_since, withheld)
VALUES (:directory, :name, :sha256, :md5, :size_bytes, :mtime_ns, :ctime_ns, :inode,
        :at, :how, :revision, iif(:withheld, NULL, :revision), iif(:withheld, NULL, :at), :withheld)
ON CONFLICT (directory, name) DO UPDATE SET
    seen_sha256 = :sha256, seen_md5 = :md5, size_bytes = :size_bytes,
    mtime_ns = :mtime_ns, ctime_ns = :ctime_ns, inode = :inode,
    seen_at = CASE WHEN seen_sha256 IS :sha256 THEN seen_at ELSE :at END,
    seen_how = CASE WHEN seen_sha256 IS :sha256 THEN seen_how ELSE :how END,
    revision = CASE WHEN seen_sha256 IS :sha256 THEN revision ELSE :revision END,
    unstaged_since = CASE WHEN staged_sha256 IS :wanted THEN NULL ELSE coalesce(unstaged_since, :revision) END,
    waiting_since = CASE WHEN staged_sha256 IS :wanted AND committed_sha256 IS :wanted THEN NULL
                         ELSE coalesce(waiting_since, :at) END,
    attempts = CASE WHEN seen_sha256 IS :sha256 THEN attempts ELSE 0 END,
    not_before = CASE WHEN seen_sha256 IS :sha256 AND NOT changing THEN not_before ELSE 0 END,
    changing = 0, withheld = :withheld, agreed = 0, kept = 0
"""

_ABSENT_NEVER_SENT = """
DELETE FROM entry
WHERE directory = :directory AND name = :name AND staged_sha256 IS NULL AND committed_sha256 IS NULL
"""

_ABSENT = """
UPDATE entry SET
    seen_sha256 = NULL, seen_md5 = NULL, size_bytes = NULL, mtime_ns = NULL, ctime_ns = NULL, inode = NULL,
    seen_at = :at, seen_how = :how, revision = :revision,
    unstaged_since = CASE WHEN staged_sha256 IS NULL THEN NULL ELSE coalesce(unstaged_since, :revision) END,
    waiting_since = coalesce(waiting_since, :at),
    attempts = 0, not_before = 0, changing = 0, withheld = 0, kept = 0
WHERE directory = :directory AND name = :name
"""


def record(connection: sqlite3.Connection, observations: Sequence[Observation]) -> None:
    """Write observations in order; only a change of content takes a new revision.

    What is kept of a table, since it was not configured any more, goes with the word that it is absent: it is back.
    """
    (revision,) = connection.execute("SELECT revision FROM state").fetchone()
    newest, live, excluding = None, 0, exclusion.effective(connection)
    for observation in observations:
        directory, name = split_key(observation.key)
        row = connection.execute(_SEEN, (directory, name)).fetchone()
        before, attempts, kept = row or (None, 0, 0)
        after = observation.fingerprint.sha256 if observation.fingerprint else None
        is_back = bool(kept) and after is None and not observation.key.startswith(IMAGES)
        if before is None and after is None and not is_back:
            continue
        if before != after or is_back:
            revision += 1
            if attempts:  # lakeFS refused what was there before, which is no word on what is there now
                problems.clear(connection, source_of(observation.key), [observation.key.removeprefix(IMAGES)])
            newest = max(newest or 0.0, to_seconds(observation.observed_at))
            if observation.key.startswith(IMAGES):
                live += (after is not None) - (before is not None)
                if before is not None:
                    absence.left(connection, before)
        withheld = after is not None and exclusion.withholds(connection, observation.key, excluding)
        _write(connection, observation, revision, withheld=withheld)
    connection.execute(
        "UPDATE state SET revision = ?, live_images = live_images + ?,"
        " last_change_at = max(coalesce(last_change_at, 0), coalesce(?, last_change_at, 0))",
        (revision, live, newest),
    )


def _write(connection: sqlite3.Connection, observation: Observation, revision: int, *, withheld: bool) -> None:
    directory, name = split_key(observation.key)
    values: dict[str, object] = {
        "directory": directory,
        "name": name,
        "revision": revision,
        "at": to_seconds(observation.observed_at),
        "how": observation.reason,
    }
    fingerprint, signature = observation.fingerprint, observation.signature
    if fingerprint is None or signature is None:
        if connection.execute(_ABSENT_NEVER_SENT, values).rowcount == 0:
            connection.execute(_ABSENT, values)
        return
    values |= {
        "sha256": fingerprint.sha256,
        "md5": fingerprint.md5,
        "size_bytes": signature.size_bytes,
        "mtime_ns": signature.mtime_ns,
        "ctime_ns": signature.ctime_ns,
        "inode": signature.inode,
        "withheld": withheld,
        "wanted": None if withheld else fingerprint.sha256,
    }
    connection.execute(_PRESENT, values)


def known_in(connection: sqlite3.Connection, directory: str) -> Iterator[tuple[str, Signature]]:
    """Yield ``(name, signature)`` of the live keys directly in a directory, sorted by name."""
    for name, *signature in connection.execute(
        "SELECT name, size_bytes, mtime_ns, ctime_ns, inode FROM entry"
        " WHERE directory = ? AND seen_sha256 IS NOT NULL ORDER BY name",
        (directory,),
    ):
        yield name, Signature(*signature)


def known(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Signature]:
    """Return the signatures of those of the keys that are live."""
    found = {}
    for key in keys:
        row = connection.execute(
            "SELECT size_bytes, mtime_ns, ctime_ns, inode FROM entry"
            " WHERE directory = ? AND name = ? AND seen_sha256 IS NOT NULL",
            split_key(key),
        ).fetchone()
        if row is not None:
            found[key] = Signature(*row)
    return found


def known_below(connection: sqlite3.Connection, directory: str) -> Iterator[str]:
    """Yield the live keys in a directory and below it."""
    for found, name in connection.execute(
        "SELECT directory, name FROM entry WHERE directory >= ? AND directory < ? AND seen_sha256 IS NOT NULL",
        (directory, _after(directory)),
    ):
        yield found + name


def known_directories(connection: sqlite3.Connection, below: str) -> Iterator[str]:
    """Yield each directory at or below this one that directly holds a live key.

    Steps from directory to directory through the primary key, so that a directory of a million files costs one
    look-up.
    """
    start, end = below, _after(below)
    while True:
        row = connection.execute(
            "SELECT directory FROM entry WHERE directory >= ? AND directory < ? ORDER BY directory LIMIT 1",
            (start, end),
        ).fetchone()
        if row is None:
            return
        (last,) = row
        start = last + "\0"  # the least string after it
        if connection.execute(
            "SELECT 1 FROM entry WHERE directory = ? AND seen_sha256 IS NOT NULL LIMIT 1", (last,)
        ).fetchone():
            yield last


def _after(directory: str) -> str:
    """Return the least string greater than every one that begins with this directory ("/" + 1 is "0")."""
    return directory[:-1] + "0"
