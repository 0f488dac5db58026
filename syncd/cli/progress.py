"""Progress bars on a terminal, nothing otherwise."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from syncd.cli.common import messages
from syncd.errors import JournalError
from syncd.journal import pictures
from syncd.journal.journal import open_readonly
from syncd.service import control
from syncd.words import size

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

    from syncd.snapshots.pull import Pulled

LOOK_EVERY_S = 0.5


class UploadProgress:
    """Objects and bytes acknowledged, their rate, and the time left by what the journal says is still to come."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir, self._started = state_dir, time.monotonic()
        self._objects, self._bytes = 0, 0
        self._bar = Progress(
            TextColumn("uploading"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=messages,
            transient=True,
            disable=not messages.is_terminal,
        )
        self._task = self._bar.add_task("uploading", total=None, rate="")

    async def __aenter__(self) -> Self:
        self._bar.start()
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._following.cancel()
        self._bar.stop()

    def acknowledged(self, objects: int, size_bytes: int) -> None:
        """Count what arrived; called in the event loop for each change."""
        self._objects += objects
        self._bytes += size_bytes

    async def _follow(self) -> None:
        while not self._bar.disable:
            still = await asyncio.to_thread(waiting, self._state_dir)
            elapsed_s = time.monotonic() - self._started
            rate = f"{self._objects / elapsed_s:.0f}/s, {size(self._bytes / elapsed_s)}/s"
            self._bar.update(self._task, completed=self._objects, total=self._objects + still, rate=rate)
            await asyncio.sleep(LOOK_EVERY_S)


class PullProgress:
    """Files in their place and the rate at which they come; a context manager."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("pulling"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=messages,
            transient=True,
            disable=not messages.is_terminal,
        )
        self._task = self._bar.add_task("pulling", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def show(self, done: Pulled) -> None:
        """Show what is done so far."""
        self._bar.update(self._task, completed=done.placed_bytes, total=done.size_bytes or None)


def waiting(state_dir: Path) -> int:
    """Return how many changes are observed and not on the branch."""
    try:
        with open_readonly(state_dir) as connection:
            counts = pictures.counts(connection)
    except JournalError:
        return 0
    return counts.to_upload + counts.to_delete


async def while_waiting(calling: Coroutine[Any, Any, Mapping[str, Any]], state_dir: Path) -> Mapping[str, Any]:
    """Await the daemon's answer; on a terminal, show meanwhile what it is doing."""
    if not messages.is_terminal:
        return await calling
    task = asyncio.ensure_future(calling)
    with messages.status("asking the daemon") as line:
        while not (await asyncio.wait({task}, timeout=LOOK_EVERY_S))[0]:
            picture = await control.call(state_dir, "status")
            pending = picture["pending"]
            line.update(f"{picture['state']}: {picture['why']} ({pending['upload']} to upload)")
    return task.result()
