"""Programs of the system that are asked something, if they are there; none is waited for long."""

from __future__ import annotations

import asyncio
import shutil


async def said_by(program: str, *arguments: str, within_s: float, path: str | None = None) -> str | None:
    """Return what a program prints; None where there is no such program.

    Args:
        program: Its name.
        arguments: Of its command line.
        within_s: How long it may take.
        path: Where it is looked for; None: in this process's PATH.

    Raises:
        TimeoutError: It took longer, and was ended.
    """
    found = shutil.which(program, path=path)
    if found is None:
        return None
    process = await asyncio.create_subprocess_exec(
        *(found, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(within_s):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return said.decode(errors="surrogateescape")
