"""Waits until the newest snapshot holds what the source holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from syncd.status import IN_STEP

if TYPE_CHECKING:
    from datetime import timedelta

    from syncd.service.engine import Engine
    from syncd.service.standing import Standing

LOOK_EVERY_S = 0.2


async def until_in_step(engine: Engine, standing: Standing, *, patience: timedelta) -> dict[str, Any]:
    """Return the status once all that was in place before this call is in a snapshot, or the time is up.

    It makes no snapshot: that comes when the configuration says so. The status gets two keys more: ``in_step``, and
    ``left_out``, as a snapshot call has it. A path that cannot be synced is a difference, too.

    Raises:
        SourceUnavailableError: A source cannot be read.
    """
    deadline, ends_s = engine.clock() + patience, engine.monotonic() + patience.total_seconds()
    left_out = await engine.requests.barrier(deadline)
    while True:
        found = await standing.status()
        in_step = found["state"] in IN_STEP and not left_out and not found["not_synced"]
        if in_step or engine.monotonic() >= ends_s:
            named = [{"path": one.path, "reason": one.reason} for one in left_out]
            return {**found, "in_step": in_step, "left_out": named}
        if left_out:
            left_out = await engine.requests.barrier(deadline)
        await asyncio.sleep(LOOK_EVERY_S)
