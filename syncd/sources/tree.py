"""The watched folder, seen through directory descriptors so that no symlink leads out of it.

Paths are relative to the root, "/"-separated, without a leading "/"; directories end with "/", the root is "".
Bytes of a name that are not UTF-8 are surrogate escapes, as everywhere in Python.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from syncd.errors import SourceUnavailableError
from syncd.fingerprint import OPEN_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syncd.model import FileRow

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_SUCH_DIRECTORY = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # nothing there, a file, a symlink
_MOUNTED = "Is the disk mounted, and is source.root right?"


class Identity(NamedTuple):
    """Which directory a root is: another disk mounted there, or a new folder of the same name, is another one."""

    device: int
    inode: int


class Listing(NamedTuple):
    """The names in one directory, by what they are."""

    files: list[str]
    directories: list[str]
    symlinks: list[str]
    others: list[str]  # FIFOs, sockets, devices
    rows: list[FileRow] | None  # of all the files; None: they are too many, or changed meanwhile


MOST_ROWS = 20_000  # of one directory, so that memory does not follow its size
NOTHING = Listing([], [], [], [], None)


@contextmanager
def open_root(root: Path, identity: Identity | None = None) -> Iterator[int]:
    """Open the root for one piece of work; it is not kept open for longer, so that a disk can be unmounted.

    Args:
        root: May itself be reached through symlinks.
        identity: What it must still be; None takes any.

    Raises:
        SourceUnavailableError: It is missing, not a folder, unreadable, or another one than before.
    """
    try:
        fd = os.open(root, _DIRECTORY_FLAGS)
    except OSError as error:
        raise _unavailable(root, error) from error
    try:
        if identity is not None and identity_of(fd) != identity:
            raise SourceUnavailableError(
                f"{root} is another folder than before",
                cause="it was replaced, or a disk was mounted or unmounted there",
            )
        yield fd
    finally:
        os.close(fd)


def identity_of(fd: int) -> Identity:
    """Return which directory this descriptor is."""
    status = os.fstat(fd)
    return Identity(status.st_dev, status.st_ino)


def _unavailable(root: Path, error: OSError) -> SourceUnavailableError:
    if error.errno == errno.ENOENT:
        return SourceUnavailableError(f"the folder {root} does not exist", next_step=_MOUNTED)
    if error.errno == errno.ENOTDIR:
        return SourceUnavailableError(
            f"{root} is not a folder", next_step="set source.root to the folder that holds the images"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return SourceUnavailableError(
            f"the folder {root} cannot be read: permission denied",
            next_step="give the user that runs syncd the rights to read and enter it",
        )
    return SourceUnavailableError(f"the folder {root} cannot be read: {error.strerror}", next_step=_MOUNTED)


def confirm_listable(directory_fd: int, name: str) -> None:
    """Raise OSError if the directory of this name cannot be opened for listing."""
    os.close(os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=directory_fd))


@contextmanager
def open_beneath(root_fd: int, directory: str) -> Iterator[int | None]:
    """Open a directory below the root, component by component, without following any symlink.

    Yields:
        Its descriptor, or None if there is no such directory: a component is missing, or is something else.

    Raises:
        OSError: Whether it is there cannot be told: no permission, an I/O error.
    """
    fd = _descend(root_fd, directory)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _descend(root_fd: int, directory: str) -> int | None:
    fd = os.open(".", _DIRECTORY_FLAGS, dir_fd=root_fd)
    for component in directory.split("/")[:-1]:
        try:
            fd, above = os.open(component, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=fd), fd
        except OSError as error:
            os.close(fd)
            if error.errno in _NO_SUCH_DIRECTORY:
                return None
            raise
        os.close(above)
    return fd


def status_of(directory_fd: int, name: str) -> os.stat_result | None:
    """Return the ``lstat`` of a name in a directory, or None if there is nothing of that name.

    Raises:
        OSError: It cannot be told.
    """
    try:
        return os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_file(directory_fd: int | None, name: str) -> BinaryIO:
    """Open a regular file of a directory (None: there is no such directory) for reading.

    Raises:
        OSError: It is gone, is something else, or cannot be read.
    """
    if directory_fd is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    fd = os.open(name, OPEN_FLAGS, dir_fd=directory_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return os.fdopen(fd, "rb")


def list_directory(fd: int, *, most_rows: int = 0) -> Listing:
    """Return the names in an open directory, and the status of each file if there are no more than so many.

    Raises:
        OSError: It cannot be listed completely.
    """
    rows: list[FileRow] | None = []
    listing = Listing([], [], [], [], rows)
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                listing.files.append(entry.name)
                if rows is not None:
                    row = _row(entry) if len(rows) < most_rows else None
                    if row is None:
                        rows = None
                    else:
                        rows.append(row)
            elif entry.is_dir(follow_symlinks=False):
                listing.directories.append(entry.name)
            elif entry.is_symlink():
                listing.symlinks.append(entry.name)
            else:
                listing.others.append(entry.name)
    return listing._replace(rows=rows)


def _row(entry: os.DirEntry[str]) -> FileRow | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return entry.name, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def leads_to_directory(directory_fd: int, name: str) -> bool:
    """Return whether a symlink leads to a directory; False if that cannot be told."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=directory_fd).st_mode)
    except OSError:
        return False


def is_file(status: os.stat_result | None) -> bool:
    """Return whether this is the status of a regular file."""
    return status is not None and stat.S_ISREG(status.st_mode)


def directory_of(path: str) -> str:
    """Return the directory of a path, "a/b/" of "a/b/c"."""
    above, slash, _ = path.rpartition("/")
    return above + slash


def name_of(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def shown(path: str) -> str:
    r"""Return a path as text that any terminal, log and database can take.

    Control characters and bytes that are not UTF-8 become ``\xNN``.
    """
    if path.isprintable():
        return path
    text = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(f"\\x{ord(c):02x}" if unicodedata.category(c) == "Cc" else c for c in text)
