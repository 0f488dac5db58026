"""Images that are gone from the source while the newest snapshot holds them: how many, and what a person said of them.

``agreed``: its deletion may go ahead. ``kept``: it stays published although the source does not hold it any more. Both
end when the image is seen again. A deletion that a person was asked about waits until they answer, or until so many
images are back that nobody would have been asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.journal.rows import to_seconds, to_time
from syncd.journal.sql_terms import is_image
from syncd.model import DELETIONS_COUNT_FOR, IMAGES, Absences, split_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from syncd.model import DeletionLimits

_IS_GONE = f"seen_sha256 IS NULL AND committed_sha256 IS NOT NULL AND agreed = 0 AND kept = 0 AND {is_image()}"
_GONE = f"FROM entry INDEXED BY entry_gone WHERE {_IS_GONE}"
_WAITING = f"{_GONE} AND staged_sha256 IS NOT NULL"  # a few may be on their way before it is clear how many go

# What was moved: the same content waits to be published under another name.
_AGREE_MOVED = f"""
UPDATE entry INDEXED BY entry_gone SET agreed = 2 WHERE {_IS_GONE} AND committed_sha256 IN (
    SELECT wanted_sha256 FROM entry INDEXED BY entry_waiting
    WHERE waiting_since IS NOT NULL AND committed_sha256 IS NULL AND wanted_sha256 IS NOT NULL
)
"""  # noqa: S608 - a constant

# The content is no longer there under that name either.
_MOVED_NO_MORE = """
UPDATE entry INDEXED BY entry_lost SET agreed = 0 WHERE agreed = 2 AND seen_sha256 IS NULL AND committed_sha256 = ?
"""

_KEEP = """
UPDATE entry SET kept = 1, unstaged_since = NULL, waiting_since = NULL, attempts = 0, not_before = 0, changing = 0
WHERE directory = ? AND name = ? AND staged_sha256 IS committed_sha256 AND seen_sha256 IS NULL AND agreed = 0
"""
_AGREE = "UPDATE entry SET agreed = 1 WHERE directory = ? AND name = ? AND seen_sha256 IS NULL"


def absences(connection: sqlite3.Connection, now: datetime) -> Absences:
    """Return how many images are gone, and what is known of a hold; costs what is gone."""
    gone, waiting = connection.execute(f"SELECT count(*), count(staged_sha256) {_GONE}").fetchone()
    (images,) = connection.execute("SELECT committed_images FROM state").fetchone()
    (recent,) = connection.execute(
        "SELECT coalesce(sum(images), 0) FROM deletion WHERE at > ?", (to_seconds(now - DELETIONS_COUNT_FOR),)
    ).fetchone()
    trip = connection.execute("SELECT recent, revision, judged_at FROM guard_trip").fetchone()
    if trip is None:
        return Absences(gone=gone, waiting=waiting, recent=recent, images=images)
    then, revision, judged_at = trip
    return Absences(
        gone=gone,
        waiting=waiting,
        recent=max(recent, then),
        images=images,
        held=True,
        judged_at=to_time(judged_at),
        revision=revision,
    )


def judge(connection: sqlite3.Connection, now: datetime, limits: DeletionLimits) -> bool:
    """Hold what is gone if it is too much, or end the hold; return whether it is held.

    Images that were moved are no deletions. Costs what is gone and what waits.
    """
    connection.execute(_AGREE_MOVED)
    found = absences(connection, now)
    if not found.beyond(limits):
        connection.execute("DELETE FROM guard_trip")
        return False
    connection.execute(
        "INSERT INTO guard_trip VALUES (1, ?, (SELECT revision FROM state), ?)"
        " ON CONFLICT DO UPDATE"
        " SET recent = excluded.recent, revision = excluded.revision, judged_at = excluded.judged_at",
        (found.recent, to_seconds(now)),
    )
    return True


def left(connection: sqlite3.Connection, sha256: bytes) -> None:
    """A name does not hold this content any more: what seemed to have been moved there may be gone after all."""
    connection.execute(_MOVED_NO_MORE, (sha256,))


def count_commit(connection: sqlite3.Connection, at: datetime) -> None:
    """What is staged is being committed: remember how many images nobody agreed on go with it."""
    (images,) = connection.execute(f"SELECT count(*) {_GONE} AND staged_sha256 IS NULL").fetchone()
    connection.execute("DELETE FROM deletion WHERE at <= ?", (to_seconds(at - DELETIONS_COUNT_FOR),))
    if images:
        connection.execute("INSERT INTO deletion VALUES (?, ?)", (to_seconds(at), images))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What a person is shown of the images that are gone."""

    revision: int  # an answer covers what was observed up to it
    count: int
    images: int  # in the newest snapshot
    paths: tuple[str, ...]  # the first of them, below the folder


def gone(connection: sqlite3.Connection, limit: int) -> Gone | None:
    """Return the images whose deletion waits for a person, too many or all there were; None while none does."""
    revision, live, images = connection.execute("SELECT revision, live_images, committed_images FROM state").fetchone()
    if live and connection.execute("SELECT 1 FROM guard_trip").fetchone() is None:
        return None
    (count,) = connection.execute(f"SELECT count(*) {_WAITING}").fetchone()
    paths = connection.execute(f"SELECT directory || name {_WAITING} ORDER BY directory, name LIMIT ?", (limit,))
    shown = tuple(key.removeprefix(IMAGES) for (key,) in paths)
    return Gone(revision=revision, count=count, images=images, paths=shown) if count else None


def agree(connection: sqlite3.Connection, keys: Sequence[str]) -> int:
    """Agree to the deletion of images that someone removed on purpose; return how many of them are gone indeed."""
    done = connection.executemany(_AGREE, [split_key(key) for key in keys]).rowcount if keys else 0
    _end_if_answered(connection)
    return done


def answer(
    connection: sqlite3.Connection, revision: int, chosen: Callable[[str], bool] = lambda _: True, *, keep: bool = False
) -> int:
    """Agree to deletions, or keep the images; return how many.

    Args:
        connection: The writing one.
        revision: Only what was observed up to it: what a person was shown.
        chosen: Asked of each path below the folder.
        keep: They stay published, rather than go. Only of those that are still on the staging branch.
    """
    keys = [key for (key,) in connection.execute(f"SELECT directory || name {_WAITING} AND revision <= ?", (revision,))]
    taken = [split_key(key) for key in keys if chosen(key.removeprefix(IMAGES))]
    done = connection.executemany(_KEEP if keep else _AGREE, taken).rowcount if taken else 0
    _end_if_answered(connection)
    return done


def _end_if_answered(connection: sqlite3.Connection) -> None:
    if connection.execute(f"SELECT 1 {_WAITING} LIMIT 1").fetchone() is None:
        connection.execute("DELETE FROM guard_trip")
