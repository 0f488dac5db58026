"""What each version of a table file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.journal import observations
from syncd.journal.rows import to_seconds

if TYPE_CHECKING:
    import sqlite3

    from syncd.model import Observation


def record(connection: sqlite3.Connection, name: str, observation: Observation, *, rows: int, columns: int) -> None:
    """Write the observation of a table file, and how many rows and columns this version of it has."""
    if observation.fingerprint is None:
        raise ValueError(f"table {name}: a table is never observed as absent")
    connection.execute(
        "INSERT INTO table_version VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (name, observation.fingerprint.sha256, rows, columns, to_seconds(observation.observed_at)),
    )
    observations.record(connection, [observation])
