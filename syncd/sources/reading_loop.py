"""Reading what has settled: a few jobs at a time, each of many files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from syncd.sources.reading import read_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.sources.ledger import Ledger
    from syncd.sources.pending import Candidate
    from syncd.sources.work import Work

JOBS = 3
JOB_FILES = 500
JOB_BYTES = 32 << 20


class ReadingLoop:
    """Takes settled files from pending, reads them in threads, and enters the outcomes."""

    def __init__(self, work: Work, ledger: Ledger) -> None:
        self._work, self._ledger = work, ledger
        self._jobs = 0

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Read until cancelled; the jobs are tasks of the group."""
        pending, loop = self._work.pending, asyncio.get_running_loop()
        while True:
            while self._jobs < JOBS and (candidates := pending.take(JOB_FILES, JOB_BYTES)):
                self._jobs += 1
                group.create_task(self._read(candidates))
            due = pending.next_due() if self._jobs < JOBS else None
            await self._work.progress.next(None if due is None else max(0.0, due - loop.time()))

    async def _read(self, candidates: Sequence[Candidate]) -> None:
        try:
            outcomes = await self._work.thread(read_files, self._work.looker, candidates)
            await self._ledger.enter_outcomes(outcomes)
        finally:
            self._jobs -= 1
        self._work.progress.made()
