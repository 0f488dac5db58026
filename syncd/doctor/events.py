"""Whether events of the folder arrive, by trying: a file that syncd leaves out is made, and gone at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

from syncd.doctor import account
from syncd.doctor.examination import in_thread
from syncd.doctor.findings import Finding, ok, warn
from syncd.sources.hints import Hints
from syncd.sources.temporary_names import temporary_file
from syncd.sources.watcher import Watcher, WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "folder.events"
ARRIVES_WITHIN_S = 3.0
LIMIT_S = 6.0
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
_POLLING = 'set source.watch = "polling"'


async def trial(root: Path) -> Finding | None:
    """Return whether an event arrives; None where the folder cannot be opened, which others say."""
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    name, arrived, loop = f".syncd-doctor-{secrets.token_hex(8)}.tmp", asyncio.Event(), asyncio.get_running_loop()
    if temporary_file(name) is None:
        raise AssertionError("a daemon that watches the folder must leave this file out")

    def hear(path: str) -> bool:
        if path == name:
            loop.call_soon_threadsafe(arrived.set)
        return False  # it is worth no hint

    watcher: Watcher | None = None
    try:
        watcher = await in_thread(partial(_watch, hear, fd), limit_s=LIMIT_S)
        await in_thread(partial(_make_and_remove, fd, name), limit_s=LIMIT_S)
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            await arrived.wait()
    except WatchUnavailableError as error:
        return warn(NAME, f"{root} cannot be watched", str(error))
    except TimeoutError:
        return warn(NAME, f"an event of {root} did not arrive within {ARRIVES_WITHIN_S:g} s", _POLLING)
    except OSError as error:
        if error.errno not in _NOT_ALLOWED:
            raise
        why = f"{account.name()} cannot write there ({error.strerror})"
        return ok(NAME, f"{root} can be watched; whether events arrive could not be tried, as {why}")
    finally:
        if watcher is not None:
            await in_thread(watcher.close, limit_s=LIMIT_S)
        os.close(fd)
    return ok(NAME, f"events of {root} arrive: a file made there was heard of")


def _watch(hear: Callable[[str], bool], fd: int) -> Watcher:
    watcher = Watcher(Hints(lambda: None), hear)
    try:
        watcher.watch("", fd)
    except BaseException:
        watcher.close()
        raise
    return watcher


def _make_and_remove(fd: int, name: str) -> None:
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=fd)
