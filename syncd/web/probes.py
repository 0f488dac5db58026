"""What machines ask: whether it lives, whether it is ready, and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from syncd.web import access, exposition
from syncd.web.keys import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [web.get("/livez", _livez), web.get("/readyz", _readyz), web.get("/metrics", _metrics)]


async def _livez(request: web.Request) -> web.Response:
    return _verdict(request, "live")


async def _readyz(request: web.Request) -> web.Response:
    return _verdict(request, "ready")


def _verdict(request: web.Request, which: str) -> web.Response:
    found = request.app[WINDOW].health()[which]
    status = 200 if found["ok"] else 503
    if "verbose" in request.query and request[access.TRUSTED]:
        return web.Response(status=status, text="".join(_line(check) for check in found["checks"]))
    return web.Response(status=status, text="ok\n" if found["ok"] else f"not {which}; ask with ?verbose\n")


def _line(check: dict[str, Any]) -> str:
    why = " ".join(check["why"].split())
    return f"ok {check['name']}\n" if check["ok"] else f"failed {check['name']}: {why}\n"


async def _metrics(request: web.Request) -> web.Response:
    window = request.app[WINDOW]
    encode, content_type = exposition.encoder(request.headers.get("Accept", ""))
    body = encode(exposition.registry(await window.status(), window.tallies))
    return web.Response(body=body, headers={"Content-Type": content_type})
