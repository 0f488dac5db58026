"""Which paths differ between two snapshots, kept on the disk in order; what was only renamed is found by its content.

Blocks, briefly. Memory does not grow with the changes: they lie in a database without a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from syncd.store.base import Difference

Kind = Literal["added", "changed", "removed", "renamed", "conflict"]

# Tables are compared by their rows; "tables0" is what comes after all that begins with "tables/".
_SCHEMA = """
CREATE TABLE change (
    path TEXT PRIMARY KEY, kind TEXT NOT NULL, size_bytes INTEGER NOT NULL, sha256 BLOB, old_path TEXT
) WITHOUT ROWID;
CREATE TABLE pair (new_path TEXT PRIMARY KEY, old_path TEXT NOT NULL) WITHOUT ROWID;
CREATE VIEW movable AS
SELECT * FROM change WHERE kind IN ('added', 'removed') AND NOT (path >= 'tables/' AND path < 'tables0');
"""
_UNKNOWN = """
SELECT path, kind FROM movable WHERE sha256 IS NULL AND size_bytes IN (
    SELECT size_bytes FROM change WHERE kind = 'added' INTERSECT SELECT size_bytes FROM change WHERE kind = 'removed'
) ORDER BY path
"""
_PAIR = """
WITH numbered AS (
    SELECT path, kind, sha256, row_number() OVER (PARTITION BY kind, sha256 ORDER BY path) AS number
    FROM movable WHERE sha256 IS NOT NULL
)
INSERT INTO pair SELECT new.path, old.path FROM numbered new JOIN numbered old
ON new.sha256 = old.sha256 AND new.number = old.number WHERE new.kind = 'added' AND old.kind = 'removed'
"""
_BELOW = """
SELECT path, kind, size_bytes, sha256 FROM change
WHERE path >= :prefix AND substr(path, 1, length(:prefix)) = :prefix ORDER BY path
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs."""

    path: str  # without the prefix
    kind: Kind
    size_bytes: int  # of what is there now, or was removed
    old_path: str | None = None  # what it was renamed from


class Amount(NamedTuple):
    """How much of one kind."""

    files: int
    size_bytes: int


class FileChanges:
    """The paths that differ, as they are found.

    Args:
        scratch: A database of its own.
    """

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        scratch.executescript(_SCHEMA)

    def add(self, page: Sequence[Difference], prefix: str) -> None:
        """Take in differences of keys that begin with the prefix."""
        self._scratch.executemany(
            "INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?, NULL)",
            ((one.key.removeprefix(prefix), one.kind, one.size_bytes or 0, one.sha256) for one in page),
        )

    def unknown(self) -> list[tuple[str, Kind]]:
        """Return the added and removed paths whose digests are not known, if another one of that size went or came."""
        return self._scratch.execute(_UNKNOWN).fetchall()

    def learn(self, path: str, sha256: bytes) -> None:
        """Take in the digest of a path."""
        self._scratch.execute("UPDATE change SET sha256 = ? WHERE path = ?", (sha256, path))

    def find_renames(self) -> None:
        """Make one renamed path of a removed and an added one with equal bytes; of several, in their order."""
        self._scratch.execute(_PAIR)
        self._scratch.execute("DELETE FROM change WHERE path IN (SELECT old_path FROM pair)")
        self._scratch.execute(
            "UPDATE change SET kind = 'renamed',"
            " old_path = (SELECT old_path FROM pair WHERE new_path = path) WHERE path IN (SELECT new_path FROM pair)"
        )

    def all(self) -> Iterator[Change]:
        """Yield what differs, sorted by path."""
        for row in self._scratch.execute("SELECT path, kind, size_bytes, old_path FROM change ORDER BY path"):
            yield Change(*row)

    def below(self, prefix: str) -> Iterator[tuple[str, Kind, int, bytes | None]]:
        """Yield path, kind, size and digest of what differs below a path, sorted."""
        return self._scratch.execute(_BELOW, {"prefix": prefix})

    def stat(self) -> dict[str, Amount]:
        """Return how much there is of each kind."""
        found = self._scratch.execute("SELECT kind, count(*), sum(size_bytes) FROM change GROUP BY kind").fetchall()
        amounts = {kind: Amount(0, 0) for kind in ("added", "changed", "removed", "renamed")}
        return amounts | {kind: Amount(files, size_bytes) for kind, files, size_bytes in found}
