"""The newest lines of the log, as ``syncd tail`` asks for them."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from syncd.service import recent as room
from syncd.service.control import LONGEST_LINE_BYTES
from syncd.service.recent import KEPT, MOST, Recent


def told(recent: Recent, count: int) -> None:
    for number in range(count):
        recent(None, "info", {"event": f"e{number}"})


def test_it_keeps_the_newest_and_says_how_many_it_has_not() -> None:
    recent = Recent()
    told(recent, KEPT + 50)
    first = recent.after(0)
    assert [event["event"] for event in first["events"]] == [f"e{KEPT + 50 - MOST + n}" for n in range(MOST)]
    assert first["last"] == KEPT + 50
    assert first["missed"] == KEPT + 50 - MOST
    assert recent.after(first["last"]) == {"last": first["last"], "missed": 0, "events": []}
    told(recent, 2)
    assert [event["event"] for event in recent.after(first["last"])["events"]] == ["e0", "e1"]


async def test_who_waits_gets_what_comes_from_any_thread_and_nothing_once_the_time_is_up() -> None:
    recent = Recent()
    waiting = asyncio.create_task(recent.request({"wait_s": 10}))
    await asyncio.sleep(0)
    threading.Thread(target=told, args=(recent, 1)).start()
    assert [event["event"] for event in (await waiting)["events"]] == ["e0"]
    assert (await recent.request({"after": 1, "wait_s": 0.2}))["events"] == []


async def test_nobody_waits_longer_than_the_connection_should_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LONGEST_WAIT_S", 0.1)
    async with asyncio.timeout(5):
        assert (await Recent().request({"wait_s": 1e9}))["events"] == []


@pytest.mark.parametrize("character", ["x", "\x01", "é", "😀", "\udcff", '"'])
def test_an_answer_fits_a_line_of_the_control_socket_whatever_is_logged(character: str) -> None:
    recent, text = Recent(), character * 10**5
    for _ in range(MOST):
        recent(None, "info", {f"key{n}": text for n in range(8)} | {"list": [text], "none": None, "n": 1})
    assert len(json.dumps({"result": recent.after(0)})) < LONGEST_LINE_BYTES
