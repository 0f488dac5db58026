"""The cron expression: each moment is dealt with once, missed ones are made up for once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

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
