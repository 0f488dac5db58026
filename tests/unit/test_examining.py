"""The journal is examined once the first listings are whole, whatever stands in the way for a while."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from syncd.errors import JournalBrokenError, JournalError
from syncd.service import run


class _Journal:
    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes, self.asked = list(outcomes), 0

    async def examine(self) -> None:
        self.asked += 1
        if outcome := self.outcomes.pop(0):
            raise outcome


class _Source:
    def __init__(self) -> None:
        self.complete = False

    def health(self) -> SimpleNamespace:
        return SimpleNamespace(complete=self.complete)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LOOK_EVERY_S", 0.001)


async def test_it_waits_for_the_first_listings() -> None:
    journal, source = _Journal(None), _Source()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(run._examine(SimpleNamespace(journal=journal, sources=[source])))
        await asyncio.sleep(0.02)
        assert journal.asked == 0
        source.complete = True
    assert journal.asked == 1


async def test_what_stands_in_its_way_for_a_while_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "EXAMINED_AFTER_S", 0.01)
    journal = _Journal(JournalError("no file can be opened"), JournalError("the disk is full"), None)
    async with asyncio.timeout(20):
        await run._examine(SimpleNamespace(journal=journal, sources=[]))
    assert journal.asked == 3


async def test_a_broken_one_is_the_loops_to_find() -> None:
    journal = _Journal(JournalBrokenError("it is damaged"))
    async with asyncio.timeout(20):
        await run._examine(SimpleNamespace(journal=journal, sources=[]))
    assert journal.asked == 1
