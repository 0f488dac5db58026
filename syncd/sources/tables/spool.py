"""The bodies that wait for their upload, as files named by their content. Blocks; for threads.

What syncd makes itself has no source to be read from again: it is kept here until lakeFS has it. The directory is
syncd's own, and only its owner may look into it, since rows of a database may be in it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from syncd.fingerprint import read_fingerprint
from syncd.sources.tables.own_disk import is_of_the_disk, translated
from syncd.sources.tables.whole_file import sync_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from syncd.model import Fingerprint


class Spool:
    """One directory of bodies. Threads may share it, but for :meth:`sweep`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """Lend the path of an empty file to write a body to; it is gone afterwards unless :meth:`keep` took it.

        Raises:
            JournalError: The disk is full or fails, also when it is noticed in the block, or the directory cannot be
                used.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            fd, name = tempfile.mkstemp(prefix="new-", dir=self._directory)
            os.close(fd)
        except OSError as error:
            raise translated(error, self._directory) from error
        path = Path(name)
        try:
            yield path
        except OSError as error:
            if is_of_the_disk(error):
                raise translated(error, self._directory) from error
            raise
        finally:
            with suppress(OSError):  # it would hide why nothing could be written; a sweep removes it
                path.unlink()

    def keep(self, path: Path) -> Fingerprint:
        """Take a file that :meth:`new_file` lent and that is written; return what it holds.

        It is on the disk for certain then. Content that is here already is no second one.

        Raises:
            JournalError: It cannot be written.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fingerprint = read_fingerprint(fd)
                os.fchmod(fd, 0o600)
                os.fsync(fd)
            finally:
                os.close(fd)
            path.replace(self._path(fingerprint.sha256))
            sync_directory(self._directory)
        except OSError as error:
            raise translated(error, self._directory) from error
        return fingerprint

    def open(self, sha256: bytes) -> BinaryIO:
        """Open a body for reading.

        Raises:
            FileNotFoundError: It is not here, or not any more.
        """
        return self._path(sha256).open("rb")

    def holds(self, sha256: bytes) -> bool:
        """Return whether a body is here.

        Raises:
            JournalError: It cannot be told.
        """
        try:
            return self._path(sha256).is_file()
        except OSError as error:
            raise translated(error, self._directory) from error

    def sweep(self, keep: Collection[bytes]) -> None:
        """Remove all but the bodies with these SHA-256, leftovers of a crash included.

        Not while anyone writes to the spool: a file that was lent would be removed.

        Raises:
            JournalError: The directory cannot be used.
        """
        kept = {sha256.hex() for sha256 in keep}
        try:
            for path in list(self._directory.iterdir()):
                if path.name not in kept:
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            return  # nothing was ever written
        except OSError as error:
            raise translated(error, self._directory) from error

    def _path(self, sha256: bytes) -> Path:
        return self._directory / sha256.hex()
