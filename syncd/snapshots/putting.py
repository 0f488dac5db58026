"""Puts single files among others, each whole or not at all, and never over one that is not as expected. Blocks."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGED = "it is not as it was a moment ago"
IN_THE_WAY = "something that is no regular file is in its place"
_FILE_MODE, _PRIVATE_MODE = 0o644, 0o600  # less what the process's umask takes away
_CHUNK_BYTES = 1 << 20
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP}  # by file system: vfat, some of FUSE

_directories = threading.Lock()  # they are made, and removed once they are empty, by one thread at a time


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

    What is replaced stays whose it was, with its mode. What is new belongs to whoever runs this; where that is root, to
    whom the directory above it belongs.

    Args:
        cached: The file that is copied.
        folder: An existing directory, with links resolved.
        path: "/"-separated; directories are made.
        expected: SHA-256 of what may be replaced; None: nothing is there.

    Raises:
        InTheWayError: Something else is there, or a link on the way; or the path leads out of the folder.
        OSError: It cannot be written.
    """
    target = folder / path
    _require_inside(target.parent, folder)  # before: nothing is made behind a link either
    with _beside(target, folder, _FILE_MODE if expected is None else _PRIVATE_MODE) as (name, file):
        with file:  # closed before it takes its place: some file systems tell only then that the disk is full
            if expected is None:
                _belong_as(target.parent, file.fileno())
            with Path(cached).open("rb") as content:
                shutil.copyfileobj(content, file, _CHUNK_BYTES)
            if expected is not None:
                if digest_of(target) != expected:
                    raise InTheWayError(CHANGED)
                _be_as(target, file.fileno())
        if expected is None:
            _put_new(name, target)
        else:
            Path(name).replace(target)


def remove(folder: Path, path: str, *, expected: bytes) -> bool:
    """Remove a file below a folder, and the directories that are empty then; return whether it was there.

    Raises:
        InTheWayError: It is not what was expected, or the path leads out of the folder.
        OSError: It cannot be removed.
    """
    target = folder / path
    _require_inside(target.parent, folder)
    found = digest_of(target)
    if found is None:
        return False
    if found != expected:
        raise InTheWayError(CHANGED)
    target.unlink()
    directory = target.parent
    with _directories, suppress(OSError):  # others are in it
        while directory != folder and directory.is_relative_to(folder):
            directory.rmdir()
            directory = directory.parent
    return True


def _require_inside(directory: Path, folder: Path) -> None:
    """Refuse to leave the folder, also through a link: nobody looks for a file of this folder where it leads."""
    if not Path(os.path.normpath(directory)).is_relative_to(folder):
        raise InTheWayError("its path leads out of the folder")
    if os.path.realpath(directory) != str(directory):
        raise InTheWayError("a link is on the way to it")


@contextmanager
def _beside(target: Path, folder: Path, mode: int) -> Iterator[tuple[str, BinaryIO]]:
    """Lend a new file in the same directory, of a name that no source takes for an image. It is gone afterwards."""
    name = os.fspath(target.parent / f".{os.urandom(6).hex()}.tmp")
    try:
        file = _created(name, folder, mode)
    except FileNotFoundError:  # someone removed the directory: there was nothing in it yet
        file = _created(name, folder, mode)
    try:
        yield name, file
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _created(name: str, folder: Path, mode: int) -> BinaryIO:
    directory = Path(name).parent
    try:
        with _directories:
            _make(directory, folder)
            _require_inside(directory, folder)
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except (FileExistsError, NotADirectoryError) as error:
        raise InTheWayError(IN_THE_WAY) from error
    return os.fdopen(descriptor, "wb")


def _make(directory: Path, folder: Path) -> None:
    """Make a directory below a folder, and those above it; not the folder: it may have been a mount that is gone."""
    if directory.is_dir():
        return
    if directory == folder:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    _make(directory.parent, folder)
    try:
        directory.mkdir()
    except FileExistsError:
        if not directory.is_dir():
            raise
        return  # another program made it just now
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _belong_as(directory.parent, descriptor)
    finally:
        os.close(descriptor)


def _belong_as(directory: Path, descriptor: int) -> None:
    """Give what root made to whom the directory above it belongs: who works there is to be able to change it."""
    if os.geteuid() == 0:
        above = directory.stat()
        with suppress(OSError):  # not every file system has owners
            os.fchown(descriptor, above.st_uid, above.st_gid)


def _be_as(target: Path, descriptor: int) -> None:
    """Give a file the owner, group and mode of what it replaces, as far as that may be; nobody more may read it."""
    was = target.lstat()
    for uid, gid in ((-1, was.st_gid), (was.st_uid, -1)):
        with suppress(OSError):  # whoever is not root may give it to a group of theirs at most
            os.fchown(descriptor, uid, gid)
    mode = was.st_mode & 0o777
    if os.fstat(descriptor).st_gid != was.st_gid:  # its members were among all others
        mode = mode & ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    os.fchmod(descriptor, mode)


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
