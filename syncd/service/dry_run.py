"""What would happen: the real sources and the real decision, over a copy of the journal that is thrown away."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.journal import Journal, absence, pictures
from syncd.journal.journal import copy_to
from syncd.planner.decide import decide
from syncd.planner.facts import Facts
from syncd.service.engine import policies_of, utc_now
from syncd.service.facts import source_facts
from syncd.service.sources import make_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from syncd.config import Settings
    from syncd.sources.base import Source

MOST_CHANGES = 1000  # listed one by one


async def dry_run(settings: Settings, *, patience: timedelta) -> Mapping[str, Any]:
    """List the sources and return what differs from the newest snapshot; lakeFS is not asked.

    Raises:
        SourceUnavailableError: A source cannot be read.
    """
    deadline = utc_now() + patience
    with tempfile.TemporaryDirectory(prefix="syncd-plan-") as scratch:
        await asyncio.to_thread(copy_to, settings.service.state_dir, Path(scratch))
        async with Journal(Path(scratch)) as journal:
            sources = make_sources(settings, journal, utc_now, state_dir=Path(scratch))
            answers = [await source.scan_once(deadline) for source in sources]
            left_out = [{"path": one.path, "reason": one.reason} for answer in answers for one in answer]
            return {**await _planned(settings, journal, sources), "left_out": left_out}


async def _planned(settings: Settings, journal: Journal, sources: Sequence[Source]) -> dict[str, Any]:
    changes = await journal.read(pictures.waiting_changes, limit=MOST_CHANGES)
    totals = await journal.read(pictures.waiting_totals)
    await journal.write(absence.judge, utc_now(), policies_of(settings).limits)  # in the copy
    counts = {kind: totals.get(kind, (0, 0))[0] for kind in ("added", "changed", "deleted")}
    policies, now = policies_of(settings), utc_now()
    puts, deletes = await journal.due(now, policies.batch_objects)
    standing = await journal.standing(count_up_to=1)
    facts = Facts(
        prepared=True,
        open_snapshot=False,
        sources=tuple(source_facts(source) for source in sources),
        due_puts=puts,
        due_deletes=deletes,
        live_images=standing.live_images,
        absences=await journal.read(absence.absences, now),
    )
    decision = decide(facts, policies, now)
    return {
        "changes": [{"key": one.key, "kind": one.kind, "bytes": one.size_bytes} for one in changes],
        "more": sum(counts.values()) - len(changes),
        **counts,
        "bytes": sum(size_bytes for _, size_bytes in totals.values()),
        "hold": decision.hold,
        "why": decision.why,
    }
