"""The planner's rules, one case each: what is known, and what is done."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncd.model import Trigger
from syncd.planner.backoff import retry_at, retry_object_in
from syncd.planner.decide import decide
from syncd.planner.facts import (
    Answer,
    CheckClosure,
    ClosureFacts,
    FailureFacts,
    PassSchedule,
    Prepare,
    Publish,
    RequestFacts,
    Resume,
    Stage,
)
from tests.support.planning import IMAGES, LABELS, NOW, ago, delete, facts, policies, put, seconds


def request(revision: int = 5, *, allow_held: bool = False) -> RequestFacts:
    return RequestFacts(id=1, revision=revision, allow_held=allow_held)


def test_in_step_with_the_source_nothing_is_done():
    plan = decide(facts(), policies(), NOW)
    assert plan.actions == ()
    assert plan.wake_at is None
    assert plan.why == "in step with the source"


def test_an_unknown_repository_is_prepared_first():
    assert decide(facts(prepared=False), policies(), NOW).actions == (
        Prepare(reason="repository and branches are not known to exist"),
    )


def test_a_begun_snapshot_is_resumed_before_anything_is_staged():
    plan = decide(facts(open_snapshot=True, due_puts=(put(),)), policies(), NOW)
    assert isinstance(plan.actions[0], Resume)


def test_a_failing_store_is_left_alone_until_the_pause_is_over():
    failure = FailureFacts(in_a_row=3, last_at=ago(1), needs_person=False, retry_after=None, jitter=1.0)
    plan = decide(facts(failure=failure, due_puts=(put(),)), policies(), NOW)
    assert plan.actions == ()
    assert plan.wake_at == ago(1) + seconds(2)
    later = decide(facts(failure=failure, due_puts=(put(),)), policies(), NOW + seconds(1))
    assert isinstance(later.actions[0], Stage)


def test_retry_after_is_respected():
    failure = FailureFacts(in_a_row=1, last_at=NOW, needs_person=False, retry_after=seconds(90), jitter=0.0)
    assert decide(facts(failure=failure), policies(), NOW).wake_at == NOW + seconds(90)


def test_what_only_a_person_can_mend_is_tried_rarely():
    failure = FailureFacts(in_a_row=1, last_at=NOW, needs_person=True, retry_after=None, jitter=0.0)
    assert decide(facts(failure=failure), policies(), NOW).wake_at == NOW + seconds(5)


@pytest.mark.parametrize(("request_id", "pause_s"), [(3, 8), (4, 0.5)])
def test_who_calls_after_a_failure_is_served_without_further_pause(request_id, pause_s):
    failure = FailureFacts(in_a_row=6, last_at=ago(2), needs_person=False, retry_after=None, jitter=0.0, last_request=3)
    request = RequestFacts(id=request_id, revision=0, allow_held=False)
    plan = decide(facts(failure=failure, requests=(request,)), policies(), ago(2))
    assert plan.wake_at == ago(2) + seconds(pause_s)


def test_puts_and_deletes_that_are_due_go_into_one_batch():
    plan = decide(facts(due_puts=(put(),), due_deletes=(delete(),)), policies(), NOW)
    assert plan.actions == (
        Stage(puts=(put(),), deletes=(delete(),), reason="1 to upload and 1 to delete on the staging branch"),
    )


def test_deletes_wait_for_a_batch_that_takes_every_put():
    puts = tuple(put(f"images/{n}.png", revision=n) for n in range(1, 11))
    plan = decide(facts(due_puts=puts, due_deletes=(delete(),)), policies(batch_objects=10), NOW)
    assert plan.actions[0].deletes == ()


def test_a_batch_is_cut_at_its_bytes_but_a_large_object_travels_alone():
    puts = (put("images/large.png", size=5000), put("images/next.png"))
    assert decide(facts(due_puts=puts), policies(), NOW).actions[0].puts == puts[:1]


@pytest.mark.parametrize(
    ("source", "live", "words"),
    [
        (IMAGES.__class__(name="images", complete=False, settling=0), 10, "not been listed"),
        (
            IMAGES.__class__(name="images", complete=False, settling=0, reason="it is gone"),
            10,
            "it is gone",
        ),
        (IMAGES, 0, "every image is gone"),
    ],
)
def test_an_unsound_source_deletes_nothing(source, live, words):
    """P5: the deletion is held, with the reason; nothing else stops."""
    plan = decide(
        facts(sources=(source, LABELS), live_images=live, due_deletes=(delete(),), due_puts=(put(),)),
        policies(),
        NOW,
    )
    assert plan.actions[0].deletes == ()
    assert plan.actions[0].puts == (put(),)
    assert words in plan.hold


def test_a_hold_alone_is_said_in_the_plan():
    plan = decide(facts(live_images=0, due_deletes=(delete(),)), policies(), NOW)
    assert plan.actions == ()
    assert plan.why == "waiting for deletions to be safe"


def test_a_table_row_file_may_be_deleted_while_images_are_not_listed():
    unlisted = IMAGES.__class__(name="images", complete=False, settling=0)
    gone = delete("tables/old.csv")
    plan = decide(facts(sources=(unlisted, LABELS), due_deletes=(gone,)), policies(), NOW)
    assert plan.actions[0].deletes == (gone,)


@pytest.mark.parametrize(
    ("trigger", "known", "limits"),
    [
        (Trigger.QUIET, {"last_change_at": ago(31)}, {}),
        (Trigger.MAX_WAIT, {"last_change_at": ago(1), "waiting_since": ago(601)}, {}),
        (Trigger.MAX_CHANGES, {"last_change_at": ago(1), "uncommitted": 100}, {}),
        (Trigger.SCHEDULE, {"last_change_at": ago(1), "schedule_at": ago(1)}, {}),
        (Trigger.SCHEDULE, {"schedule_at": ago(1)}, {"quiet": None, "max_wait": None, "max_changes": None}),
    ],
)
def test_each_trigger_publishes(trigger, known, limits):
    values = {"uncommitted": 1, "waiting_since": ago(40), "next_sequence": 7} | known
    (action,) = decide(facts(**values), policies(**limits), NOW).actions
    assert isinstance(action, Publish)
    assert action.trigger is trigger
    assert action.tag == "snap-7"


@pytest.mark.parametrize(
    "known",
    [
        {"last_change_at": ago(29)},
        {"last_change_at": None},
        {
            "last_change_at": ago(31),
            "sources": (IMAGES.__class__(name="images", complete=True, settling=2),),
        },
        {"last_change_at": ago(31), "uncommitted": 0},
        {"last_change_at": ago(31), "uncertain": 1},
        {"last_change_at": ago(1), "waiting_since": ago(599)},
        {"last_change_at": ago(1), "waiting_since": ago(9999), "last_snapshot_at": ago(10)},
        {"last_change_at": ago(1), "uncommitted": 99},
        {"last_change_at": ago(1), "schedule_at": NOW + seconds(1)},
    ],
)
def test_nothing_is_published_before_its_time(known):
    values = {"uncommitted": 1, "waiting_since": ago(40)} | known
    assert decide(facts(**values), policies(), NOW).actions == ()


def test_the_wait_says_what_it_waits_for():
    settling = IMAGES.__class__(name="images", complete=True, settling=2)
    assert decide(facts(sources=(settling,)), policies(), NOW).why == "2 files are still changing"
    waiting = facts(uncommitted=1, waiting_since=ago(10), last_change_at=ago(10))
    plan = decide(waiting, policies(), NOW)
    assert plan.why == "a snapshot is due in 20 s, unless more changes come (quiet)"
    assert plan.wake_at == NOW + seconds(20)
    blocked = decide(facts(blocked_until=NOW + seconds(9)), policies(), NOW)
    assert blocked.why == "some objects were refused and will be offered again"
    assert blocked.wake_at == NOW + seconds(9)


def test_with_every_trigger_off_only_a_request_publishes():
    off = policies(quiet=None, max_wait=None, max_changes=None)
    waiting = facts(uncommitted=1, waiting_since=ago(9999))
    assert decide(waiting, off, NOW).actions == ()
    asked = facts(uncommitted=1, waiting_since=ago(9999), requests=(request(),))
    assert decide(asked, off, NOW).actions[0].trigger is Trigger.REQUEST


def test_snapshots_keep_their_distance():
    near = facts(uncommitted=1, waiting_since=ago(40), last_change_at=ago(40), last_snapshot_at=ago(50))
    plan = decide(near, policies(min_interval=seconds(60)), NOW)
    assert plan.actions == ()
    assert plan.wake_at == NOW + seconds(10)
    first = facts(uncommitted=1, waiting_since=ago(40), last_change_at=ago(40), last_snapshot_at=None)
    assert decide(first, policies(min_interval=seconds(60)), NOW).actions


def test_a_backlog_is_not_committed_batch_by_batch():
    """What waited while lakeFS was away is older than max_wait; the next commit counts from the last snapshot."""
    behind = facts(
        uncommitted=50,
        waiting_since=ago(9999),
        last_change_at=ago(9000),
        last_snapshot_at=ago(5),
        due_puts=(put(since=ago(9999)),),
    )
    assert isinstance(decide(behind, policies(), NOW).actions[0], Stage)


def test_a_request_is_served_before_the_batch_of_later_changes():
    """P1: what is staged up to the barrier is published at once; later changes do not delay it."""
    plan = decide(facts(uncommitted=1, requests=(request(5),), due_puts=(put(revision=6),)), policies(), NOW)
    assert isinstance(plan.actions[0], Publish)
    earlier = decide(facts(uncommitted=1, requests=(request(5),), due_puts=(put(revision=5),)), policies(), NOW)
    assert isinstance(earlier.actions[0], Stage)


def test_a_request_waits_for_deletes_that_do_not_fit_into_the_batch():
    """P1: a full batch of newer puts does not hide an older delete."""
    plan = decide(
        facts(
            uncommitted=1,
            requests=(request(5),),
            due_puts=tuple(put(f"images/{n}.png", revision=6 + n) for n in range(10)),
            due_deletes=(delete(revision=4),),
        ),
        policies(),
        NOW,
    )
    assert isinstance(plan.actions[0], Stage)


def test_a_request_waits_for_a_file_that_changed_under_way_until_its_time_runs_out():
    """P1: the file was in place before the call, so it is waited for; then it is left out, and named."""
    known = {"uncommitted": 1, "waiting_since": ago(1), "last_change_at": ago(1), "changing_revision": 5}
    assert decide(facts(requests=(request(5),), **known), policies(), NOW).actions == ()
    assert decide(facts(requests=(request(4),), **known), policies(), NOW).actions
    expired = RequestFacts(id=1, revision=5, allow_held=False, expired=True)
    assert isinstance(decide(facts(requests=(expired,), **known), policies(), NOW).actions[0], Publish)


def test_a_request_with_nothing_to_commit_gets_the_newest_snapshot():
    plan = decide(facts(requests=(request(),), due_puts=(put(revision=9),)), policies(), NOW)
    assert plan.actions[0] == Answer(request_id=1, held="", reason="the newest snapshot holds all of it")
    assert isinstance(plan.actions[1], Stage)


def test_a_request_under_a_hold_ends_with_the_reason_unless_it_allows_it():
    held = {"live_images": 0, "due_deletes": (delete(),), "uncommitted": 1, "waiting_since": ago(1)}
    held |= {"last_change_at": ago(1)}
    plan = decide(facts(requests=(request(),), **held), policies(), NOW)
    assert "every image is gone" in plan.actions[0].held
    allowed = decide(facts(requests=(request(allow_held=True),), **held), policies(), NOW)
    assert isinstance(allowed.actions[0], Publish)


def test_the_schedule_first_stages_what_was_seen_before_its_moment():
    due = {"uncommitted": 1, "waiting_since": ago(20), "last_change_at": ago(1), "schedule_at": ago(5)}
    before = decide(facts(due_puts=(put(since=ago(6)),), **due), policies(), NOW)
    assert isinstance(before.actions[0], Stage)
    after = decide(facts(due_puts=(put(since=ago(4)),), **due), policies(), NOW)
    assert after.actions[0].trigger is Trigger.SCHEDULE


def test_a_scheduled_moment_with_nothing_to_commit_passes():
    plan = decide(facts(schedule_at=ago(5)), policies(), NOW)
    assert plan.actions == (PassSchedule(at=ago(5), reason="nothing to commit at the scheduled time"),)
    ahead = decide(facts(schedule_at=NOW + seconds(5)), policies(), NOW)
    assert ahead.actions == ()
    assert ahead.wake_at == NOW + seconds(5)


def test_a_refused_object_is_offered_again_ever_more_rarely():
    pauses = [retry_object_in(attempts) for attempts in (1, 2, 3, 8, 50)]
    assert pauses == [seconds(30), seconds(60), seconds(120), timedelta(hours=1), timedelta(hours=1)]


def compared(held: str = "", *, staged_at: int = 7, alert_in: float = 60, recheck_in: float = 0) -> ClosureFacts:
    return ClosureFacts(
        staged_at=staged_at, held=held, alert_at=NOW + seconds(alert_in), recheck_at=NOW + seconds(recheck_in)
    )


def test_a_commit_waits_for_a_table_that_is_half_staged():
    """P2: no snapshot holds half a table."""
    plan = decide(facts(uncommitted=3, waiting_since=ago(999), tables_under_way=1), policies(), NOW)
    assert plan.actions == ()


def test_rows_and_images_are_compared_when_a_snapshot_is_due():
    """P3: and only then; what was compared is believed until more is staged."""
    due = {"uncommitted": 3, "waiting_since": ago(999), "staged_at": 7}
    check = CheckClosure(staged_at=7, reason="rows and images are compared before a snapshot")
    asked = policies(checks_closure=True)
    assert decide(facts(**due), asked, NOW).actions == (check,)
    assert decide(facts(**due, closure=compared(staged_at=6)), asked, NOW).actions == (check,)
    assert isinstance(decide(facts(**due, closure=compared()), asked, NOW).actions[0], Publish)
    assert decide(facts(**due | {"waiting_since": NOW}, last_change_at=NOW), asked, NOW).actions == ()


def test_what_does_not_fit_is_waited_for_and_then_said():
    """P3: nothing is published meanwhile; a person is told only once the wait is over."""
    due = {"uncommitted": 3, "waiting_since": ago(999), "staged_at": 7}
    asked, unfit = policies(checks_closure=True), compared("labels: 1 row without its image")
    plan = decide(facts(**due, closure=unfit), asked, NOW)
    assert (plan.actions, plan.hold, plan.wake_at) == ((), "", unfit.alert_at)
    assert "labels: 1 row without its image" in plan.why
    late = decide(facts(**due, closure=unfit), asked, unfit.alert_at)
    assert (late.actions, late.hold, late.wake_at) == ((), "labels: 1 row without its image", None)


def test_while_a_backlog_is_staged_a_comparison_that_failed_is_not_repeated_with_each_batch():
    due = {"uncommitted": 3, "waiting_since": ago(999), "staged_at": 8, "due_puts": (put(),)}
    asked = policies(checks_closure=True)
    early = decide(facts(**due, closure=compared("x", recheck_in=5)), asked, NOW)
    assert isinstance(early.actions[0], Stage)
    again = decide(facts(**due, closure=compared("x")), asked, NOW)
    assert isinstance(again.actions[0], CheckClosure)


@pytest.mark.parametrize(("expired", "alert_in", "answered"), [(False, 60, 0), (True, 60, 1), (False, 0, 1)])
@pytest.mark.parametrize("allow_held", [False, True])
def test_a_call_is_told_what_does_not_fit_once_waiting_is_over(expired, alert_in, answered, allow_held):
    """P3: there is no snapshot without it, also for who would take one without held deletions."""
    call = RequestFacts(id=1, revision=5, allow_held=allow_held, expired=expired)
    unfit = compared("labels: 1 row without its image", alert_in=alert_in)
    known = facts(uncommitted=3, waiting_since=ago(9), staged_at=7, closure=unfit, requests=(call,))
    plan = decide(known, policies(checks_closure=True), NOW)
    assert [action.held for action in plan.actions] == ["labels: 1 row without its image"] * answered


def test_nothing_is_held_for_closure_when_nothing_waits():
    plan = decide(facts(closure=compared("x", alert_in=0)), policies(checks_closure=True), NOW)
    assert (plan.actions, plan.hold) == ((), "")


@pytest.mark.parametrize("stuck", [{"tables_under_way": 1}, {"uncertain": 1}])
def test_a_call_whose_time_has_run_out_is_told_of_a_table_that_cannot_be_staged(stuck):
    """P8: lakeFS has refused a part of it, say; while something can be staged that is done instead."""
    call = RequestFacts(id=1, revision=5, allow_held=False, expired=True)
    known = facts(uncommitted=3, waiting_since=ago(9), requests=(call,), **stuck)
    (answer,) = decide(known, policies(), NOW).actions
    assert "not on the branch yet" in answer.held
    assert decide(facts(requests=(request(),), uncommitted=3, **stuck), policies(), NOW).actions == ()


def test_a_list_of_what_does_not_fit_is_withdrawn_although_its_table_cannot_be_read():
    unread = LABELS.__class__(name="labels", complete=False, settling=0)
    gone = delete("tables/labels/_closure.json")
    plan = decide(facts(sources=(IMAGES, unread), due_deletes=(gone,)), policies(), NOW)
    assert plan.actions[0].deletes == (gone,)


def test_the_loop_wakes_for_a_comparison_that_may_fit_by_now():
    """While something else holds deletions back: what was staged since may be the missing half."""
    known = facts(
        uncommitted=3,
        waiting_since=ago(9),
        last_change_at=ago(1),
        staged_at=8,
        live_images=0,
        due_deletes=(delete(),),
        closure=compared("labels: 1 row without its image", alert_in=0),
    )
    assert decide(known, policies(checks_closure=True), NOW).wake_at == ago(1) + seconds(30)


def test_what_waits_for_another_syncd_is_looked_at_at_a_steady_pace():
    failure = FailureFacts(in_a_row=9, last_at=NOW, needs_person=True, retry_after=seconds(15), jitter=0.9)
    assert retry_at(failure) == NOW + seconds(15)


def test_while_someone_writes_into_the_source_nothing_is_published_and_changes_are_still_staged():
    paused = {
        "paused": "snap-1 is being restored",
        "uncommitted": 3,
        "waiting_since": ago(3600),
        "last_change_at": ago(99),
    }
    plan = decide(facts(**paused), policies(), NOW)
    assert plan.actions == ()
    assert plan.wake_at is None, "it ends with a word, not at a time"
    assert plan.why == "nothing is published: snap-1 is being restored"
    staging = decide(facts(**paused, due_puts=(put(),)), policies(), NOW)
    assert [type(action) for action in staging.actions] == [Stage]
    assert [type(a) for a in decide(facts(**(paused | {"paused": ""})), policies(), NOW).actions] == [Publish]


def test_a_call_waits_for_the_end_of_a_pause_and_is_told_of_it_when_its_time_runs_out():
    known = {"paused": "snap-1 is being restored", "uncommitted": 3}
    call = RequestFacts(id=1, revision=5, allow_held=False)
    assert decide(facts(**known, requests=(call,)), policies(), NOW).actions == ()
    late = RequestFacts(id=1, revision=5, allow_held=False, expired=True)
    (answer,) = decide(facts(**known, requests=(late,)), policies(), NOW).actions
    assert answer == Answer(request_id=1, held="snap-1 is being restored", reason="its time has run out")
    in_step = decide(facts(paused="snap-1 is being restored", requests=(call,)), policies(), NOW)
    assert [(a.request_id, a.held) for a in in_step.actions] == [(1, "")], "the newest snapshot holds all of it"


def test_a_pause_ends_with_the_snapshot_of_who_made_it_and_of_nobody_else():
    """All of it is observed by then; a part of it on the branch is no snapshot."""
    known = {
        "paused": "snap-1 is being restored",
        "uncommitted": 3,
        "waiting_since": ago(3600),
        "last_change_at": ago(99),
    }
    other = RequestFacts(id=1, revision=5, allow_held=False)
    its = RequestFacts(id=2, revision=9, allow_held=False, ends_pause=True)
    half = decide(facts(**known, requests=(other, its), due_puts=(put(revision=8),)), policies(), NOW)
    assert [type(action) for action in half.actions] == [Stage]
    whole = decide(facts(**known, requests=(other, its), due_puts=(put(revision=10),)), policies(), NOW)
    assert [type(action) for action in whole.actions] == [Publish]
