"""Listings that only make sure, now and then: of a million files each takes a while, and no call waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sources.sight import Sight
from syncd.sources.walk import Walk
from syncd.sources.watcher import Watcher, WatchUnavailableError
from tests.support.watching import watched, write

A_MOMENT_S = 0.01


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root / "keep.jpg", b"keep")
    return root


class Endless:
    """Once it is set, listings of the whole folder go on and on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes_on, self._set, self._ended = threading.Event(), threading.Event(), threading.Event()
        advance = Walk.advance

        def some(walk: Walk) -> Sight | None:
            if not self._set.is_set() or walk.directory:
                return advance(walk)
            self.goes_on.set()
            self._ended.wait(A_MOMENT_S)
            return Sight()

        monkeypatch.setattr(Walk, "advance", some)

    def set(self) -> None:
        self._set.set()

    def end(self) -> None:
        self._set.clear()
        self._ended.set()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endless]:
    endless = Endless(monkeypatch)
    yield endless
    endless.end()


async def test_a_call_does_not_wait_for_a_listing_that_only_makes_sure(root: Path, endless: Endless) -> None:
    """P1, P8: events tell of all that happened; what such a listing finds is for the next snapshot."""
    async with watched(root, rescan_seconds=0.1) as world:
        await world.barrier()
        endless.set()
        await world.until(endless.goes_on.is_set)
        write(root / "new/deep/er.jpg", b"new")
        (root / "keep.jpg").unlink()
        assert await world.barrier() == []
        assert world.inventory.contents() == world.on_disk()


async def test_a_call_waits_for_the_listing_that_makes_up_for_lost_events(
    root: Path, endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: also while one that only makes sure is under way."""
    monkeypatch.setattr("syncd.sources.hints.MOST_WAITING", 5)
    async with watched(root, rescan_seconds=0.1) as world:
        await world.barrier()
        endless.set()
        await world.until(endless.goes_on.is_set)
        for number in range(50):
            write(root / f"{number}.jpg")
        (left_out,) = await world.barrier(1)
        assert left_out.path == "."
        assert "a listing of all of it has not ended" in left_out.reason
        endless.end()
        assert await world.barrier() == []
        assert world.inventory.contents() == world.on_disk()


async def test_a_call_waits_for_the_listing_that_places_a_new_watcher(
    root: Path, endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: until it has ended, some directories are not watched, though the watcher answers."""
    raised = threading.Event()

    def watcher(*arguments: Any) -> Watcher:
        if not raised.is_set():
            raise WatchUnavailableError("the limit of inotify watches is reached")
        endless.set()
        return Watcher(*arguments)

    monkeypatch.setattr("syncd.sources.looking_loop.Watcher", watcher)
    async with watched(root, retry_watch_seconds=0.1) as world:
        await world.barrier()
        assert world.source.health().degraded
        raised.set()
        await world.until(endless.goes_on.is_set)
        (left_out,) = await world.barrier(1)
        assert "a listing of all of it has not ended" in left_out.reason
