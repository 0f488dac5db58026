"""The keep rules, case by case: each with the words that `syncd retention plan` shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from syncd.planner.retention import KeepRules, judge
from tests.support.snapshots import snapshot


def made(*moments: str):
    """Snapshots made then, the oldest first; each is called by its time."""
    return [snapshot(moment, datetime.fromisoformat(moment).replace(tzinfo=UTC)) for moment in moments]


def kept(verdicts) -> dict[str, tuple[str, ...]]:
    return {one.snapshot.tag: one.reasons for one in verdicts if one.keep}


DAYS = made("2026-11-18T09:00", "2026-11-18T21:00", "2026-11-19T09:00", "2026-11-20T09:00", "2026-11-20T10:00")

CASES = [
    (
        "without a rule everything stays",
        KeepRules(),
        {
            "2026-11-18T09:00": ("every snapshot is kept: no keep rule is set",),
            "2026-11-18T21:00": ("every snapshot is kept: no keep rule is set",),
            "2026-11-19T09:00": ("every snapshot is kept: no keep rule is set",),
            "2026-11-20T09:00": ("every snapshot is kept: no keep rule is set",),
            "2026-11-20T10:00": ("newest", "every snapshot is kept: no keep rule is set"),
        },
    ),
    (
        "the last two",
        KeepRules(last=2),
        {"2026-11-20T09:00": ("one of the last 2",), "2026-11-20T10:00": ("newest", "one of the last 2")},
    ),
    (
        "the newest of each of two days",
        KeepRules(daily=2),
        {"2026-11-19T09:00": ("daily 2026-11-19",), "2026-11-20T10:00": ("newest", "daily 2026-11-20")},
    ),
    (
        "the oldest stays while there are fewer days than asked for",
        KeepRules(daily=7),
        {
            "2026-11-18T09:00": ("oldest, until there are 7 daily ones",),
            "2026-11-18T21:00": ("daily 2026-11-18",),
            "2026-11-19T09:00": ("daily 2026-11-19",),
            "2026-11-20T10:00": ("newest", "daily 2026-11-20"),
        },
    ),
    (
        "rules count each for itself",
        KeepRules(last=1, daily=1, weekly=1, monthly=1),
        {
            "2026-11-20T10:00": (
                "newest", "one of the last 1", "daily 2026-11-20", "weekly 2026-W47", "monthly 2026-11",
            )
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_rules(rules, expected):
    assert kept(judge(DAYS, rules)) == expected


def test_weeks_begin_on_monday_and_belong_to_the_year_of_their_thursday():
    snapshots = made("2026-12-27T12:00", "2026-12-28T12:00", "2027-01-03T12:00", "2027-01-04T12:00")
    assert kept(judge(snapshots, KeepRules(weekly=3))) == {
        "2026-12-27T12:00": ("weekly 2026-W52",),
        "2027-01-03T12:00": ("weekly 2026-W53",),
        "2027-01-04T12:00": ("newest", "weekly 2027-W01"),
    }


def test_months_without_a_snapshot_do_not_count():
    snapshots = made("2025-01-05T00:00", "2026-02-01T00:00", "2026-11-30T23:59")
    assert list(kept(judge(snapshots, KeepRules(monthly=2)))) == ["2026-02-01T00:00", "2026-11-30T23:59"]


def test_days_are_those_of_utc_whatever_the_time_zone():
    tokyo = timezone(timedelta(hours=9))
    early = snapshot("early", datetime(2026, 11, 20, 8, 30, tzinfo=tokyo))  # 23:30 the day before
    late = snapshot("late", datetime(2026, 11, 20, 9, 30, tzinfo=tokyo))
    assert kept(judge([early, late], KeepRules(daily=2))) == {
        "early": ("daily 2026-11-19",),
        "late": ("newest", "daily 2026-11-20"),
    }


def test_a_clock_that_was_set_back_makes_no_day_count_twice():
    snapshots = made("2026-11-18T09:00", "2026-11-19T09:00", "2026-11-20T09:00", "2026-11-19T10:00", "2026-11-20T08:00")
    assert kept(judge(snapshots, KeepRules(daily=2))) == {
        "2026-11-20T08:00": ("newest", "daily 2026-11-20"),
        "2026-11-19T10:00": ("daily 2026-11-19",),
    }


def test_what_is_pinned_or_in_use_stays_and_says_why():
    verdicts = judge(
        DAYS,
        KeepRules(last=1),
        pinned={DAYS[0].commit_id: "paper v1", DAYS[1].commit_id: ""},
        in_use=[DAYS[2].commit_id],
    )
    assert [(one.keep, one.reasons) for one in verdicts] == [
        (True, ("pinned: paper v1",)),
        (True, ("pinned",)),
        (True, ("in use",)),
        (False, ("no rule keeps it",)),
        (True, ("newest", "one of the last 1")),
    ]


def test_there_may_be_no_snapshot_yet():
    assert judge([], KeepRules(last=3, daily=3)) == []
