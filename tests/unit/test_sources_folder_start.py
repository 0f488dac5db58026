"""Calls while a listing prepares itself: what it will list is not listed again for them, and nothing is missed."""

from __future__ import annotations

import asyncio
import pkgutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sources.scans import Scans
from syncd.sources.sight import Sight
from syncd.sources.walk import Walk
from syncd.sources.watcher import Watcher, WatchUnavailableError
from tests.support.watching import watched, write

A_MOMENT_S = 0.01
LOOP = "syncd.sources.looking_loop."
LOOKER = "syncd.sources.looker.Looker."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root / "passed/keep.jpg", b"keep")
    return root


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return when full listings have begun."""
    begun, begin = list[float](), Scans.begin

    def noted(scans: Scans, now_s: float) -> None:
        begun.append(now_s)
        begin(scans, now_s)

    monkeypatch.setattr(Scans, "begin", noted)
    return begun


class Gate:
    """Holds up one of the source's threads, once a full listing has begun, until it is opened."""

    def __init__(self, begun: list[float]) -> None:
        self._begun = begun
        self.reached, self._open = threading.Event(), threading.Event()

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def held_up(*arguments: Any) -> Any:
            if self._begun:
                self.reached.set()
                self._open.wait(30)
            return function(*arguments)

        return held_up

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(begun: list[float]) -> Iterator[Gate]:
    gate = Gate(begun)
    yield gate
    gate.open()


@pytest.mark.parametrize("stage", [f"{LOOP}load_rules", f"{LOOKER}ground", f"{LOOP}Watcher", f"{LOOKER}watch_root"])
async def test_a_start_lists_everything_once_whenever_the_first_call_comes(
    root: Path, stage: str, gate: Gate, begun: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1, P8: of a million files, a second listing doubles what a start takes."""
    monkeypatch.setattr(stage, gate.before(pkgutil.resolve_name(stage)))
    async with watched(root) as world:
        await world.until(gate.reached.is_set)
        write(root / "new/deep/er.jpg", b"new")
        call = asyncio.create_task(world.barrier())
        await asyncio.sleep(5 * A_MOMENT_S)
        gate.open()
        assert await call == []
        assert world.inventory.contents() == world.on_disk()
        await world.until(lambda: not world.source.health().busy)
        assert len(begun) == 1


async def test_without_events_a_call_gets_a_listing_of_its_own(
    root: Path, gate: Gate, begun: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: the one that has begun may have passed by what changed before the call."""
    monkeypatch.setattr(f"{LOOKER}ground", gate.before(pkgutil.resolve_name(f"{LOOKER}ground")))
    async with watched(root, watch="polling", poll_seconds=600.0) as world:
        await world.until(gate.reached.is_set)
        call = asyncio.create_task(world.barrier())
        await asyncio.sleep(5 * A_MOMENT_S)
        gate.open()
        assert await call == []
        assert len(begun) == 2


async def test_a_call_does_not_wait_for_a_watcher_that_cannot_be(
    root: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Watcher:
        raise WatchUnavailableError("the limit of inotify instances is reached")

    monkeypatch.setattr(f"{LOOP}Watcher", gate.before(refused))
    async with watched(root) as world:
        await world.until(gate.reached.is_set)
        call = asyncio.create_task(world.barrier())
        await asyncio.sleep(5 * A_MOMENT_S)
        gate.open()
        assert await call == []
        assert world.source.health().degraded
        assert world.inventory.contents() == world.on_disk()


async def test_rules_that_change_before_the_folder_is_watched_are_in_force(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: no event tells of it."""
    write(root / "left-out.jpg")

    def late(*arguments: Any) -> Watcher:
        write(root / ".syncdignore", b"left-out.jpg\n")
        return Watcher(*arguments)

    monkeypatch.setattr(f"{LOOP}Watcher", late)
    async with watched(root) as world:
        assert await world.barrier() == []
        assert world.recorded == {"images/passed/keep.jpg"}


async def test_a_watcher_that_is_replaced_during_a_listing_does_not_count_where_it_has_passed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: only the next listing places watches everywhere."""
    passed, released, armed, watchers = threading.Event(), threading.Event(), threading.Event(), list[Watcher]()
    advance = Walk.advance

    def held_at_the_end(walk: Walk) -> Sight | None:
        sight = advance(walk)
        if sight is None and armed.is_set() and not released.is_set():
            passed.set()
            released.wait(A_MOMENT_S)
            return Sight()
        return sight

    def noted(*arguments: Any) -> Watcher:
        watchers.append(Watcher(*arguments))
        return watchers[-1]

    monkeypatch.setattr(Walk, "advance", held_at_the_end)
    monkeypatch.setattr(f"{LOOP}Watcher", noted)
    async with watched(root, rescan_seconds=0.1, probe_seconds=0.01) as world:
        await world.barrier()
        armed.set()
        await world.until(passed.is_set)
        watchers[-1].close()
        await world.until(lambda: world.source.health().watchers == 2)
        assert not watchers[-1].watches("passed/")
        write(root / "passed/new.jpg", b"new")
        call = asyncio.create_task(world.barrier())
        await asyncio.sleep(10 * A_MOMENT_S)
        released.set()
        assert await call == []
        assert world.inventory.contents() == world.on_disk()
