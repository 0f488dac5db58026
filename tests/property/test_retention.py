"""The keep rules over all histories: what holds whatever was made when, and whatever is asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import hypothesis.strategies as st
from hypothesis import given

from syncd.planner.retention import KeepRules, judge
from tests.support.snapshots import snapshot

MOMENTS = st.datetimes(
    min_value=datetime(2025, 12, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2027, 2, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
RULES = st.builds(KeepRules, **{name: st.integers(0, 4) for name in ("last", "daily", "weekly", "monthly")})


@st.composite
def histories(draw, *, sorted_times: bool = False):
    """Snapshots in the order they were made; clocks may have been set in between."""
    moments = draw(st.lists(MOMENTS, max_size=25))
    return [snapshot(f"s{number}", at) for number, at in enumerate(sorted(moments) if sorted_times else moments)]


def some_of(snapshots) -> st.SearchStrategy[set[str]]:
    ids = [one.commit_id for one in snapshots]
    return st.sets(st.sampled_from(ids)) if ids else st.just(set())


def kept(verdicts) -> list[str]:
    return [one.snapshot.tag for one in verdicts if one.keep]


@given(histories(), RULES, st.data())
def test_the_newest_and_whatever_someone_wants_stays(snapshots, rules, data):
    pinned, in_use = data.draw(some_of(snapshots)), data.draw(some_of(snapshots))
    verdicts = judge(snapshots, rules, pinned=dict.fromkeys(pinned, "why"), in_use=in_use)
    assert [one.snapshot for one in verdicts] == snapshots
    assert all(one.reasons for one in verdicts)
    assert not verdicts or verdicts[-1].keep
    assert all(one.keep for one in verdicts if one.snapshot.commit_id in pinned | in_use)


@given(histories(), RULES, st.data())
def test_applied_to_what_it_kept_it_removes_nothing_more(snapshots, rules, data):
    """So that a pass that was cut off, and is done again, ends where it would have ended."""
    pinned = dict.fromkeys(data.draw(some_of(snapshots)), "why")
    first = judge(snapshots, rules, pinned=pinned)
    left = [one.snapshot for one in first if one.keep]
    assert all(one.keep for one in judge(left, rules, pinned=pinned))


@given(histories(), RULES, st.data())
def test_what_is_removed_some_at_a_time_is_what_is_removed_at_once(snapshots, rules, data):
    doomed = [one.snapshot for one in judge(snapshots, rules) if not one.keep]
    gone = data.draw(st.sets(st.sampled_from(doomed))) if doomed else set()
    left = [one for one in snapshots if one not in gone]
    assert kept(judge(left, rules)) == kept(judge(snapshots, rules))


@given(histories(), RULES, st.sampled_from(["last", "daily", "weekly", "monthly"]), st.integers(1, 3))
def test_asking_for_more_keeps_more(snapshots, rules, rule, more):
    larger = replace(rules, **{rule: getattr(rules, rule) + more})
    if not rules.keep_all:
        assert set(kept(judge(snapshots, rules))) <= set(kept(judge(snapshots, larger)))


@given(histories(), RULES, st.data())
def test_a_pin_more_keeps_just_that_one_more(snapshots, rules, data):
    pinned = data.draw(some_of(snapshots))
    without, having = judge(snapshots, rules), judge(snapshots, rules, pinned=dict.fromkeys(pinned, ""))
    extra = {one.tag for one in snapshots if one.commit_id in pinned}
    assert set(kept(having)) == set(kept(without)) | extra


@given(histories(sorted_times=True), st.integers(1, 5))
def test_each_day_that_is_kept_is_kept_by_its_newest(snapshots, count):
    days: dict[str, str] = {f"{one.created_at:%Y-%m-%d}": one.tag for one in snapshots}
    newest = set(list(days.values())[-count:])
    oldest = {snapshots[0].tag} if snapshots and len(days) < count else set()
    assert set(kept(judge(snapshots, KeepRules(daily=count)))) == newest | oldest


@given(histories(), st.integers(1, 30))
def test_so_many_are_the_last(snapshots, count):
    assert kept(judge(snapshots, KeepRules(last=count))) == [one.tag for one in snapshots][-count:]
