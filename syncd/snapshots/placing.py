"""Puts a cached object into a folder at the least cost: sharing its blocks, else as a hard link, else as a copy."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FICLONE = 0x40049409  # source: linux/fs.h, FICLONE = _IOW(0x94, 9, int)
_FILE_MODE = 0o644
READ_ONLY = 0o444


class Placing(StrEnum):
    """How an object gets from the cache into a folder."""

    AUTO = "auto"  # the first of the others that works there
    REFLINK = "reflink"  # a file of its own whose blocks are shared until one is written
    HARDLINK = "hardlink"  # the cached file itself, read-only
    COPY = "copy"


def place(source: str, target: str, how: Placing) -> None:
    """Put a file at a path where nothing is.

    Raises:
        OSError: It cannot be done in this way.
    """
    if how is Placing.HARDLINK:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
        else:
            return
    # where there are more files of one content than a file may have links, the others are copies
    with open(source, "rb") as read, open(target, "xb", opener=_created) as written:  # noqa: PTH123 - for every object
        if how is Placing.REFLINK:
            fcntl.ioctl(written.fileno(), _FICLONE, read.fileno())
        else:
            shutil.copyfileobj(read, written, 1 << 20)


def choose(wanted: Placing, cached: str, folder: Path) -> Placing:
    """Try how files get from the cache into a folder.

    Args:
        wanted: By a person.
        cached: A file in the cache.
        folder: Nothing else is made in it meanwhile.

    Raises:
        OSError: Not in the way that is wanted.
    """
    trial = folder / ".trial"
    ways = [Placing.REFLINK, Placing.HARDLINK, Placing.COPY] if wanted is Placing.AUTO else [wanted]
    for way in ways:
        try:
            place(cached, str(trial), way)
        except OSError:
            if way is ways[-1]:
                raise
        else:
            return way
        finally:
            trial.unlink(missing_ok=True)
    raise AssertionError("the last way is returned or raised")


def _created(path: str, flags: int) -> int:
    return os.open(path, flags, _FILE_MODE)  # less what the process's umask takes away
