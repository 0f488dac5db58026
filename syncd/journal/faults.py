"""What an error of SQLite means for the person who runs syncd."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from syncd.errors import JournalBrokenError, JournalError

if TYPE_CHECKING:
    from pathlib import Path

# After a failed fsync the kernel may have dropped the pages it could not write: trying again would prove nothing.
_BROKEN = frozenset(
    {
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNDECODABLE = "Could not decode to UTF-8"  # what Python says of a text; no check of SQLite's finds that
MALFORMED = "database disk image is malformed"  # in SQLite's words; also what an examination found
_PRIMARY = 0xFF


def is_of_the_file(error: sqlite3.Error) -> bool:
    """Return whether the file cannot be trusted any more: it is damaged, contradicts itself, or the disk failed."""
    code = getattr(error, "sqlite_errorcode", 0)
    return is_damage(error) or code in _BROKEN or code & _PRIMARY == sqlite3.SQLITE_CONSTRAINT


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file is damaged for certain, whatever an examination finds."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY in _DAMAGED or any(told in str(error) for told in (_UNDECODABLE, MALFORMED))


def translated(error: sqlite3.Error, path: Path) -> JournalError:
    """Return what an SQLite error means for the person who runs syncd."""
    text = str(error)
    if is_of_the_file(error):
        return JournalBrokenError(
            f"the journal {path} cannot be trusted any more: {text}",
            cause="the disk failed, or another program wrote to it",
            next_step="start syncd again: it examines the journal, and if it is damaged sets it aside and rebuilds it"
            " from the source and from lakeFS",
        )
    if "full" in text:
        return JournalError(
            f"the journal {path} cannot be written: {text}",
            cause="the disk under the state directory has no space left",
            next_step=f"df -h {path.parent} , then free some; syncd carries on by itself",
        )
    if "unable to open" in text:
        return JournalError(
            f"the journal {path} cannot be used: {text}",
            cause="permissions, or a disk with no inodes left for the two files beside it",
            next_step=f"ls -ld {path.parent} {path} ; df -i {path.parent}",
        )
    if "no such " in text:  # table, column, index
        return JournalError(
            f"the journal {path} is of an older schema: {text}",
            cause="an older syncd wrote it, and this one reads it before it was brought forward",
            next_step="restart the daemon (syncd run): it copies the journal, then brings it forward",
        )
    return JournalError(
        f"the journal {path} cannot be used: {text}",
        cause="permissions, or a file system without locks (NFS)",
        next_step=f"ls -ld {path.parent} {path}",
    )
