"""The cron expression: each moment is dealt with once, missed ones are made up for once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from syncd.service.schedule import Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_next_moment_is_in_the_schedules_own_time_zone():
    schedule = Schedule("0 3 * * *", BERLIN, started_at=at("2026-11-22T12:00"))
    assert schedule.next_moment(None) == at("2026-11-23T02:00")
    summer = Schedule("0 3 * * *", BERLIN, started_at=at("2026-07-22T12:00"))
    assert summer.next_moment(None) == at("2026-07-23T01:00")


def test_a_snapshot_deals_with_the_moments_before_it():
    schedule = Schedule("*/10 * * * *", ZoneInfo("UTC"), started_at=at("2026-11-22T12:00"))
    assert schedule.next_moment(at("2026-11-22T12:31")) == at("2026-11-22T12:40")


def test_moments_missed_while_it_was_down_are_made_up_for_once():
    schedule = Schedule("0 * * * *", ZoneInfo("UTC"), started_at=at("2026-11-22T12:30"))
    missed = schedule.next_moment(at("2026-11-22T08:15"))
    assert missed == at("2026-11-22T09:00")
    schedule.passed(at("2026-11-22T12:30"))
    assert schedule.next_moment(at("2026-11-22T08:15")) == at("2026-11-22T13:00")


def test_a_moment_in_the_hour_that_is_skipped_still_comes():
    """Clocks go forward at 02:00 on 2026-03-29: the snapshot of 02:30 is not lost."""
    schedule = Schedule("30 2 * * *", BERLIN, started_at=at("2026-03-28T12:00"))
    moment = schedule.next_moment(None)
    assert moment is not None
    assert moment - at("2026-03-29T01:00") < timedelta(hours=1)


def fired(expression: str, *, start: str, count: int) -> list[datetime]:
    """The moments of a schedule for which a snapshot is made at once."""
    schedule = Schedule(expression, BERLIN, started_at=at(start))
    found: list[datetime | None] = [None]
    for _ in range(count):
        found.append(schedule.next_moment(found[-1]))
    return [moment for moment in found if moment is not None]


def test_a_moment_in_the_hour_that_comes_twice_comes_once_and_an_hourly_one_in_both():
    """Clocks go back from 03:00 to 02:00 on 2026-10-25, at 01:00 UTC."""
    daily = fired("30 2 * * *", start="2026-10-23T12:00", count=3)
    assert daily == [at("2026-10-24T00:30"), at("2026-10-25T00:30"), at("2026-10-26T01:30")]
    hourly = fired("30 * * * *", start="2026-10-25T00:00", count=4)
    assert hourly == [at(f"2026-10-25T0{hour}:30") for hour in range(4)]


@pytest.mark.parametrize("minutes", range(0, 60, 10))
def test_a_snapshot_in_the_second_of_the_hours_brings_back_no_moment_of_the_first(minutes: int):
    """That moment is past: a loop that is told of it would find it due for half an hour, again and again."""
    now = at("2026-10-25T01:00") + timedelta(minutes=minutes)
    schedule = Schedule("30 2 * * *", BERLIN, started_at=at("2026-10-24T12:00"))
    assert schedule.next_moment(now) == at("2026-10-26T01:30")
    schedule.passed(now)
    assert schedule.next_moment(at("2026-10-25T00:31")) == at("2026-10-26T01:30")
    started = Schedule("30 2 * * *", BERLIN, started_at=now)
    assert started.next_moment(None) == at("2026-10-26T01:30")
