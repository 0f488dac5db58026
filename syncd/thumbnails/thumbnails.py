"""Pictures of images, made once each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from syncd.thumbnails.kept import Kept
from syncd.thumbnails.maker import ENDED, MISSING, Maker, Picture

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

SMALL, LARGE = 256, 1024  # longest edges, in pixels
MOST_IMAGE_BYTES = 64 << 20  # larger ones are not fetched for a picture
FETCHED_AT_ONCE = 4  # images in memory
ENDED_S, MOST_ENDED = 300.0, 1_000  # how long, and of how many, it is remembered that they ended the child


class Thumbnails:
    """Use it as ``async with``.

    Args:
        path: The file they are kept in.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._maker = path, Maker()
        self._slots = asyncio.Semaphore(FETCHED_AT_ONCE)
        self._under_way: dict[tuple[bytes, int], asyncio.Lock] = {}
        self._ended_at_s: dict[tuple[bytes, int], float] = {}  # the oldest first

    async def __aenter__(self) -> Self:
        self._kept = await asyncio.to_thread(Kept, self._path)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._maker.__aexit__(*exc_info)
        await asyncio.to_thread(self._kept.close)

    async def of(self, sha256: bytes, size_bytes: int, edge: int, fetch: Callable[[], Awaitable[bytes]]) -> Picture:
        """Return a picture of an image, or why there is none.

        Args:
            sha256: Of the image.
            size_bytes: Of the image.
            edge: ``SMALL`` or ``LARGE``.
            fetch: Returns the image; called if there is no picture yet.
        """
        if size_bytes > MOST_IMAGE_BYTES:
            return Picture(why_not=f"it has more than {MOST_IMAGE_BYTES >> 20} MiB")
        asked = sha256, edge
        one = self._under_way.setdefault(asked, asyncio.Lock())
        try:
            async with one:  # whoever asks for it meanwhile finds it made
                if self._ended_lately(asked):
                    return Picture(why_not=ENDED)
                kept = await asyncio.to_thread(self._kept.get, *asked)
                if kept is not None:
                    return kept
                async with self._slots:
                    made = await self._maker.make(await fetch(), edge)
                if made.why_not == ENDED:  # perhaps by who ends processes where memory is short
                    self._remember_ended(asked)
                elif made.why_not != MISSING:  # which may be different tomorrow
                    await asyncio.to_thread(self._kept.put, *asked, made)
                return made
        finally:
            if not one.locked():
                self._under_way.pop(asked, None)

    def _ended_lately(self, asked: tuple[bytes, int]) -> bool:
        ended_at_s = self._ended_at_s.get(asked)
        return ended_at_s is not None and asyncio.get_running_loop().time() - ended_at_s < ENDED_S

    def _remember_ended(self, asked: tuple[bytes, int]) -> None:
        self._ended_at_s.pop(asked, None)
        self._ended_at_s[asked] = asyncio.get_running_loop().time()
        while len(self._ended_at_s) > MOST_ENDED:
            del self._ended_at_s[next(iter(self._ended_at_s))]
