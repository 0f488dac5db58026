"""Events of one file, by a watch on its folder. Only to look sooner: polling goes on either way."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from syncd.sources.watcher import Watcher, WatchUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.sources.hints import Hints


class FileWatch:
    """Hints of what happens to one file.

    Args:
        path: Of the file.
        hints: Where they go.
        wanted: False: there are none.
    """

    def __init__(self, path: Path, hints: Hints, *, wanted: bool) -> None:
        self._path, self._hints, self._wanted = path, hints, wanted
        self._watcher: Watcher | None = None

    async def begin(self) -> None:
        """Watch the file's folder if that is wanted and possible, and not done yet."""
        if self._wanted and self._watcher is None:
            with contextlib.suppress(WatchUnavailableError, OSError):
                self._watcher = await asyncio.to_thread(self._started)

    async def end(self) -> None:
        """Stop watching."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await asyncio.to_thread(watcher.close)

    def _started(self) -> Watcher:
        watcher = Watcher(self._hints, lambda path: path == self._path.name)
        try:
            fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                watcher.watch("", fd)
            finally:
                os.close(fd)
        except BaseException:
            watcher.close()
            raise
        return watcher
