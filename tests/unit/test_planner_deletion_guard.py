"""Which deletions wait for a person, by the planner (P5)."""

from __future__ import annotations

from dataclasses import replace

from syncd.model import Absences
from syncd.planner.decide import decide
from syncd.planner.facts import JudgeDeletions, RequestFacts, SourceFacts, Stage
from tests.support.planning import IMAGES, NOW, ago, delete, facts, policies, put, seconds

MANY = Absences(gone=60, waiting=60, images=100)
HELD = replace(MANY, held=True, judged_at=ago(1), revision=7)


def test_too_many_are_judged_before_anything_is_staged():
    known = facts(absences=MANY, due_puts=(put(),), due_deletes=(delete(),))
    (action,) = decide(known, policies(), NOW).actions
    assert isinstance(action, JudgeDeletions)


def test_while_they_are_held_additions_flow_and_deletions_do_not():
    known = facts(absences=HELD, revision=7, due_puts=(put(),), due_deletes=(delete(), delete("tables/labels.csv")))
    plan = decide(known, policies(), NOW)
    (stage,) = plan.actions
    assert [change.key for change in (*stage.puts, *stage.deletes)] == ["images/a.png", "tables/labels.csv"]
    assert plan.hold == (
        "60 of 100 images are gone from the source (60 %): 60 deletions wait. If that is intended: syncd approve."
        " If not, put the images back, or keep them published with syncd approve --discard"
    )


def test_what_a_person_agreed_to_goes():
    known = facts(absences=HELD, revision=7, due_deletes=(delete(), replace(delete("images/b.png"), agreed=True)))
    (stage,) = decide(known, policies(), NOW).actions
    assert isinstance(stage, Stage)
    assert [change.key for change in stage.deletes] == ["images/b.png"]


def test_even_the_last_image():
    known = facts(live_images=0, due_deletes=(replace(delete(), agreed=True), delete("images/b.png")))
    plan = decide(known, policies(), NOW)
    assert [change.key for change in plan.actions[0].deletes] == ["images/gone.png"]
    assert "every image is gone" in plan.hold


def test_a_hold_is_judged_again_once_something_has_changed_but_not_all_the_time():
    known = facts(absences=HELD, revision=8, due_deletes=(delete(),))
    plan = decide(known, policies(), NOW)
    assert (plan.actions, plan.wake_at) == ((), HELD.judged_at + seconds(5))
    (action,) = decide(known, policies(), NOW + seconds(5)).actions
    assert isinstance(action, JudgeDeletions)
    unchanged = facts(absences=HELD, revision=7, due_deletes=(delete(),))
    assert decide(unchanged, policies(), NOW + seconds(3600)).actions == ()


def test_a_hold_ends_when_nothing_is_gone_any_more():
    (action,) = decide(facts(absences=replace(HELD, gone=0), revision=8), policies(), NOW).actions
    assert isinstance(action, JudgeDeletions)


def test_a_call_is_refused_for_it_unless_it_takes_a_snapshot_without():
    known = facts(absences=HELD, revision=7, due_deletes=(delete(revision=3),), uncommitted=1)
    known = replace(known, waiting_since=NOW, last_change_at=NOW)
    for allow, kind in ((False, "Answer"), (True, "Publish")):
        request = RequestFacts(id=1, revision=5, allow_held=allow)
        plan = decide(replace(known, requests=(request,)), policies(), NOW)
        assert type(plan.actions[0]).__name__ == kind


def test_what_is_gone_is_not_judged_while_files_are_still_being_found():
    """A renamed folder looks like a deletion until its files have settled under their new names."""
    busy, settling = SourceFacts(name="images", complete=True, settling=0, busy=True), replace(IMAGES, settling=3)
    for source in (busy, settling):
        known = facts(absences=MANY, sources=(source,), due_puts=(put(),), due_deletes=(delete(since=ago(1)),))
        plan = decide(known, policies(), NOW)
        assert [change.key for change in (*plan.actions[0].puts, *plan.actions[0].deletes)] == ["images/a.png"]
        plan = decide(replace(known, due_puts=()), policies(), NOW)
        assert (plan.actions, plan.hold, plan.wake_at) == ((), "", NOW + seconds(0.5))
        request = RequestFacts(id=1, revision=5, allow_held=False)
        assert decide(replace(known, due_puts=(), requests=(request,), uncommitted=1), policies(), NOW).actions == ()
        (action,) = decide(known, policies(), NOW + seconds(30)).actions
        assert isinstance(action, JudgeDeletions)
