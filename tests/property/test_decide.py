"""What holds for every plan, whatever the facts, the policies and the time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from syncd.planner.backoff import LONGEST, retry_at
from syncd.planner.batching import next_batch
from syncd.planner.decide import decide
from syncd.planner.facts import Answer, CheckClosure, Facts, JudgeDeletions, Plan, Policies, Publish, Stage
from tests.support.planning import NOW, any_facts, any_policies, due, failures


def staged(plan: Plan) -> list[Stage]:
    return [action for action in plan.actions if isinstance(action, Stage)]


def published(plan: Plan) -> list[Publish]:
    return [action for action in plan.actions if isinstance(action, Publish)]


@given(any_facts(), any_policies)
def test_the_same_facts_give_the_same_plan(facts: Facts, policies: Policies) -> None:
    assert decide(facts, policies, NOW) == decide(facts, policies, NOW)


@given(any_facts(), any_policies)
def test_nothing_is_staged_or_published_beside_an_open_snapshot(facts: Facts, policies: Policies) -> None:
    """P4: what was begun is finished first, so that its commit holds what was written down for it."""
    plan = decide(replace(facts, open_snapshot=True), policies, NOW)
    assert not staged(plan)
    assert not published(plan)


@given(any_facts(), any_policies)
def test_staging_and_publishing_never_share_a_plan(facts: Facts, policies: Policies) -> None:
    """P2: no write is under way while a commit runs."""
    plan = decide(facts, policies, NOW)
    assert len(staged(plan)) + len(published(plan)) <= 1


@given(any_facts(), any_policies)
def test_a_commit_needs_something_uncommitted_and_nothing_uncertain(facts: Facts, policies: Policies) -> None:
    """P2: never an empty commit, never one whose content is not known."""
    if published(decide(facts, policies, NOW)):
        assert facts.uncommitted > 0
        assert facts.uncertain == 0
        assert facts.tables_under_way == 0


@given(any_facts(), any_policies)
def test_rows_and_images_are_compared_as_they_are_before_a_commit(facts: Facts, policies: Policies) -> None:
    """P3: what the comparison found still stands, and nothing that holds was found."""
    if published(decide(facts, policies, NOW)) and policies.checks_closure:
        assert facts.closure is not None
        assert facts.closure.staged_at == facts.staged_at
        assert not facts.closure.held


@given(any_facts(), any_policies)
def test_absence_is_carried_out_only_after_a_sound_listing(facts: Facts, policies: Policies) -> None:
    """P5: no delete while its source is not completely listed, nor when every image is gone.

    An image that is withheld is not absent: it leaves the branch by the word of a table, whatever the folder shows.
    """
    images = next(source for source in facts.sources if source.name == "images")
    for stage in staged(decide(facts, policies, NOW)):
        absent = [change for change in stage.deletes if change.key.startswith("images/") and not change.withheld]
        assert not absent or (images.complete and facts.live_images > 0)


@given(any_facts(), any_policies)
def test_no_image_goes_unasked_while_too_many_are_gone(facts: Facts, policies: Policies) -> None:
    """P5: neither while that is held nor before it is judged."""
    if facts.absences.held or facts.absences.beyond(policies.limits):
        for stage in staged(decide(facts, policies, NOW)):
            assert all(change.agreed or change.withheld for change in stage.deletes if change.key.startswith("images/"))


@given(any_facts(), any_policies)
def test_held_deletions_do_not_stop_uploads(facts: Facts, policies: Policies) -> None:
    """P5: additions flow while deletions wait."""
    closure = facts.closure and replace(facts.closure, images_stay_until=None)
    held = replace(facts, failure=None, prepared=True, open_snapshot=False, live_images=0, closure=closure)
    plan = decide(held, policies, NOW)
    compared = any(isinstance(action, CheckClosure | JudgeDeletions) for action in plan.actions)  # a step, as it is
    if held.due_puts and not published(plan) and not compared:
        assert staged(plan)[0].puts


@given(any_facts(), any_policies)
def test_a_request_is_answered_only_when_all_it_asked_for_is_published(facts: Facts, policies: Policies) -> None:
    """P1: a good answer comes when nothing up to its revision is unstaged or uncommitted."""
    plan = decide(facts, policies, NOW)
    asked = {request.id: request for request in facts.requests}
    for answer in plan.actions:
        if isinstance(answer, Answer) and not answer.held:
            revision = asked[answer.request_id].revision
            assert facts.uncommitted == 0
            assert facts.uncertain == 0
            assert all(change.revision > revision for change in facts.due_puts)


@given(any_facts(), any_policies)
def test_the_loop_never_spins(facts: Facts, policies: Policies) -> None:
    """Without an action the next moment lies ahead, or nothing is due at all."""
    plan = decide(facts, policies, NOW)
    if not plan.actions and plan.wake_at is not None and plan.wake_at <= NOW:
        # a trigger's moment has passed, and only something that happens can release it
        assert facts.uncertain or facts.tables_under_way or facts.blocked_until is not None
    assert plan.why


@given(any_facts(), any_policies)
def test_no_change_waits_longer_than_max_wait(facts: Facts, policies: Policies) -> None:
    """Whatever else arrives, the oldest staged change bounds the wait."""
    if policies.max_wait is None or facts.waiting_since is None or facts.failure or facts.uncertain:
        return
    if facts.tables_under_way or policies.checks_closure:
        return
    since = max(facts.waiting_since, facts.last_snapshot_at or facts.waiting_since)
    latest = since + policies.max_wait
    if facts.last_snapshot_at is not None:
        latest = max(latest, facts.last_snapshot_at + policies.min_interval)
    quiet = replace(facts, prepared=True, open_snapshot=False)
    if facts.uncommitted and latest <= NOW:
        plan = decide(quiet, policies, NOW)
        if any(isinstance(action, JudgeDeletions) for action in plan.actions):  # one write to the journal, before it
            held = bool(quiet.absences.gone)
            judged = replace(quiet.absences, held=held, judged_at=NOW, revision=quiet.revision)
            plan = decide(replace(quiet, absences=judged), policies, NOW)
        assert published(plan)


@given(failures)
def test_a_failing_store_is_left_alone_but_not_forgotten(failure) -> None:
    """The pause is at most a minute, or what the server asked for."""
    again = retry_at(failure)
    asked = failure.last_at + failure.retry_after if failure.retry_after else failure.last_at
    assert failure.last_at < again <= max(failure.last_at + LONGEST, asked)


@given(due(puts=True), due(puts=False), any_policies)
def test_a_batch_respects_its_limits_and_sends_deletes_last(puts, deletes, policies: Policies) -> None:
    """P7: bounded in objects and bytes; a delete never overtakes a put that is due."""
    batch = next_batch(puts, deletes, policies)
    if batch is None:
        assert not puts
        assert not deletes
        return
    assert len(batch.puts) + len(batch.deletes) <= policies.batch_objects
    size = sum(change.fingerprint.size_bytes for change in batch.puts)
    assert len(batch.puts) <= 1 or size <= policies.batch_bytes
    assert not batch.deletes or len(batch.puts) == len(puts)
    assert batch.puts == puts[: len(batch.puts)]
