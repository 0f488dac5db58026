"""The objects that pulls share, each under its SHA-256: what is there is never fetched again.

A cached file is read-only and held against its name whenever it is used: what a disk or a program damaged is thrown
away and fetched anew. Anything here may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from syncd.errors import SyncdError
from syncd.snapshots.placing import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_BYTES = 50 << 30
_BLOCK_BYTES = 512  # st_blocks counts these


class CacheError(SyncdError):
    """The cache cannot be used or written."""


class ObjectCache:
    """A directory of objects. Its methods block: they are for threads.

    Args:
        directory: Made if it is missing; several processes may share it.
        max_bytes: Kept after a pull; beyond it the least recently used objects go.
    """

    def __init__(self, directory: Path, max_bytes: int = DEFAULT_BYTES) -> None:
        self.directory, self._max_bytes = directory, max_bytes
        self._objects, self._incoming = directory / "objects", directory / "incoming"
        self._mine, self._numbers = secrets.token_hex(8), itertools.count()  # names that nobody else has
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Begin to use it; nothing is evicted meanwhile. What a killed pull left half fetched is removed.

        Raises:
            CacheError: It cannot be made or used.
        """
        try:
            self._enter()
        except OSError as error:
            self.__exit__()
            raise CacheError(
                f"the cache {self.directory} cannot be used: {error.strerror}",
                next_step="name another one: pull.cache_dir, or --cache",
            ) from error
        return self

    def _enter(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self._incoming, ignore_errors=True)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        for made in (self._objects, self._incoming):  # not before: nobody removes one of them now
            made.mkdir(exist_ok=True)

    def __exit__(self, *exc_info: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def path(self, sha256: bytes) -> str:
        """Return where the object is, or would be."""
        name = sha256.hex()
        return f"{self._objects}/{name[:2]}/{name}"

    def has(self, sha256: bytes, size_bytes: int) -> bool:
        """Tell, without reading it, whether the object seems to be there."""
        try:
            return os.stat(self.path(sha256)).st_size == size_bytes  # noqa: PTH116 - called for every object
        except OSError:
            return False

    def check(self, sha256: bytes) -> bool:
        """Read the object and tell whether it is what its name says; one that is not is removed."""
        path = self.path(sha256)
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                found = hashlib.file_digest(file, "sha256").digest()
                if found == sha256:
                    os.utime(file.fileno(), ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
                    return True
        except FileNotFoundError:
            return False
        except OSError:  # such as a bad sector: what is fetched anew is written elsewhere
            pass
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108
        return False

    def keep(self, content: bytes, sha256: bytes) -> None:
        """Keep an object whose digest has been checked."""
        number, name = self._new_file()
        try:
            try:
                _write(number, content)
            finally:
                os.close(number)
            self.take(name, sha256)
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108
            raise

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """Yield an empty file to write an object to; what is not kept is removed at the end."""
        number, name = self._new_file()
        try:
            yield Incoming(self, number, name)
        finally:
            os.close(number)
            with suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108

    def _new_file(self) -> tuple[int, str]:
        name = f"{self._incoming}/{self._mine}-{next(self._numbers)}"
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), name

    def take(self, name: str, sha256: bytes) -> None:
        """Take over a file as the object of a digest that has been checked."""
        os.chmod(name, READ_ONLY)  # noqa: PTH101
        target = self.path(sha256)
        try:
            os.rename(name, target)  # noqa: PTH104
        except FileNotFoundError:
            Path(target).parent.mkdir(exist_ok=True)
            os.rename(name, target)  # noqa: PTH104

    def evict(self) -> int:
        """Remove the least recently used objects until the rest fits; return how many. Not while others use the cache.

        Memory: some 100 bytes for each object in the cache.
        """
        if self._lock is None:
            raise AssertionError("the cache is not entered")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # whoever uses it evicts at their end
        found = sorted(self._all())
        excess = sum(size for _, size, _ in found) - self._max_bytes
        gone = 0
        for _, size, path in found:
            if excess <= 0:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108
            excess, gone = excess - size, gone + 1
        return gone

    def _all(self) -> Iterator[tuple[int, int, str]]:
        """Yield ``(time of last use, bytes on disk, path)``."""
        for directory in os.scandir(self._objects):
            for entry in os.scandir(directory):
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield found.st_atime_ns, found.st_blocks * _BLOCK_BYTES, entry.path


class Incoming:
    """An object on its way into the cache."""

    def __init__(self, cache: ObjectCache, number: int, name: str) -> None:
        self._cache, self._number, self.name = cache, number, name

    def write(self, chunk: bytes) -> None:
        """Write what comes next."""
        _write(self._number, chunk)

    def keep(self, sha256: bytes) -> None:
        """All is there, and it is what its digest says."""
        self._cache.take(self.name, sha256)


def _write(number: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(number, view) :]
