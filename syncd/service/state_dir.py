"""The state directory: made private, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from syncd.errors import AlreadyRunningError, JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = "lock"


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """Create the directory if needed and hold its lock; the kernel gives it back however the process ends.

    Raises:
        AlreadyRunningError: Another syncd holds it; the text names its process.
        JournalError: It cannot be created or written.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(
            f"the state directory {state_dir} cannot be used: {error.strerror}",
            cause="permissions, or a full or read-only disk",
            next_step="set service.state_dir to a directory that this user may write",
        ) from error
    try:
        _lock(descriptor, state_dir)
        with suppress(OSError):  # who has it is only for those who ask
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise AlreadyRunningError(
            f"another syncd (process {_written_pid(descriptor)}) uses the state directory {state_dir}",
            cause="one state directory serves one daemon",
            next_step="syncd snapshot, status and log reach the running one; or give this one its own"
            " service.state_dir",
        ) from error


def _written_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None
