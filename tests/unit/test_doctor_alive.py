"""The clock and the answer of a server, over real connections."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from syncd.doctor.alive import ask, of_clock
from syncd.errors import StoreError
from tests.support.odd_servers import canned_server, hanging_up_server, silent_server


@pytest.mark.parametrize(
    ("off_s", "level", "said"),
    [
        (0, "ok", "agree to"),
        (20, "warn", "behind"),
        (-20, "warn", "ahead of"),
        (600, "fail", "signed requests are refused"),
        (-600, "fail", "signed requests are refused"),
    ],
)
async def test_the_clocks_are_compared(off_s: int, level: str, said: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=off_s), usegmt=True)
    async with canned_server("200 OK", b"alive!", {"Date": date}) as server:
        finding = of_clock(await asyncio.to_thread(ask, server.endpoint, None, limit_s=5))
    assert finding.level == level
    assert said in finding.fact
    assert ("timedatectl" in finding.fix) is (level != "ok")


async def test_a_server_without_a_date_is_no_fault() -> None:
    async with canned_server("200 OK", b"alive!", {"Date": "soon"}) as server:
        finding = of_clock(await asyncio.to_thread(ask, server.endpoint, None, limit_s=5))
    assert (finding.level, finding.fact) == ("ok", "lakeFS does not tell its time")


async def test_no_answer_is_an_error_that_says_what_to_do() -> None:
    for odd in (silent_server, hanging_up_server):
        async with odd() as server:
            with pytest.raises(StoreError) as told:
                await asyncio.to_thread(ask, server.endpoint, None, limit_s=0.3)
        assert "/_health" in told.value.next_step
