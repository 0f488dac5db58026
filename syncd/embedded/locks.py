"""An exclusive lock on a file, which the kernel gives back when its last holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_POLL_S = 0.05


class FileLock:
    """``flock`` on one file. It belongs to the open file: whoever inherits the descriptor shares the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def fileno(self) -> int:
        """Return the descriptor that holds the lock.

        Raises:
            ValueError: The lock is not held.
        """
        if self._descriptor is None:
            raise ValueError(f"{self.path} is not locked")
        return self._descriptor

    def try_acquire(self) -> bool:
        """Take the lock if it is free; return whether it is ours now."""
        return self._flock(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def acquire(self) -> None:
        """Take the lock, however long that takes. A signal handler may end the wait by raising."""
        self._flock(fcntl.LOCK_EX)

    def acquire_within(self, seconds: float) -> bool:
        """Try again and again for this many seconds; return whether the lock is ours now."""
        deadline = time.monotonic() + seconds
        while not self.try_acquire():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def release(self) -> None:
        """Let go. The lock stays taken while a child that inherited it lives."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def read(self) -> str:
        """Return what the holder wrote into the file, or ""."""
        try:
            return self.path.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def write(self, text: str) -> None:
        """Write into the locked file who holds it, for those who find it locked."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), f"{text}\n".encode(), 0)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _flock(self, operation: int) -> bool:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True
