"""Has pictures made by a child process, one at a time, and ends it where it does not answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

from syncd.thumbnails import isolated, wire

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable

ANSWER_S = 15.0
IDLE_S = 60.0  # then the child's memory is given back
NEEDED = "PIL"
MISSING = "Pillow is not installed: pip install 'syncd[web]'"
ENDED = "decoding it took too much time or memory, or ended the process that did it"


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown of an image."""

    content_type: str = ""  # "image/png" or "image/jpeg"; "": nothing is
    body: bytes = b""
    width: int = 0  # of the image itself, in pixels; 0: not known
    height: int = 0
    why_not: str = ""

    @property
    def shown(self) -> bool:
        """Whether there is one."""
        return bool(self.content_type)


class _BrokenChildError(Exception):
    """What the child says is no answer: an image broke it."""


class Maker:
    """Use it as ``async with``. The child is started when it is first needed.

    Args:
        start: Starts a module of this room, see :func:`isolated.start`.
    """

    def __init__(self, start: Callable[[str], Awaitable[Process]] = isolated.start) -> None:
        self._start, self._turn = start, asyncio.Lock()
        self._child: Process | None = None
        self._dying: Process | None = None  # the last that was idle
        self._idle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        async with self._turn:
            await self._end()
            if self._dying is not None:
                await self._dying.wait()

    async def make(self, content: bytes, edge: int) -> Picture:
        """Return a picture of an image, or why there is none. Never raises for what the image is.

        Args:
            content: The image.
            edge: The longest edge that is wanted, in pixels.
        """
        if find_spec(NEEDED) is None:
            return Picture(why_not=MISSING)
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            try:
                async with asyncio.timeout(ANSWER_S):
                    made = await self._ask(await self._started(), content, edge)
            except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, _BrokenChildError):
                await self._end()
                return Picture(why_not=ENDED)
            except BaseException:
                await self._end()  # it may be in the middle of an answer
                raise
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._kill)
            return made

    async def _started(self) -> Process:
        if self._child is not None and self._child.returncode is not None:
            await self._end()
        if self._child is None:
            self._child = await self._start("child")
        return self._child

    async def _ask(self, child: Process, content: bytes, edge: int) -> Picture:
        if child.stdin is None or child.stdout is None:
            raise AssertionError("both are pipes")
        child.stdin.write(wire.REQUEST.pack(len(content), edge) + content)
        await child.stdin.drain()
        kind, length, width, height = wire.ANSWER.unpack(await child.stdout.readexactly(wire.ANSWER.size))
        if length > wire.MOST_BYTES.get(kind, -1):
            raise _BrokenChildError
        body = await child.stdout.readexactly(length)
        if kind == wire.NOT:
            return Picture(why_not=body.decode("utf-8", "replace"))
        return Picture(wire.CONTENT_TYPES[kind], body, width, height)

    async def _end(self) -> None:
        child, self._child = self._child, None
        if self._idle is not None:
            self._idle.cancel()
        if child is not None:
            isolated.kill(child)
            await child.wait()

    def _kill(self) -> None:
        if self._child is not None and not self._turn.locked():
            self._dying, self._child = self._child, None  # who asks next starts another one
            isolated.kill(self._dying)
