"""Pictures of images, made once each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from syncd.thumbnails.kept import Kept
from syncd.thumbnails.maker import MISSING, Maker, Picture

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

SMALL, LARGE = 256, 1024  # longest edges, in pixels
MOST_IMAGE_BYTES = 64 << 20  # larger ones are not fetched for a picture
FETCHED_AT_ONCE = 4  # images in memory


class Thumbnails:
    """Use it as ``async with``.

    Args:
        path: The file they are kept in.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._maker = path, Maker()
        self._slots = asyncio.Semaphore(FETCHED_AT_ONCE)
        self._under_way: dict[tuple[bytes, int], asyncio.Lock] = {}

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
                kept = await asyncio.to_thread(self._kept.get, *asked)
                if kept is not None:
                    return kept
                async with self._slots:
                    made = await self._maker.make(await fetch(), edge)
                if made.why_not != MISSING:  # which may be different tomorrow
                    await asyncio.to_thread(self._kept.put, *asked, made)
                return made
        finally:
            if not one.locked():
                self._under_way.pop(asked, None)
