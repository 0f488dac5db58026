"""Gathers what a decision needs: from the journal, the sources, and the calls that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.journal.look import look_for_plan
from syncd.planner.facts import Facts, SourceFacts

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.planner.facts import FailureFacts
    from syncd.service.engine import Engine
    from syncd.sources.base import Source

COUNT_UP_TO = 1  # where snapshot.max_changes is off, nobody asks but whether there is any


async def gather(engine: Engine, now: datetime, *, prepared: bool, failure: FailureFacts | None) -> Facts:
    """Return the facts at this time; costs one read of the journal, a handful of index look-ups."""
    # The calls first: what a call asked for is in the journal before the call is, so that it is in what is read next.
    requests = engine.requests.facts()
    journal, policies = engine.journal, engine.policies
    look = await journal.read(
        look_for_plan, now, limit=policies.batch_objects, count_up_to=policies.max_changes or COUNT_UP_TO
    )
    standing = look.standing
    return Facts(
        prepared=prepared,
        open_snapshot=look.open_snapshot is not None,
        sources=tuple(source_facts(source) for source in engine.sources),
        due_puts=look.puts,
        due_deletes=look.deletes,
        blocked_until=look.blocked_until,
        changing_revision=standing.changing_revision,
        uncertain=standing.uncertain,
        tables_under_way=standing.unstaged_tables,
        staged_at=standing.staged_at,
        closure=engine.gate.facts,
        uncommitted=standing.uncommitted,
        waiting_since=standing.waiting_since,
        last_change_at=standing.last_change_at,
        last_snapshot_at=standing.last_snapshot_at,
        live_images=standing.live_images,
        absences=look.absences,
        revision=standing.revision,
        next_sequence=standing.next_sequence,
        requests=requests,
        schedule_at=engine.schedule.next_moment(standing.last_snapshot_at) if engine.schedule else None,
        failure=failure,
        paused=engine.pauses.why,
    )


def source_facts(source: Source) -> SourceFacts:
    """Return what the planner needs to know of a source."""
    health = source.health()
    return SourceFacts(
        name=source.name,
        complete=health.complete and health.available,
        settling=health.settling,
        reason=health.reason,
        hold=health.hold,
        busy=health.busy,
    )
