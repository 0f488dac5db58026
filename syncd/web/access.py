"""Who may ask what. A page in somebody's browser can send requests here, too, in the name of another host."""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN = frozenset({"/livez", "/readyz"})  # for probes, which have no token; without details
TOKEN_MISSING = "this needs the token: send it as 'Authorization: Bearer …'\n"  # noqa: S105 - says what is missing
UNKNOWN_HOST = "this Host is not served here: ask by an IP address or localhost, or send the token\n"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

TRUSTED: web.RequestKey[bool] = web.RequestKey("trusted", bool)  # may see everything


def guard(token: str) -> Middleware:
    """Return a middleware that lets in who may come in.

    Args:
        token: What must be shown; "": whoever reaches this address may look, as it can only be from this machine.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        shows_token = bool(token) and _shows(request, token)
        request[TRUSTED] = shows_token or not token
        if not shows_token and not _is_own_name(request.headers.get("Host", "")):
            raise web.HTTPMisdirectedRequest(text=UNKNOWN_HOST)
        if not request[TRUSTED] and request.path not in OPEN:
            raise web.HTTPUnauthorized(text=TOKEN_MISSING, headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return check


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Say on every answer that it is not to be kept, framed or guessed at; an ``on_response_prepare`` signal."""
    response.headers.update(HEADERS)
    response.headers.pop("Server", None)


def _shows(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _is_own_name(host: str) -> bool:
    """Return whether a name server cannot have led a browser here: another page's name for this address is no IP."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
