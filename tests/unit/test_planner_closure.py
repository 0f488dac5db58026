"""What is believed of a comparison of rows and images, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.planner.closure import overdue, stageable
from syncd.planner.decide import decide
from syncd.planner.facts import ClosureFacts, RequestFacts
from tests.support.planning import NOW, ago, delete, facts, policies, put, seconds

UNFIT = "labels: 1 row without its image"
CHECKED = ClosureFacts(staged_at=7, held=UNFIT, alert_at=ago(1), recheck_at=ago(1))
CALL = RequestFacts(id=1, revision=5, allow_held=False)


def said(**changes: object) -> str:
    """What a person is told, with a comparison that did not fit, long ago, of what is staged now."""
    known = {"uncommitted": 3, "staged_at": 7, "closure": CHECKED, "requests": (CALL,)}
    return overdue(facts(**known | changes), policies(checks_closure=True), NOW)


def test_a_call_is_refused_for_what_the_newest_comparison_found():
    assert said() == UNFIT


@pytest.mark.parametrize(
    "on_its_way",
    [
        {"staged_at": 8},
        {"due_puts": (put(revision=5),)},
        {"due_deletes": (delete(revision=5),)},
        {"tables_under_way": 1},
    ],
)
def test_a_call_is_not_refused_while_what_it_waits_for_may_make_it_fit(on_its_way):
    """P1: what came just before the call is staged and compared first. Without a call it stays said."""
    assert said(**on_its_way) == ""


def test_what_was_found_is_said_while_more_is_staged_and_not_once_all_of_it_is():
    """There may be another comparison for each batch of a backlog, and none may change a thing."""
    assert said(requests=(), staged_at=8, due_puts=(put(),)) == UNFIT
    assert said(requests=(), staged_at=8, tables_under_way=1) == UNFIT
    assert said(requests=(), staged_at=8) == ""


def test_the_loop_wakes_up_when_what_was_staged_since_may_be_published():
    """P4: what was missing has come; else it would sleep through the quiet time, and on."""
    known = facts(uncommitted=3, waiting_since=ago(9), last_change_at=ago(1), staged_at=8, closure=CHECKED)
    plan = decide(known, policies(checks_closure=True), NOW)
    assert (plan.actions, plan.hold, plan.wake_at) == ((), "", ago(1) + seconds(30))


def test_what_came_after_all_calls_puts_no_answer_off():
    assert said(due_puts=(put(revision=6),), due_deletes=(delete(revision=9),)) == UNFIT


# Under exclude, while a table is read again to fit the images on the branch.

READ_AGAIN = replace(CHECKED, images_stay_until=NOW + seconds(60), alert_at=NOW + seconds(600))


def test_images_stay_as_they_are_for_as_long_as_a_table_is_read_again_to_fit_them():
    """Else those that keep coming would keep the two from ever fitting."""
    image, part = put("images/new.png"), put("tables/labels/part-0.parquet")
    gone, unnamed = delete("images/gone.png"), replace(delete("images/unnamed.png"), withheld=True)
    known = facts(uncommitted=3, staged_at=7, closure=READ_AGAIN, due_puts=(image, part))
    assert stageable((image, part), known, NOW) == (part,)
    assert stageable((gone, unnamed), known, NOW) == (unnamed,)
    assert stageable((image, part, gone), known, NOW + seconds(60)) == (image, part, gone)
    (stage,) = decide(known, policies(checks_closure=True), NOW).actions
    assert stage.puts == (part,)


def test_the_end_of_that_time_is_one_to_wake_up_for():
    known = facts(uncommitted=3, staged_at=7, closure=READ_AGAIN, due_puts=(put("images/new.png"),), waiting_since=NOW)
    plan = decide(known, policies(checks_closure=True), NOW)
    assert (plan.actions, plan.wake_at) == ((), NOW + seconds(60))


def test_once_the_table_is_there_they_are_compared_for_the_images_that_wait_and_not_at_the_end_of_that_time():
    """P1: no trigger is due and no call is served while an image is unstaged, so none of them would ask for it."""
    image = put("images/new.png", revision=5)
    known = facts(
        uncommitted=3, staged_at=8, closure=READ_AGAIN, due_puts=(image,), waiting_since=NOW, requests=(CALL,)
    )
    (check,) = decide(known, policies(checks_closure=True), NOW).actions
    assert check.staged_at == 8
    (check,) = decide(replace(known, uncommitted=0, requests=()), policies(checks_closure=True), NOW).actions
    assert check.staged_at == 8
    for under_way in ({"tables_under_way": 1}, {"uncertain": 1}):
        plan = decide(replace(known, **under_way), policies(checks_closure=True), NOW)
        assert not plan.actions
