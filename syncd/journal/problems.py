"""What is not synced, and why (promise P8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncd.journal.rows import to_seconds, to_time
from syncd.model import IMAGES, Problem, ProblemCode, source_of, split_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence


def put(connection: sqlite3.Connection, problems: Sequence[Problem]) -> None:
    """Add or replace problems; one that stands with the same code keeps its ``since``."""
    connection.executemany(
        "INSERT INTO problem VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " since = CASE WHEN code = excluded.code THEN since ELSE excluded.since END,"
        " code = excluded.code, detail = excluded.detail",
        [(p.source, p.path, p.code.value, p.detail, to_seconds(p.since)) for p in problems],
    )


def clear(connection: sqlite3.Connection, source: str, paths: Sequence[str]) -> None:
    """Remove the problems of these paths, where there are any."""
    connection.executemany("DELETE FROM problem WHERE source = ? AND path = ?", [(source, path) for path in paths])


def keep_only(connection: sqlite3.Connection, sources: Iterable[str]) -> None:
    """Forget the problems of all sources but these: nobody would take them back."""
    connection.execute(
        "DELETE FROM problem WHERE source NOT IN (SELECT value FROM json_each(?))", (json.dumps(list(sources)),)
    )


def taken(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    """End the refusals of objects that lakeFS has taken, or deleted; other problems of them are their sources'."""
    connection.executemany(
        "DELETE FROM problem WHERE source = ? AND path = ? AND code = ?",
        [(source_of(key), key.removeprefix(IMAGES), ProblemCode.REFUSED.value) for key in keys],
    )


def paths(connection: sqlite3.Connection, source: str, below: str) -> set[str]:
    """Return the paths of one source's problems that begin with ``below``.

    Without what lakeFS refused and is offered again: that ends as :func:`taken` says, whatever the source shows.
    """
    found = connection.execute(
        "SELECT path, code FROM problem WHERE source = ? AND substr(path, 1, ?) = ?", (source, len(below), below)
    ).fetchall()
    return {path for path, code in found if code != ProblemCode.REFUSED or not _is_due(connection, source, path)}


def _is_due(connection: sqlite3.Connection, source: str, path: str) -> bool:
    key = IMAGES + path if source == source_of(IMAGES) else path
    query = "SELECT 1 FROM entry WHERE directory = ? AND name = ? AND unstaged_since IS NOT NULL"
    return connection.execute(query, split_key(key)).fetchone() is not None


def counts(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """Return how many problems stand, by source and code."""
    found: dict[str, dict[str, int]] = {}
    for source, code, count in connection.execute(
        "SELECT source, code, count(*) FROM problem GROUP BY source, code ORDER BY source, code"
    ):
        found.setdefault(source, {})[code] = count
    return found


def standing(connection: sqlite3.Connection, *, limit: int, path: str | None = None) -> Iterator[Problem]:
    """Yield problems by source and path; of one path only, if it is given."""
    for source, at, code, detail, since in connection.execute(
        "SELECT source, path, code, detail, since FROM problem WHERE ?1 IS NULL OR path = ?1"
        " ORDER BY source, path LIMIT ?2",
        (path, limit),
    ):
        yield Problem(source=source, path=at, code=ProblemCode(code), detail=detail, since=to_time(since))
