"""The one decision everything else serves: what to do now, and when to look again.

Pure. Sources record facts, the loop in ``service/daemon.py`` carries out the plan, and this function is asked
again. It may be called at any time with any facts: a plan never depends on an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syncd.model import Trigger
from syncd.planner import backoff, closure, commit_policy, deletion_guard
from syncd.planner.batching import next_batch
from syncd.planner.facts import (
    Answer,
    CheckClosure,
    JudgeDeletions,
    PassSchedule,
    Plan,
    Prepare,
    Publish,
    Resume,
    Stage,
)
from syncd.planner.tag_name import render_tag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from syncd.model import PendingChange
    from syncd.planner.facts import Action, Facts, Policies, RequestFacts


_IN_VAIN = "its time has run out"
_HALF = "something of a table, or of an upload that failed, is not on the branch yet; syncd status says what and why"


def decide(facts: Facts, policies: Policies, now: datetime) -> Plan:
    """Return the plan for these facts at this time.

    The order of precedence is the order of the lines below: leave a failing store alone; know the branches;
    finish what was begun; publish when due; stage what is due; otherwise wait.
    """
    if (failure := facts.failure) is not None:
        called = any(request.id > failure.last_request for request in facts.requests)
        if now < (again := backoff.retry_at(failure, called=called)):
            return Plan(actions=(), wake_at=again, hold="", why="lakeFS failed; trying again after a pause")
    if not facts.prepared:
        return _only(Prepare(reason="repository and branches are not known to exist"))
    if facts.open_snapshot:
        return _only(Resume(reason="a snapshot was begun and is not finished"))
    if deletion_guard.must_judge(facts, policies, now):
        return _only(JudgeDeletions(reason="many images are gone from the source"))
    return _Situation.of(facts, policies, now).plan()


def _only(action: Prepare | Resume | JudgeDeletions) -> Plan:
    return Plan(actions=(action,), wake_at=None, hold="", why=action.reason)


@dataclass(frozen=True, slots=True)
class _Situation:
    """The facts once the guard and the limits have been applied to them."""

    facts: Facts
    policies: Policies
    now: datetime
    due: tuple[PendingChange, ...]  # what may be staged now, or once it is judged; puts first
    batch: Stage | None
    hold: str

    @classmethod
    def of(cls, facts: Facts, policies: Policies, now: datetime) -> _Situation:
        deletes, unjudged, hold = deletion_guard.split(facts, policies, now)
        held = (hold, *(source.hold for source in facts.sources), closure.overdue(facts, policies, now))
        hold = "; ".join(why for why in held if why)
        puts, going = (closure.stageable(changes, facts, now) for changes in (facts.due_puts, deletes))
        limits = policies if facts.failure is None else replace(policies, batch_objects=1)  # a probe, not an onslaught
        batch = next_batch(puts, going, limits)
        return cls(facts, policies, now, (*facts.due_puts, *deletes, *unjudged), batch, hold)

    def plan(self) -> Plan:
        unstaged_since = min((change.waiting_since for change in self.due), default=None)
        due = commit_policy.next_due(self.facts, self.policies, unstaged_since=unstaged_since)
        if (publish := self._publish(due)) is not None:
            return self._doing(publish)
        settled = self._answers() + self._passed_schedule()
        if self.batch is not None:
            return self._doing(*settled, self.batch)
        wake = [at for at in self._moments(due) if at]
        return Plan(actions=settled, wake_at=min(wake, default=None), hold=self.hold, why=self._waiting_for(due))

    def _doing(self, *actions: Action) -> Plan:
        return Plan(actions=actions, wake_at=None, hold=self.hold, why=actions[-1].reason)

    def _publish(self, due: commit_policy.Due | None) -> Publish | CheckClosure | None:
        """Nothing is committed while it is unknown what a key on the branch holds, or while something is half there."""
        wanted = self._wanted(due) if self.facts.uncommitted else None
        wait = closure.images_wait(self.due, self.facts, self.now)
        if not (wanted or wait) or self.facts.uncertain or self.facts.tables_under_way or self._paused:
            return None
        if closure.check_needed(self.facts, self.policies, self.now, more_to_stage=self.batch is not None):
            return CheckClosure(staged_at=self.facts.staged_at, reason="rows and images are compared before a snapshot")
        return None if self._unpaired else wanted

    @property
    def _paused(self) -> bool:
        """Whether nothing may be published, before all is there of what someone writes into the source."""
        return bool(self.facts.paused) and not any(one.ends_pause and self._staged_for(one) for one in self._served())

    def _wanted(self, due: commit_policy.Due | None) -> Publish | None:
        if any(self._staged_for(request) for request in self._served()):
            return self._publishing(Trigger.REQUEST, "a snapshot was asked for")
        if due is not None and due.at <= self.now:
            return self._publishing(due.trigger, due.reason)
        return None

    def _publishing(self, trigger: Trigger, reason: str) -> Publish:
        tag = render_tag(self.policies.tag_template, time=self.now, seq=self.facts.next_sequence)
        return Publish(trigger=trigger, tag=tag, reason=reason)

    def _staged_for(self, request: RequestFacts) -> bool:
        """Tell whether all that was observed before a request is on the branch, held deletions aside."""
        changing = self.facts.changing_revision
        if changing is not None and changing <= request.revision and not request.expired:
            return False
        return all(change.revision > request.revision for change in self.due)

    def _served(self) -> tuple[RequestFacts, ...]:
        """Return the requests that get a snapshot: all, unless something is held and they do not allow it."""
        return tuple(request for request in self.facts.requests if request.allow_held or not self.hold)

    def _answers(self) -> tuple[Answer, ...]:
        served = self._served()
        refused = [request for request in self.facts.requests if request not in served]
        answers = [Answer(request_id=r.id, held=self.hold, reason="something is held") for r in refused]
        staged = [request for request in served if self._staged_for(request)]
        if not self.facts.uncommitted and not self.facts.uncertain:
            answers += [Answer(request_id=r.id, held="", reason="the newest snapshot holds all of it") for r in staged]
        elif self.facts.paused:
            answers += [Answer(request_id=r.id, held=self.facts.paused, reason=_IN_VAIN) for r in served if r.expired]
        elif self.batch is None and (self.facts.tables_under_way or self.facts.uncertain):
            answers += [Answer(request_id=r.id, held=_HALF, reason=_IN_VAIN) for r in served if r.expired]
        elif self._unpaired:  # there is no snapshot without what does not fit, even for who would take one
            given_up = [request for request in staged if request.expired or self.hold]
            answers += [
                Answer(request_id=r.id, held=self._unpaired, reason="rows and images do not fit") for r in given_up
            ]
        return tuple(answers)

    def _passed_schedule(self) -> tuple[PassSchedule, ...]:
        at = self.facts.schedule_at
        idle = not self.facts.uncommitted and self.batch is None
        if at is None or at > self.now or not idle:
            return ()
        return (PassSchedule(at=at, reason="nothing to commit at the scheduled time"),)

    def _schedule_ahead(self) -> datetime | None:
        at = self.facts.schedule_at
        return at if at is not None and at > self.now else None

    @property
    def _unpaired(self) -> str:
        return closure.why_held(self.facts, self.policies)

    def _moments(self, due: commit_policy.Due | None) -> Iterator[datetime | None]:
        """Yield when something may be decided anew by the passing of time alone."""
        if self.facts.paused:
            pass  # it ends with a word, not at a time
        elif not self._unpaired or closure.staged_since(self.facts):
            yield due.at if due is not None else None
        elif self.facts.closure is not None and self.facts.closure.alert_at > self.now:
            yield self.facts.closure.alert_at
        if self.facts.closure is not None and closure.images_stay(self.facts, self.now):
            yield self.facts.closure.images_stay_until
        yield deletion_guard.judge_again_at(self.facts, self.policies, self.now)
        yield self.facts.blocked_until
        yield self._schedule_ahead()

    def _waiting_for(self, due: commit_policy.Due | None) -> str:
        if self.facts.paused:
            return f"nothing is published: {self.facts.paused}"
        settling = sum(source.settling for source in self.facts.sources)
        if settling:
            return f"{settling} files are still changing"
        if self._unpaired:
            return f"rows and images do not fit yet: {self._unpaired}"
        if due is not None:
            remaining = (due.at - self.now).total_seconds()
            return f"a snapshot is due in {remaining:.0f} s, unless more changes come ({due.trigger})"
        if self.facts.blocked_until is not None:
            return "some objects were refused and will be offered again"
        return "waiting for deletions to be safe" if self.hold else "in step with the source"
