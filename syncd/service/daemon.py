"""The loop: look at the facts, decide, do it, and wait for something to change.

Everything else in syncd either feeds the facts (sources, the journal) or carries out an action (the uploader, the
committer). One task writes to the staging branch, and it is this one.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

import structlog

from syncd.errors import (
    JournalBrokenError,
    JournalError,
    NeedsPersonStoreError,
    NotFoundStoreError,
    StaleStoreError,
    StoreError,
    TransientStoreError,
)
from syncd.journal import absence
from syncd.ownership.lease import LeaseError
from syncd.planner.backoff import retry_at
from syncd.planner.decide import decide
from syncd.planner.facts import (
    Answer,
    CheckClosure,
    FailureFacts,
    JudgeDeletions,
    PassSchedule,
    Prepare,
    Publish,
    Resume,
    Stage,
)
from syncd.service.clock_watch import ClockWatch
from syncd.service.facts import gather
from syncd.service.live import Activity, Live
from syncd.service.pulse import Pulse
from syncd.service.waiting import wait_for

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.batch_run import BatchOutcome
    from syncd.model import Snapshot
    from syncd.planner.facts import Action, Plan
    from syncd.service.engine import Engine
    from syncd.tallies import Tallies

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Failure:
    """The store fails, and has not worked since."""

    facts: FailureFacts
    error: StoreError | JournalError


class Daemon:
    """Runs one dataset."""

    def __init__(self, engine: Engine, *, rng: random.Random | None = None, pulse: Pulse | None = None) -> None:
        self._engine = engine
        self.pulse = pulse or Pulse(engine.monotonic)
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._stopping = asyncio.Event()
        self._prepared = False
        self._clock_watch = ClockWatch(engine.clock, engine.monotonic)
        self.live = Live(since=engine.clock())
        self.failure: Failure | None = None

    @property
    def prepared(self) -> bool:
        """Whether lakeFS has been found to be as it must be, and nothing since says otherwise."""
        return self._prepared

    def stop(self) -> None:
        """Finish what is in flight, start nothing new, then return from :meth:`loop`."""
        self._stopping.set()
        self._engine.uploader.stop()
        self._engine.wake.set()

    def try_again(self) -> None:
        """Try what failed without further pause: a person has changed something."""
        self.failure = None
        self._engine.wake.set()

    async def loop(self) -> None:
        """Decide and act until stopped. A failing lakeFS or a full disk pauses it; neither ends it.

        Raises:
            JournalBrokenError: The journal cannot be trusted any more.
        """
        while not self._stopping.is_set():
            begun_s = self._engine.monotonic()
            with self.pulse.working():
                plan = await self._turn()
            if plan is not None and not plan.actions:
                looked_s = self._engine.monotonic() - begun_s
                await wait_for(self._engine, plan, self._stopping, looked_s=looked_s)

    async def _turn(self) -> Plan | None:
        self._engine.wake.clear()
        self._engine.journal.recorded.clear()
        last_request = self._engine.requests.newest()
        try:
            if by := self._clock_watch.set_by():
                await self._clock_was_set(by)
            now = self._engine.clock()
            failure = self.failure.facts if self.failure else None
            facts = await gather(self._engine, now, prepared=self._prepared, failure=failure)
            plan = decide(facts, self._engine.policies, now)
            self._note_hold(plan.hold)
            self.live.planned(plan)
            if self.failure is not None:
                self._engine.tallies.retries += bool(plan.actions)
                in_vain_up_to = self.failure.facts.last_request if self.failure.facts.needs_person else 0
                self._engine.requests.failed(self.failure.error, in_vain_up_to=in_vain_up_to)
            for action in plan.actions:
                await self._perform(action)
        except JournalBrokenError:
            raise  # this process must not go on; the next start examines the journal
        except (StoreError, JournalError) as error:
            self._failed(error, last_request)
            return None
        if self.failure is not None and _proves_more_than_that_it_answers(plan, self.failure.facts, now):
            self._worked()
        return plan

    async def _perform(self, action: Action) -> None:
        engine = self._engine
        match action:
            case Prepare():
                await engine.preparation.prepare()
                await engine.gate.begin()
                self._prepared = True
                engine.retention.begin()
            case Resume():
                with self.live.doing(Activity.COMMITTING):
                    snapshot = await engine.committer.resume()
                _count_snapshot(engine.tallies, snapshot)
                engine.retention.begin()
            case Publish(trigger=trigger, tag=tag):
                with self.live.doing(Activity.COMMITTING):
                    snapshot = await engine.committer.publish(
                        trigger, tag, engine.gate.pairings, reasons=engine.requests.reasons()
                    )
                _count_snapshot(engine.tallies, snapshot)
                engine.retention.begin()
            case CheckClosure(staged_at=staged_at):
                with self.live.doing(Activity.COMPARING):
                    await engine.gate.check(staged_at)
            case JudgeDeletions():
                await engine.journal.write(absence.judge, engine.clock(), engine.policies.limits)
            case Stage():
                with self.live.doing(Activity.UPLOADING):
                    outcome = await engine.uploader.stage(action)
                _count_batch(engine.tallies, outcome)
                await engine.gate.mend()
                if outcome.error is not None:
                    raise outcome.error
            case Answer(request_id=request_id, held=held):
                await engine.answer(request_id, held)
            case PassSchedule():
                engine.schedule_passed()
            case _:
                assert_never(action)

    async def _clock_was_set(self, by: timedelta) -> None:
        log.warning("clock_was_set", by_s=round(by.total_seconds(), 1))
        if by > timedelta(0):
            return  # what waits is due earlier
        now = self._engine.clock()
        if self.failure is not None:
            self.failure.facts = replace(self.failure.facts, last_at=min(self.failure.facts.last_at, now))
        await self._engine.clock_was_set_back(now)

    def _note_hold(self, hold: str) -> None:
        if hold and hold != self.live.hold:
            log.warning("held", why=hold)
        elif self.live.hold and not hold:
            log.info("hold_over")
        self._engine.tallies.holds += bool(hold and not self.live.hold)

    def _failed(self, error: StoreError | JournalError, last_request: int) -> None:
        now = self._engine.clock()
        in_a_row = self.failure.facts.in_a_row + 1 if self.failure else 1
        needs_person = isinstance(error, NeedsPersonStoreError | NotFoundStoreError)
        self._prepared = self._prepared and not needs_person and not isinstance(error, StaleStoreError)
        self._engine.tallies.failures[error.kind] += 1
        self.failure = Failure(
            FailureFacts(
                in_a_row=in_a_row,
                last_at=now,
                needs_person=needs_person,
                retry_after=_asked_pause(error),
                jitter=self._rng.random(),
                last_request=last_request,
            ),
            error,
        )
        self.live.next_decision_at = retry_at(self.failure.facts)
        if in_a_row == 1:
            log.warning("failing", error=str(error))
        else:
            log.debug("still_failing", error=str(error), failures_in_a_row=in_a_row)

    def _worked(self) -> None:
        if self.failure is not None:
            log.info("recovered", failures_in_a_row=self.failure.facts.in_a_row)
            self.failure = None


def _count_snapshot(tallies: Tallies, snapshot: Snapshot | None) -> None:
    if snapshot is not None:
        tallies.snapshots[snapshot.trigger.value] += 1


def _count_batch(tallies: Tallies, outcome: BatchOutcome) -> None:
    tallies.objects.update(
        uploaded=outcome.uploaded,
        copied=outcome.copied,
        deleted=outcome.deleted,
        changed_under_way=outcome.changed_under_way,
        refused=outcome.refused,
    )
    tallies.uploaded_bytes += outcome.sent_bytes


def _proves_more_than_that_it_answers(plan: Plan, failure: FailureFacts, now: datetime) -> bool:
    """Return whether a plan that was carried out shows that what failed works again: looking at the branches does not.

    Nor does a plan that waits for the next attempt; one without anything to do after it shows that nothing is wrong.
    """
    if plan.actions:
        return not all(isinstance(action, Prepare) for action in plan.actions)
    return now >= retry_at(failure)


def _asked_pause(error: Exception) -> timedelta | None:
    seconds = error.retry_after_s if isinstance(error, TransientStoreError | LeaseError) else None
    return None if seconds is None else timedelta(seconds=seconds)
