"""Whether a syncd holds the state directory, and what that one says of itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.doctor.findings import Finding, fail, of_error, ok, warn
from syncd.service import control
from syncd.service.control import RemoteError
from syncd.service.state_dir import LOCK_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

NAME = "daemon"
ANSWER_WITHIN_S = 5.0


def holder(state_dir: Path) -> int | None:
    """Return the process that holds the state directory's lock, or None; 0 if it cannot be told which.

    The lock is not tried, since a daemon that starts at that moment would be refused. Blocks, for a moment.
    """
    try:
        lock = state_dir / LOCK_NAME
        inode = lock.stat().st_ino
        held = any(_is_on(line, inode) for line in Path("/proc/locks").read_text("ascii").splitlines())
    except OSError:
        return None
    if not held:
        return None
    try:
        text = lock.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    return int(text) if text.isdigit() else 0


def _is_on(line: str, inode: int) -> bool:
    """Return whether a line of /proc/locks, "1: FLOCK ADVISORY WRITE 77 08:01:4711 0 EOF", is a held lock of a file."""
    fields = line.split()
    return "FLOCK" in fields and "->" not in fields and any(field.endswith(f":{inode}") for field in fields)


async def look(state_dir: Path, pid: int | None) -> AsyncGenerator[Finding, None]:
    """Ask the running daemon how it is.

    Args:
        state_dir: Its state directory.
        pid: Who holds it; None: nobody.
    """
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            health = await control.call(state_dir, "health")
            status = await control.call(state_dir, "status")
    except RemoteError as error:
        yield of_error(NAME, error)
        return
    except (ConnectionError, TimeoutError) as error:
        yield _silent(state_dir, pid, timed_out=isinstance(error, TimeoutError))
        return
    bad = [check for check in health["ready"]["checks"] if not check["ok"]]
    for check in bad:
        yield fail(NAME, f"the daemon says of {check['name']}: {check['why']}", "syncd status")
    if not bad:
        yield ok(
            NAME, f"a daemon runs here{f' (process {pid})' if pid else ''}, and is {status['state']}: {status['why']}"
        )
    for fault in status["retention"]["faults"]:
        yield warn(
            "daemon.pins", f"a snapshot is not kept from lakeFS's garbage collection: {fault}", "syncd pins check"
        )


def _silent(state_dir: Path, pid: int | None, *, timed_out: bool) -> Finding:
    if pid is None and not timed_out:
        return ok(NAME, f"no daemon runs with {state_dir}")
    process = f"process {pid}" if pid else "a process"
    if timed_out:
        fact = f"{process} holds {state_dir} and has not answered within {ANSWER_WITHIN_S:g} s"
        return fail(NAME, fact, "systemctl restart syncd, or end it and start syncd run")
    fact = f"{process} holds {state_dir} and cannot be asked: a syncd sync under way, or another user's daemon"
    return warn(NAME, fact, f"ps -fp {pid}" if pid else "ps -ef | grep syncd")
