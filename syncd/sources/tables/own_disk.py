"""What it means for a person that syncd cannot write its own files, those below the state directory."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from syncd.errors import JournalError
from syncd.presence import is_there

if TYPE_CHECKING:
    from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FAILS = frozenset(
    {errno.EACCES, errno.EFBIG, errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS}
)  # what a disk, and no connection, answers


def is_of_the_disk(error: OSError) -> bool:
    """Return whether an error is one of a disk, where it may also be one of a connection."""
    return error.errno in _FULL or error.errno in _FAILS


def translated(error: OSError | sqlite3.Error, directory: Path) -> JournalError:
    """Return what an error in a directory of syncd's own means; its source pauses, and goes on by itself.

    Args:
        error: From writing a file there.
        directory: Which need not be there.
    """
    there = next(filter(is_there, directory.parents), directory)
    if isinstance(error, sqlite3.Error):
        return JournalError(
            f"{directory} cannot be written: {error}",
            cause="the disk under the state directory is full, or may not be written",
            next_step=f"df -h {there} ; ls -ld {there}",
        )
    if error.errno in _FULL:
        return JournalError(
            f"{directory} cannot be written: {error.strerror}",
            cause="the disk under the state directory has no space left, or no inodes",
            next_step=f"df -h {there} ; df -i {there} , then free some; syncd carries on by itself",
        )
    return JournalError(
        f"{directory} cannot be used: {error.strerror}",
        cause="permissions, or a disk that fails",
        next_step=f"ls -la {directory if is_there(directory) else there}",
    )
