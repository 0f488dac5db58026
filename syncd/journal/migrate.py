"""The journal's schema: created from ``schema.sql``, brought forward by ``migrations/N.sql``.

``N.sql`` leads from version N - 1 to N in one transaction. A journal written by a newer syncd is refused: what
this one does not know it must not overwrite. Before a journal is brought forward it is copied to ``journal.db.vN``,
for whoever wants to go back.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import resources
from typing import TYPE_CHECKING

from syncd.errors import JournalError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

VERSION = 5


def bring_up_to_date(
    connection: sqlite3.Connection,
    path: Path,
    *,
    version: int = VERSION,
    scripts: Traversable | None = None,
) -> None:
    """Create the schema in an empty file, or copy and migrate an older one; all or nothing.

    Args:
        connection: In autocommit mode.
        path: Of the journal, for errors.
        version: To reach.
        scripts: The folder with ``schema.sql`` and ``migrations/``; by default the package's own.

    Raises:
        JournalError: A newer syncd wrote it.
    """
    refuse_newer(connection, path, version=version)
    folder = resources.files("syncd.journal") if scripts is None else scripts
    found = version_of(connection)
    if 0 < found < version:
        _copy(connection, path, path.with_name(f"{path.name}.v{found}"))
    connection.execute("BEGIN IMMEDIATE")
    for step in _steps(folder, found, version):
        _run_script(connection, step)
    connection.execute(f"PRAGMA user_version = {version:d}")
    connection.execute("COMMIT")


def refuse_newer(connection: sqlite3.Connection, path: Path, *, version: int = VERSION) -> None:
    """Raise if the journal's schema is newer than ``version``."""
    if (found := version_of(connection)) > version:
        raise JournalError(
            f"the journal {path} has schema version {found}; this syncd knows {version}",
            cause="a newer syncd has used this state directory",
            next_step="run that version again, or give this one another state directory (service.state_dir)",
        )


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of the file; 0 for an empty one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _copy(connection: sqlite3.Connection, path: Path, target: Path) -> None:
    """Copy the journal; the target is whole or not there.

    Raises:
        JournalError: It cannot be copied.
    """
    unfinished = target.with_name(f"{target.name}.tmp")
    try:
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished)) as copied:
            connection.backup(copied)
            copied.execute("PRAGMA journal_mode = DELETE")  # one file, without a -wal beside it
        unfinished.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            f"the journal {path} cannot be copied to {target}: {error}",
            cause="the copy is made before an older journal is brought forward; the disk may have no space for it",
            next_step=f"df -h {path.parent} , then free some, or move {target.name} away",
        ) from error


def _steps(folder: Traversable, found: int, version: int) -> list[str]:
    if found == 0:
        return [(folder / "schema.sql").read_text(encoding="utf-8")]
    return [
        (folder / "migrations" / f"{step}.sql").read_text(encoding="utf-8") for step in range(found + 1, version + 1)
    ]


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statement by statement: ``executescript`` would commit the open transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
