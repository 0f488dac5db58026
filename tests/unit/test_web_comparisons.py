"""Comparisons are kept for those who look, and let go of only once nobody reads them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.snapshots.comparison import Comparison
from syncd.snapshots.file_changes import Wanted
from syncd.snapshots.reference import Pinned
from syncd.store.base import ObjectReader
from syncd.web import comparisons as module
from syncd.web.comparisons import Comparisons, Kept
from syncd.web.readers import MOST_KEPT, Readers
from syncd.window import Shelf
from tests.support.snapshot_tables import TableSnapshots
from tests.support.stores import MemoryServer

NOBODY: Any = None  # who is not asked here
PATIENCE_S = 10.0


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Shelf, Pinned, Pinned]]:
    """A shelf with two snapshots; the second one has an image more."""
    async with MemoryServer().open("photos") as stores:
        await stores.versions.ensure_repository("local://photos", "main")
        await stores.versions.ensure_branch("staging", "main")
        snapshots = TableSnapshots(stores, tmp_path)
        await snapshots.put("images/a.png", b"a")
        left = await snapshots.take()
        await snapshots.put("images/b.png", b"b")
        right = await snapshots.take()
        known = {one.commit.id: one for one in (left, right)}

        @asynccontextmanager
        async def objects(commit: str) -> AsyncIterator[ObjectReader]:
            async with snapshots.objects_of(known[commit]) as opened:
                yield opened

        yield (
            Shelf(
                read=NOBODY,
                versions=stores.versions,
                pins=NOBODY,
                objects=objects,
                repository="photos",
                publish_branch="main",
                prefix="",
                pictures=tmp_path,
            ),
            left,
            right,
        )


async def test_one_is_made_for_all_who_look(tmp_path: Path) -> None:
    async with (
        two(tmp_path) as (shelf, left, right),
        Comparisons(shelf) as comparisons,
        comparisons.lend(left, right) as one,
        comparisons.lend(left, right) as other,
    ):
        assert one is other
        assert await one.read(lambda told: told.count(Wanted())) == 1


async def test_one_that_nobody_looks_at_goes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_EVERY_S", 0.01)
    monkeypatch.setattr(module, "IDLE_S", 0.05)
    async with two(tmp_path) as (shelf, left, right), Comparisons(shelf) as comparisons:
        async with comparisons.lend(left, right) as one:
            await one.read(lambda told: told.count(Wanted()))
            await asyncio.sleep(0.2)
            assert await one.read(lambda told: told.count(Wanted())) == 1, "somebody looks at it"
        async with asyncio.timeout(PATIENCE_S):
            while not one.gone:
                await asyncio.sleep(0.01)


async def test_a_query_that_nobody_waits_for_any_more_ends_before_its_comparison_goes(tmp_path: Path) -> None:
    """A database that is closed under a query takes the whole process with it."""
    begun, go_on, seen = threading.Event(), threading.Event(), list[str]()

    def query(told: Comparison) -> None:
        begun.set()
        go_on.wait(PATIENCE_S)
        seen.extend(one.path for one in told.page(Wanted(), limit=9))

    async with (
        two(tmp_path) as (shelf, left, right),
        Comparisons(shelf) as comparisons,
        comparisons.lend(left, right) as kept,
    ):
        reading = asyncio.create_task(kept.read(query))
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        reading.cancel()
        asyncio.get_running_loop().call_later(0.2, go_on.set)
    assert seen == ["images/b.png"]
    with pytest.raises(asyncio.CancelledError):
        await reading


@asynccontextmanager
async def busy(comparisons: Comparisons, left: Pinned, right: Pinned) -> AsyncIterator[tuple[Kept, threading.Event]]:
    """Lend a comparison that nobody looks at any more while a query of it still runs; the event ends the query."""
    begun, go_on = threading.Event(), threading.Event()

    def query(_told: Comparison) -> None:
        begun.set()
        go_on.wait(PATIENCE_S)

    async with comparisons.lend(left, right) as kept:
        reading = asyncio.create_task(kept.read(query))
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    try:
        yield kept, go_on
    finally:
        go_on.set()
        await reading


async def test_of_two_who_let_go_at_once_neither_loses_one_that_was_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(tmp_path) as (shelf, left, right), Comparisons(shelf) as comparisons:

        async def look() -> None:
            async with comparisons.lend(left, left):
                pass

        async with comparisons.lend(right, left) as other:
            assert await other.ready(PATIENCE_S)
        async with busy(comparisons, left, right) as (slow, go_on):
            monkeypatch.setattr(module, "IDLE_S", -1.0)  # both are let go of by whoever looks at another one
            first = asyncio.create_task(look())
            await asyncio.sleep(0)
            await look()
            async with comparisons.lend(right, left) as anew:
                assert anew is not other
                go_on.set()
                await first
                async with comparisons.lend(right, left) as again:
                    assert again is anew, "it was forgotten while somebody looks at it"
    assert slow.gone
    assert other.gone
    assert anew.gone


async def test_who_is_called_off_while_letting_go_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        two(tmp_path) as (shelf, left, right),
        Comparisons(shelf) as comparisons,
        busy(comparisons, left, right) as (slow, _),
    ):
        monkeypatch.setattr(module, "IDLE_S", -1.0)

        async def look() -> None:
            async with comparisons.lend(left, left):
                await asyncio.get_running_loop().create_future()

        looking = asyncio.create_task(look())
        await asyncio.sleep(0)
        looking.cancel()
        await asyncio.wait({looking})
    assert slow.gone


async def test_readers_are_closed_only_where_there_are_too_many(tmp_path: Path) -> None:
    opened, closed = list[str](), list[str]()

    @asynccontextmanager
    async def objects(commit: str) -> AsyncIterator[ObjectReader]:
        opened.append(commit)
        yield NOBODY
        closed.append(commit)

    async with two(tmp_path) as (shelf, _, _), Readers(replace(shelf, objects=objects)) as readers:
        commits = [str(number) for number in range(MOST_KEPT + 1)]
        for commit in [*commits[:-1], *commits[:-1]]:
            async with readers.lend(commit):
                pass
        assert (opened, closed) == (commits[:-1], [])
        async with readers.lend(commits[-1]):
            assert closed == commits[:1], "the longest unused"
    assert sorted(closed) == commits
