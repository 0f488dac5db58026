"""How many descriptors this process may open, and what that leaves for uploads."""

from __future__ import annotations

import resource
from pathlib import Path

import structlog

from syncd.errors import SyncdError

log = structlog.get_logger(__name__)

RESERVE = 48  # the journal's connections for each thread, listings, the watcher, calls, tables
EACH = 4  # of an upload: its connection, its file, and files that are opened ahead


class TooFewDescriptorsError(SyncdError):
    """The process may not open enough files to work."""


def allowed(wanted: int) -> int:
    """Raise the soft limit as far as it goes; return how many uploads may run at once, at most ``wanted``.

    Raises:
        TooFewDescriptorsError: Not even one.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    open_now = Path("/proc/self/fd")
    in_use = len(list(open_now.iterdir())) if open_now.is_dir() else RESERVE
    found = (hard - in_use - RESERVE) // EACH
    if found < 1:
        raise TooFewDescriptorsError(
            f"this process may open {hard} files and connections, and syncd needs {in_use + RESERVE + EACH}",
            cause="the limit of open files (nofile) is very low",
            next_step="raise it: ulimit -Hn 1024, or LimitNOFILE=1024 in the systemd unit",
        )
    if found < wanted:
        log.warning(
            "fewer_uploads_at_once",
            wanted=wanted,
            uploads=found,
            limit=hard,
            next="raise the limit of open files: ulimit -Hn, or LimitNOFILE= in the systemd unit",
        )
    return min(wanted, found)
