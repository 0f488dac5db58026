"""A folder source at work on a real folder, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.sources.folder import FolderSource
from syncd.sources.settings import FolderSettings
from tests.support.memory_inventory import MemoryInventory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from syncd.sources.base import LeftOut

PATIENCE_SECONDS = 30.0


def now() -> datetime:
    return datetime.now(UTC)


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_old(path: Path, content: bytes = b"x") -> Path:
    """Write a file that looks as if it had been left alone for long, but for its ctime."""
    write(path, content)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


@dataclass
class Watched:
    root: Path
    source: FolderSource
    inventory: MemoryInventory
    task: asyncio.Task[None] | None = None

    async def barrier(self, seconds: float = PATIENCE_SECONDS) -> Sequence[LeftOut]:
        return await self.source.barrier(now() + timedelta(seconds=seconds))

    async def until(self, reached: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while not reached():
                await asyncio.sleep(0.005)

    @property
    def recorded(self) -> set[str]:
        """The live keys."""
        return set(self.inventory.contents())

    def on_disk(self, suffixes: tuple[str, ...] = (".jpg", ".png")) -> dict[str, bytes]:
        found = {}
        for directory, _, names in os.walk(self.root):
            for name in names:
                path = Path(directory, name)
                if name.endswith(suffixes) and path.is_file() and not path.is_symlink():
                    found["images/" + str(path.relative_to(self.root))] = sha256(path.read_bytes())
        return found


def make(root: Path, inventory: MemoryInventory | None = None, **settings: Any) -> Watched:
    cookie_dir = root.parent / (root.name + "-cookies")
    cookie_dir.mkdir(exist_ok=True)
    values: dict[str, Any] = {
        "include": ["*.jpg", "*.png"],
        "settle_seconds": 0.05,
        "check_seconds": 0.05,
        "poll_seconds": 0.1,
        "cookie_dir": cookie_dir,
    }
    inventory = inventory or MemoryInventory()
    source = FolderSource(FolderSettings(root=root, **(values | settings)), inventory, clock=now, rng=random.Random(7))
    return Watched(root, source, inventory)


@contextlib.asynccontextmanager
async def watched(root: Path, inventory: MemoryInventory | None = None, **settings: Any) -> AsyncIterator[Watched]:
    """Run a source on a folder; errors of the run are raised at the end."""
    world = make(root, inventory, **settings)
    world.task = asyncio.create_task(world.source.run())
    try:
        yield world
    finally:
        world.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await world.task


@contextlib.contextmanager
def in_threads(*functions: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run functions in threads of their own; each ends soon after its event is set, at the end."""
    stop = threading.Event()
    threads = [threading.Thread(target=function, args=(stop,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
