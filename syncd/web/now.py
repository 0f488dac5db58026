"""How things stand now: the first page, and what keeps it up to date."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from syncd.errors import SyncdError
from syncd.status import IN_STEP
from syncd.web import access
from syncd.web.keys import LIVE, WINDOW
from syncd.web.live import state_id
from syncd.web.render import page

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGN_OF_LIFE_S = 15.0  # between two lines, so that a connection that is gone is noticed


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [web.get("/", _now), web.get("/now", _part), web.get("/events", _events)]


async def _now(request: web.Request) -> web.Response:
    if "text/html" not in request.headers.get("Accept", "text/html") and "*/*" not in request.headers["Accept"]:
        return web.Response(text="syncd\n")
    return page(request, "now.html", **await _standing(request))


async def _part(request: web.Request) -> web.Response:
    return page(request, "_now.html", **await _standing(request))


async def _standing(request: web.Request) -> dict[str, Any]:
    window = request.app[WINDOW]
    status = await window.status()
    held: dict[str, Any] = {"images": None, "tables": {}, "branch": None}
    fault = ""
    if window.actions is not None and request[access.TRUSTED]:
        try:
            held = await window.actions.held()
        except SyncdError as error:
            fault = str(error)
    rates = request.app[LIVE].rates
    return {
        "status": status,
        "state_id": state_id(status, rates),
        "made_at": datetime.now(UTC).isoformat(),
        "held": held,
        "held_fault": fault,
        "in_step": status["state"] in IN_STEP and status["snapshot"] is not None,
        "rates": rates,
        "not_synced": sum(sum(codes.values()) for codes in status["not_synced"].values()),
    }


async def _events(request: web.Request) -> web.StreamResponse:
    """Tell which state the first page would show, at first and whenever it is another."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await answer.prepare(request)
    async with request.app[LIVE].changes() as news:
        while True:
            try:
                async with asyncio.timeout(SIGN_OF_LIFE_S):
                    line = f"event: changed\ndata: {await news.get()}\n\n"
            except TimeoutError:
                line = ": still here\n\n"
            try:
                await answer.write(line.encode())
            except ConnectionError:
                return answer
