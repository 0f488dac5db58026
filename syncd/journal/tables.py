"""What each version of a table file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.journal.rows import to_seconds

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime


def put_version(
    connection: sqlite3.Connection,
    *,
    name: str,
    sha256: bytes,
    rows: int,
    columns: int,
    accepted_at: datetime,
) -> None:
    """Remember the counts of one version of a table."""
    connection.execute(
        "INSERT INTO table_version VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (name, sha256, rows, columns, to_seconds(accepted_at)),
    )
