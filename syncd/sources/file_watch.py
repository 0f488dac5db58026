"""Events of one file, by a watch on its folder. Only to look sooner: polling goes on either way."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from syncd.sources.hints import Hints
from syncd.sources.watcher import Watcher, WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def watch_file(path: Path, on_hint: Callable[[], None]) -> Callable[[], None]:
    """Call back, from a thread, when something happens to a file; return what ends that. Blocks for a moment.

    Where its folder cannot be watched nothing is ever called.
    """
    hints: Hints

    def wake() -> None:
        hints.take()  # so that it wakes again
        on_hint()

    hints = Hints(wake)
    try:
        return _started(path, hints).close
    except (WatchUnavailableError, OSError):
        return lambda: None


def _started(path: Path, hints: Hints) -> Watcher:
    watcher = Watcher(hints, lambda name: name == path.name)
    try:
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            watcher.watch("", fd)
        finally:
            os.close(fd)
    except BaseException:
        watcher.close()
        raise
    return watcher


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
                self._watcher = await asyncio.to_thread(_started, self._path, self._hints)

    async def end(self) -> None:
        """Stop watching."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await asyncio.to_thread(watcher.close)
