"""Entering what was seen and read: absences and contents into the inventory, the rest into pending and problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.model import IMAGES, Observation, ProblemCode
from syncd.sources.tree import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.sources.reading import Outcome
    from syncd.sources.sight import Fault, Sight
    from syncd.sources.work import Work

RECORD_BATCH = 1_000
_GONE_BATCH = 10_000


class Ledger:
    """Enters looks and readings; the event loop's side of both."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def enter_sight(self, sight: Sight, reason: str) -> list[str]:
        """Enter one look; its absences are recorded when this returns.

        Return the directories that were gone and are there again: what is in them must be looked at.

        Args:
            sight: What was seen.
            reason: How it came to the look: "event", "scan", "poll" or "request".
        """
        pending, problems = self._work.pending, self._work.problems
        absent = [path for path in sight.absent if not pending.reading(path)]
        await self._record_absent(absent, reason)
        there_again = [directory for directory in sight.gone if not await self._record_gone(directory, reason)]
        for directory in sight.vanished:
            problems.clear_below(directory)
        for path in (*sight.quiet, *absent):
            pending.resolved(path)
            problems.clear(path)
        for fault in sight.faults:
            pending.resolved(fault.path)
            self._note(fault)
        for path, signature in sight.changed:
            if pending.changed(path, signature, reason):
                self._name_restless(path)
        await problems.flush()
        if sight.agreed:
            await self._work.inventory.note_listed(sight.agreed)
        self._work.progress.made()
        return there_again

    async def enter_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Enter what became of some readings; their contents are recorded when this returns."""
        pending, problems = self._work.pending, self._work.problems
        now = self._work.clock()
        await self._work.inventory.record(
            [
                Observation(
                    key=IMAGES + outcome.candidate.path,
                    fingerprint=outcome.fingerprint,
                    signature=outcome.candidate.signature,
                    observed_at=now,
                    reason=outcome.candidate.reason,
                )
                for outcome in outcomes
                if outcome.fingerprint is not None
            ]
        )
        for outcome in outcomes:
            path = outcome.candidate.path
            if outcome.fault is not None:
                self._note(outcome.fault)
            if outcome.held:
                if pending.held(path):
                    self._name_restless(path)
                continue
            pending.finished(path, recorded=outcome.fingerprint is not None or outcome.fault is not None)
            if outcome.fingerprint is not None:
                problems.clear(path)
        await problems.flush()
        self._work.progress.made()

    async def _record_gone(self, directory: str, reason: str) -> bool:
        """Record everything below a directory as absent, a batch at a time; return whether it stayed gone."""
        while True:
            paths = await self._work.thread(self._work.looker.gone_below, directory, _GONE_BATCH)
            if paths is None:
                return False
            absent = [path for path in paths if not self._work.pending.reading(path)]
            await self._record_absent(absent, reason)
            for path in absent:
                self._work.pending.resolved(path)
            if not absent or len(paths) < _GONE_BATCH:  # such as are being read are looked at again by themselves
                return True

    async def _record_absent(self, paths: Sequence[str], reason: str) -> None:
        for start in range(0, len(paths), RECORD_BATCH):
            now = self._work.clock()
            await self._work.inventory.record(
                [
                    Observation(key=IMAGES + path, fingerprint=None, signature=None, observed_at=now, reason=reason)
                    for path in paths[start : start + RECORD_BATCH]
                ]
            )

    def _note(self, fault: Fault) -> None:
        new = self._work.problems.note(fault.path, fault.code, fault.detail)
        if new and fault.code is ProblemCode.UNREADABLE:
            for newcomers in self._work.newcomers:
                newcomers[shown(fault.path)] = fault.detail

    def _name_restless(self, path: str) -> None:
        why, settle_seconds = self._work.pending.why(path), self._work.settings.settle_seconds
        detail = f"It is {why}, for a long time now. It is synced once it is left alone for {settle_seconds:g} s"
        self._work.problems.note(path, ProblemCode.NEVER_SETTLES, detail)
