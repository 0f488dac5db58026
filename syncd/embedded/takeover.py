"""Make sure that no earlier server still has the data: Badger, lakeFS's local database, allows one process."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.embedded.child import GRACE_S
from syncd.embedded.locks import FileLock
from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from syncd.embedded.installation import Installation

_PATIENCE_S = (GRACE_S, 5.0)  # after SIGTERM, after SIGKILL


def claim(installation: Installation) -> FileLock:
    """Become the one who runs this installation's server; keep the returned lock for as long as that lasts.

    Raises:
        EmbeddedServerError: Another living process does.
    """
    lock = FileLock(installation.owner_lock_path)
    if not lock.try_acquire():
        raise EmbeddedServerError(
            f"The embedded lakeFS in {installation.directory} is run by another process ({lock.read() or 'unknown'})",
            next_step="stop that one, use the server it runs, or choose another directory",
        )
    with suppress(OSError):  # who holds it is only for those who ask
        lock.write(f"process {os.getpid()}")
    return lock


def take_over(installation: Installation, *, patience_s: tuple[float, float] = _PATIENCE_S) -> FileLock:
    """End a server whose owner is dead; return the lock that the next server has to inherit.

    Call it as the owner. Normally there is none, or its guard is already ending it. The lock is evidence that one
    lives and the command line that the process is the one; only then is it sent a signal.

    Args:
        installation: The caller's own: it holds the lock of ``claim``.
        patience_s: How long to wait for its end after SIGTERM and after SIGKILL.

    Raises:
        EmbeddedServerError: Something holds the lock and cannot be told to be our server.
    """
    lock = FileLock(installation.server_lock_path)
    for number, seconds in zip((signal.SIGTERM, signal.SIGKILL), patience_s, strict=True):
        if lock.try_acquire():
            return lock
        last = installation.last_start()
        if last is not None and _is_server_of(installation, last.pid):
            os.kill(last.pid, number)
        if lock.acquire_within(seconds):
            return lock
    raise EmbeddedServerError(
        f"An earlier lakeFS still uses {installation.directory} and does not end",
        cause=f"Something holds {lock.path}, and it is not known to be a lakeFS that syncd started",
        next_step=f"find it with: fuser {lock.path}",
    )


def _is_server_of(installation: Installation, pid: int) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(installation.config_path) in arguments
