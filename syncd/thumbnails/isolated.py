"""Starts what has to do with images of strangers: processes that know nothing that is secret."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process


async def start(module: str) -> Process:
    """Return a Python that runs a module of this room; it is spoken with by stdin and stdout."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        f"syncd.thumbnails.{module}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.defpath},
        cwd="/",
    )


def kill(child: Process) -> None:
    """End such a process; nothing of what it says any more is read, so that ``wait`` waits for its end alone."""
    with suppress(ProcessLookupError):
        child.kill()
    if child.stdin is not None and not child.stdin.is_closing():
        child.stdin.transport.abort()
    if (said := child._transport.get_pipe_transport(1)) is not None:  # type: ignore[attr-defined]  # noqa: SLF001
        said.close()  # asyncio has no public way to a pipe that is read; unread, ``wait`` never ends
