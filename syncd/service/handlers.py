"""What the control socket answers, by command."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncd.service import approval
from syncd.service.in_step import until_in_step
from syncd.service.report import answer_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.service.control import Handler
    from syncd.service.daemon import Daemon
    from syncd.service.engine import Engine
    from syncd.service.recent import Recent
    from syncd.service.standing import Standing


def handlers_of(engine: Engine, daemon: Daemon, standing: Standing, recent: Recent) -> dict[str, Handler]:
    """Return what answers each command."""

    async def snapshot(request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await engine.requests.snapshot(
            patience=timedelta(seconds=float(request["timeout_s"])),
            allow_held=bool(request["allow_held"]),
            reason=str(request.get("reason", "")),
            ends_pause=bool(request.get("ends_pause")),
        )
        return answer_json(answer)

    async def in_step(request: Mapping[str, Any]) -> Mapping[str, Any]:
        return await until_in_step(engine, standing, patience=timedelta(seconds=float(request["timeout_s"])))

    async def health(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        return standing.health()

    async def top(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        tallies = engine.tallies
        counted = {"objects": dict(tallies.objects), "uploaded_bytes": tallies.uploaded_bytes}
        return {**await standing.status(), "counted": {**counted, "requests": tallies.count_requests()}}

    async def approve(request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await approval.approve(engine, request)
        daemon.try_again()
        return answer

    return {
        "snapshot": snapshot,
        "status": lambda _request: standing.status(),
        "top": top,
        "in_step": in_step,
        "health": health,
        "events": recent.request,
        "held": lambda _request: approval.held(engine),
        "approve": approve,
        "agree": lambda request: approval.agree(engine, request),
    }
