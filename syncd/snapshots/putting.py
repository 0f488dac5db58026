"""Puts single files among others, each whole or not at all, and never over one that is not as expected. Blocks."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.snapshots.placing import Placing, place

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGED = "it is not as it was a moment ago"
IN_THE_WAY = "something that is no regular file is in its place"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP}  # by file system: vfat, some of FUSE


class InTheWayError(Exception):
    """What is there is not what was expected, and stays."""


def digest_of(path: Path) -> bytes | None:
    """Return the SHA-256 of a file; None if nothing is there.

    Raises:
        InTheWayError: A directory, a link or a device is there.
        OSError: It cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise InTheWayError(IN_THE_WAY) from error
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise InTheWayError(IN_THE_WAY) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InTheWayError(IN_THE_WAY)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


def put(cached: str, folder: Path, path: str, *, expected: bytes | None) -> None:
    """Put a cached object at a path below a folder; whoever looks sees what was there, or all of it.

    Args:
        cached: The file that is copied.
        folder: An existing directory, with links resolved.
        path: "/"-separated; directories are made.
        expected: SHA-256 of what may be replaced; None: nothing is there.

    Raises:
        InTheWayError: Something else is there, or a link on the way.
        OSError: It cannot be written.
    """
    target = folder / path
    _require_inside(target.parent)  # before: nothing is made behind a link either
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InTheWayError(IN_THE_WAY) from error
    _require_inside(target.parent)
    with _beside(target) as temporary:
        place(cached, temporary, Placing.COPY)
        if expected is None:
            _put_new(temporary, target)
            return
        if digest_of(target) != expected:
            raise InTheWayError(CHANGED)
        shutil.copymode(target, temporary)
        Path(temporary).replace(target)


def remove(folder: Path, path: str, *, expected: bytes) -> bool:
    """Remove a file below a folder, and the directories that are empty then; return whether it was there.

    Raises:
        InTheWayError: It is not what was expected.
        OSError: It cannot be removed.
    """
    target = folder / path
    _require_inside(target.parent)
    found = digest_of(target)
    if found is None:
        return False
    if found != expected:
        raise InTheWayError(CHANGED)
    target.unlink()
    for parent in target.parents:
        if parent == folder:
            break
        try:
            parent.rmdir()
        except OSError:
            break  # others are in it
    return True


def _require_inside(directory: Path) -> None:
    """Refuse to write through a link: nobody looks for a file of this folder where it leads."""
    if os.path.realpath(directory) != str(directory):
        raise InTheWayError("a link is on the way to it")


@contextmanager
def _beside(target: Path) -> Iterator[str]:
    """Lend the name of a file in the same directory; one that no source takes for an image. It is gone afterwards."""
    name = os.fspath(target.parent / f".{os.urandom(6).hex()}.tmp")
    try:
        yield name
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _put_new(temporary: str, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError as error:
        raise InTheWayError(CHANGED) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise InTheWayError(CHANGED) from error
        Path(temporary).rename(target)
