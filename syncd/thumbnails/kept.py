"""Pictures that were made, by what they are of: one file, bounded, the longest unused going first. Blocks, briefly.

A disk that is full, or fails, costs the pictures that would be kept, and nobody learns of it as an error.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from syncd.thumbnails.maker import Picture

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 256 << 20
MOST_BYTES_IN_MEMORY = 16 << 20  # where there can be no file
_ROW_BYTES = 1024  # what each counts beside its body: that there is no picture is kept, too
_SPARE = 0.9  # of that, what is left after making room
_IN_MEMORY = ":memory:"
_UNUSABLE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}  # of another version, or damaged
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
    """One file of pictures; may be deleted at any time. Where there can be none, fewer are kept in memory.

    Args:
        path: Of the file. Its folder is made.
        most_bytes: Of all pictures together.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._turn = threading.Lock()  # one thread at a time, also of those whose callers were cancelled
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open_or_begin_anew(path)
        except (sqlite3.Error, OSError):
            self._most_bytes = min(most_bytes, MOST_BYTES_IN_MEMORY)
            self._open(_IN_MEMORY)

    def _open_or_begin_anew(self, path: Path) -> None:
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _UNUSABLE:
                raise
            for end in ("", "-wal", "-shm"):  # nothing in it is worth a question
                path.with_name(path.name + end).unlink(missing_ok=True)
            self._open(path)

    def _open(self, path: Path | str) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
        try:
            self._database.executescript(_SCHEMA)
            (self._bytes,) = self._database.execute(
                "SELECT coalesce(sum(length(body) + ?), 0) FROM picture", (_ROW_BYTES,)
            ).fetchone()
        except sqlite3.Error:
            self._database.close()
            raise

    def get(self, sha256: bytes, edge: int) -> Picture | None:
        """Return a picture that was made; None, too, where it cannot be read."""
        asked = (sha256, edge)
        with self._turn, suppress(sqlite3.Error):
            row = self._database.execute(
                "SELECT content_type, body, width, height, why_not FROM picture WHERE sha256 = ? AND edge = ?", asked
            ).fetchone()
            if row is not None:
                self._note_used(asked)
                return Picture(*row)
        return None

    def put(self, sha256: bytes, edge: int, picture: Picture) -> None:
        """Keep a picture, or that there is none, if that is possible."""
        with self._turn, suppress(sqlite3.Error):
            self._put(sha256, edge, picture)

    def close(self) -> None:
        """Close the file; whoever asks after that finds nothing."""
        with self._turn, suppress(sqlite3.Error):
            self._database.close()

    def _note_used(self, asked: tuple[bytes, int]) -> None:
        with suppress(sqlite3.Error):
            self._database.execute(
                "UPDATE picture SET used_at = ? WHERE sha256 = ? AND edge = ?", (time.time(), *asked)
            )

    def _put(self, sha256: bytes, edge: int, picture: Picture) -> None:
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
        self._bytes += len(picture.body) + _ROW_BYTES
        if self._bytes > self._most_bytes:
            self._make_room()

    def _make_room(self) -> None:
        rows = self._database.execute(
            "SELECT rowid, length(body) + ? FROM picture ORDER BY used_at", (_ROW_BYTES,)
        ).fetchall()
        left, gone = sum(length for _, length in rows), []
        for rowid, length in rows:
            if left <= self._most_bytes * _SPARE:
                break
            left -= length
            gone.append((rowid,))
        self._database.executemany("DELETE FROM picture WHERE rowid = ?", gone)
        self._bytes = left
