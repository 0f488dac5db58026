"""What is answered at which path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from syncd.errors import JournalError
from syncd.web import access, exposition

if TYPE_CHECKING:
    from syncd.web.access import Handler
    from syncd.window import Window

ANSWER_S = 10.0  # the most an answer may take
WINDOW: web.AppKey[Window] = web.AppKey("window")


def application(window: Window, *, token: str) -> web.Application:
    """Return everything that is served, not yet listening.

    Args:
        window: The dataset.
        token: What a caller must show; "": nothing.
    """
    app = web.Application(middlewares=[_in_words, access.guard(token)], client_max_size=1 << 16)
    app[WINDOW] = window
    app.on_response_prepare.append(access.add_headers)
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/livez", _livez),
            web.get("/readyz", _readyz),
            web.get("/metrics", _metrics),
        ]
    )
    return app


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bound the time of an answer, and say what went wrong."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await handler(request)
    except JournalError as error:
        return web.Response(status=503, text=f"{error}\n")
    except TimeoutError:
        return web.Response(status=503, text=f"there is no answer within {ANSWER_S:g} s\n")


async def _index(_request: web.Request) -> web.Response:
    return web.Response(
        text="syncd\n/livez    the process works\n/readyz   snapshots can be made\n/metrics  Prometheus\n"
    )


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
