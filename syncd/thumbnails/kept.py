"""Pictures that were made, by what they are of: one file, bounded, the longest unused going first. Blocks, briefly."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from syncd.thumbnails.maker import Picture

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 256 << 20
_SPARE = 0.9  # of that, what is left after making room
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS picture (
    sha256 BLOB NOT NULL, edge INTEGER NOT NULL, content_type TEXT NOT NULL, body BLOB NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, why_not TEXT NOT NULL, used_at REAL NOT NULL,
    PRIMARY KEY (sha256, edge)
);
CREATE INDEX IF NOT EXISTS picture_used ON picture (used_at);
"""


class Kept:
    """One file of pictures; may be deleted at any time.

    Args:
        path: Of the file. Its folder is made.
        most_bytes: Of all pictures together.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._most_bytes = most_bytes
        try:
            self._open(path)
        except sqlite3.DatabaseError:  # damaged; nothing in it is worth a question
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
        self._database.executescript(_SCHEMA)
        (self._bytes,) = self._database.execute("SELECT coalesce(sum(length(body)), 0) FROM picture").fetchone()

    def get(self, sha256: bytes, edge: int) -> Picture | None:
        """Return a picture that was made."""
        asked = (sha256, edge)
        row = self._database.execute(
            "SELECT content_type, body, width, height, why_not FROM picture WHERE sha256 = ? AND edge = ?", asked
        ).fetchone()
        if row is None:
            return None
        self._database.execute("UPDATE picture SET used_at = ? WHERE sha256 = ? AND edge = ?", (time.time(), *asked))
        return Picture(*row)

    def put(self, sha256: bytes, edge: int, picture: Picture) -> None:
        """Keep a picture, or that there is none."""
        self._database.execute(
            "INSERT OR REPLACE INTO picture VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sha256,
                edge,
                picture.content_type,
                picture.body,
                picture.width,
                picture.height,
                picture.why_not,
                time.time(),
            ),
        )
        self._bytes += len(picture.body)
        if self._bytes > self._most_bytes:
            self._make_room()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _make_room(self) -> None:
        rows = self._database.execute("SELECT rowid, length(body) FROM picture ORDER BY used_at").fetchall()
        left, gone = sum(length for _, length in rows), []
        for rowid, length in rows:
            if left <= self._most_bytes * _SPARE:
                break
            left -= length
            gone.append((rowid,))
        self._database.executemany("DELETE FROM picture WHERE rowid = ?", gone)
        self._bytes = left
