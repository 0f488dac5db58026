"""Which paths differ between two snapshots, kept on the disk in order; what was only renamed is found by its content.

Blocks, briefly. Memory does not grow with the changes: they lie in a database without a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from syncd.store.base import Difference

Kind = Literal["added", "changed", "removed", "renamed", "conflict"]

# Tables are compared by their rows; "tables0" is what comes after all that begins with "tables/".
_SCHEMA = """
CREATE TABLE change (
    path TEXT PRIMARY KEY, kind TEXT NOT NULL, size_bytes INTEGER NOT NULL, sha256 BLOB, old_path TEXT
) WITHOUT ROWID;
CREATE INDEX change_old ON change (old_path) WHERE old_path IS NOT NULL;
CREATE TABLE pair (new_path TEXT PRIMARY KEY, old_path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE said (value TEXT, path TEXT, PRIMARY KEY (value, path)) WITHOUT ROWID;
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
# Each term costs something for every change, so that those alone are there which say something.
_TERMS = {
    "below": "path >= :below AND path < :below || x'ff'",  # no character begins with that byte
    "kinds": "instr(:kinds, ',' || kind || ',')",
    "like": "path LIKE :like ESCAPE '!'",
    "value": "path IN (SELECT path FROM said WHERE value = :value)",
}
_PAGE = "SELECT path, kind, size_bytes, old_path FROM change WHERE path > :after AND {} ORDER BY path LIMIT :limit"
_COUNT = "SELECT count(*) FROM change WHERE {}"
_STAT = "SELECT kind, count(*), sum(size_bytes) FROM change WHERE {} GROUP BY kind"
_FOLDERS = """
SELECT substr(path, 1, length(:below) + coalesce(nullif(instr(substr(path, length(:below) + 1), '/'), 0), length(path)))
       AS folder, kind, count(*)
FROM change WHERE {} GROUP BY folder, kind
"""
_MOST_KEPT = 16  # lists of folders


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of the changes."""

    kinds: tuple[Kind, ...] = ()  # (): all
    below: str = ""  # a folder, "images/cats/"
    contains: str = ""  # somewhere in the path
    value: str | None = None  # of those that were said of images by `FileChanges.say`; None: any

    def put_into(self, query: str) -> tuple[str, dict[str, str]]:
        """Return a query with the terms that choose these, and the values of the terms."""
        contains = re.sub("[!%_]", r"!\g<0>", self.contains)
        given = {"below": self.below}
        if self.kinds:
            given["kinds"] = f",{','.join(self.kinds)},"
        if contains:
            given["like"] = f"%{contains}%"
        if self.value is not None:
            given["value"] = self.value
        return query.format(" AND ".join(_TERMS[name] for name in given)), given


@dataclass(frozen=True, slots=True)
class Folder:
    """What changed below a folder, or is one file."""

    path: str  # "images/cats/"; of a file without the slash
    counts: dict[Kind, int]  # of its changes, by kind; none is 0


class FileChanges:
    """The paths that differ, as they are found.

    Args:
        scratch: A database of its own.
    """

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch, self._folders = scratch, dict[tuple[Wanted, int], list[Folder]]()
        scratch.executescript(_SCHEMA)

    def add(self, page: Sequence[Difference], prefix: str) -> None:
        """Take in differences of keys that begin with the prefix."""
        self._folders.clear()
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
        self._folders.clear()
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

    def one(self, path: str) -> Change | None:
        """Return what changed at a path."""
        row = self._scratch.execute(
            "SELECT path, kind, size_bytes, old_path FROM change WHERE path = ?", (path,)
        ).fetchone()
        return None if row is None else Change(*row)

    def page(self, wanted: Wanted, *, after: str = "", limit: int) -> list[Change]:
        """Return some of what differs, sorted by path, from after a path on."""
        query, values = wanted.put_into(_PAGE)
        place = {"after": max(after, wanted.below), "limit": limit}  # all below a folder sorts after it
        return [Change(*row) for row in self._scratch.execute(query, {**values, **place})]

    def say(self, values: Iterable[tuple[str, str]]) -> None:
        """Take in one value of each path, by which changes can be asked for; instead of those taken in before."""
        self._scratch.execute("DELETE FROM said")
        self._folders.clear()
        self._scratch.executemany(
            "INSERT OR IGNORE INTO said SELECT ?2, ?1 WHERE EXISTS (SELECT 1 FROM change WHERE path = ?1)", values
        )

    def among(self, paths: Sequence[str]) -> set[str]:
        """Return those of some paths, at most some thousands, that differ: as they are called now, or were."""
        marks = ",".join("?" * len(paths))
        either = f"SELECT path FROM change WHERE path IN ({marks})"  # noqa: S608 - marks
        former = f"SELECT old_path FROM change WHERE old_path IN ({marks})"  # noqa: S608
        return {path for (path,) in self._scratch.execute(f"{either} UNION ALL {former}", [*paths, *paths])}

    def count(self, wanted: Wanted) -> int:
        """Return how many of them differ."""
        return int(self._scratch.execute(*wanted.put_into(_COUNT)).fetchone()[0])

    def folders(self, wanted: Wanted, limit: int) -> list[Folder]:
        """Return what differs directly in a folder or below one of its folders, the most first.

        Kept for as long as no changes are taken in, as it costs the most, and is asked for with every page.
        """
        kept = self._folders.get((wanted, limit))
        if kept is not None:
            return kept
        found: dict[str, dict[Kind, int]] = {}
        for path, kind, count in self._scratch.execute(*wanted.put_into(_FOLDERS)):
            found.setdefault(path, {})[kind] = count
        sorted_by_count = sorted(found.items(), key=lambda one: (-sum(one[1].values()), one[0]))
        while len(self._folders) >= _MOST_KEPT:
            del self._folders[next(iter(self._folders))]
        self._folders[wanted, limit] = [Folder(path, counts) for path, counts in sorted_by_count[:limit]]
        return self._folders[wanted, limit]

    def below(self, prefix: str) -> Iterator[tuple[str, Kind, int, bytes | None]]:
        """Yield path, kind, size and digest of what differs below a path, sorted."""
        return self._scratch.execute(_BELOW, {"prefix": prefix})

    def stat(self, below: str = "") -> dict[str, Amount]:
        """Return how much there is of each kind, below a folder."""
        found = self._scratch.execute(*Wanted(below=below).put_into(_STAT)).fetchall()
        amounts = {kind: Amount(0, 0) for kind in ("added", "changed", "removed", "renamed")}
        return amounts | {kind: Amount(files, size_bytes) for kind, files, size_bytes in found}
