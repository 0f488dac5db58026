"""How the loop waits: for an observation, a call, a moment, or the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncd.planner.facts import Plan
    from syncd.service.engine import Engine

LONGEST_S = 60.0  # also bounds what a jump of the clock can cost
RESTLESS_S = 0.2  # while a source is listing or files are settling: their end makes no observation by itself
# Where very much waits, a look at it takes tens of milliseconds, and each of thousands of observations asks for one.
LONG_LOOK_S, REST_TIMES, LONGEST_REST_S = 0.01, 4.0, 1.0


async def wait_for(engine: Engine, plan: Plan, stopping: asyncio.Event, *, looked_s: float = 0.0) -> None:
    """Return when something may have changed, or when the plan's moment has come.

    Args:
        engine: The parts.
        plan: That there is nothing to do now.
        stopping: Set when it is to end.
        looked_s: How long it took to find that out: after a long look there is a longer rest.
    """
    if looked_s > LONG_LOOK_S:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(REST_TIMES * looked_s, LONGEST_REST_S)):
                await stopping.wait()
    tasks = [asyncio.create_task(event.wait()) for event in (engine.wake, engine.journal.recorded, stopping)]
    try:
        await asyncio.wait(tasks, timeout=_timeout_s(engine, plan), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _timeout_s(engine: Engine, plan: Plan) -> float:
    wake_in_s = None if plan.wake_at is None else (plan.wake_at - engine.clock()).total_seconds()
    moments = [in_s for in_s in (wake_in_s, engine.requests.next_deadline_in_s()) if in_s is not None]
    ahead = [in_s for in_s in moments if in_s > 0]
    until_next = min(ahead, default=LONGEST_S)
    healths = [source.health() for source in engine.sources]
    restless = any(health.scanning or health.settling or not health.complete for health in healths)
    overdue = len(ahead) < len(moments)  # its moment has come, and something else still holds it back
    return min(until_next, RESTLESS_S if restless or overdue else LONGEST_S)
