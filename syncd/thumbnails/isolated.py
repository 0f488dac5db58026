"""Starts what has to do with images of strangers: processes that know nothing that is secret."""

from __future__ import annotations

import asyncio
import os
import sys
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
