"""Who may ask what. A page in somebody's browser can send requests here, too, in the name of another host."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN = frozenset({"/livez", "/readyz"})  # for probes, which have no token; without details
BEFORE_LOGIN = ("/login", "/static/")  # what the form for the token needs
TOKEN_MISSING = "this needs the token: send it as 'Authorization: Bearer …'\n"  # noqa: S105 - says what is missing
UNKNOWN_HOST = "this Host is not served here: ask by an IP address or localhost, or send the token\n"
BAD_HOST = "this Host is no name with a port\n"
FOREIGN_ORIGIN = "this was sent by a page of another host\n"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none at all a form of ours would say that its origin is null
    "X-Content-Type-Options": "nosniff",
}

SESSION_S = 12 * 3600.0
MOST_SESSIONS = 100
_READING = frozenset({"GET", "HEAD"})

TRUSTED: web.RequestKey[bool] = web.RequestKey("trusted", bool)  # may see everything
MAY_ACT: web.RequestKey[bool] = web.RequestKey("may_act", bool)  # may have something done
SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions")


class Sessions:
    """Browsers that have shown the token.

    Args:
        token: What must be shown; "": nothing.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self._until_s: dict[str, float] = {}

    def cookie(self, request: web.Request) -> str:
        """Return the cookie's name: cookies are of a host, whatever the port."""
        return f"syncd-{_port_of(request.host) or 80}"

    def begin(self, given: str) -> str | None:
        """Return a session's id for whoever shows the token; None for others."""
        if not self.token or not self._is_it(given):
            return None
        now_s = time.monotonic()
        self._until_s = {known: until_s for known, until_s in self._until_s.items() if until_s > now_s}
        while len(self._until_s) >= MOST_SESSIONS:
            del self._until_s[next(iter(self._until_s))]
        session = secrets.token_urlsafe(32)
        self._until_s[session] = now_s + SESSION_S
        return session

    def knows(self, request: web.Request) -> bool:
        """Return whether a request is of a session, or shows the token itself."""
        if not self.token:
            return False
        return self._until_s.get(request.cookies.get(self.cookie(request), ""), 0.0) > time.monotonic() or self._shows(
            request
        )

    def end(self, request: web.Request) -> None:
        """Forget a request's session."""
        self._until_s.pop(request.cookies.get(self.cookie(request), ""), None)

    def _shows(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_it(given)

    def _is_it(self, given: str) -> bool:
        return hmac.compare_digest(_as_sent(given.strip()), _as_sent(self.token))


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who may come in."""
    sessions = request.app[SESSIONS]
    try:
        _port_of(request.host)
    except ValueError as error:
        raise web.HTTPBadRequest(text=BAD_HOST) from error
    knows, over_socket = sessions.knows(request), _is_over_unix_socket(request)
    request[TRUSTED] = knows or over_socket or not sessions.token
    request[MAY_ACT] = knows or over_socket
    if not knows and not _is_own_name(request.headers.get("Host", "")):
        raise web.HTTPMisdirectedRequest(text=UNKNOWN_HOST)
    if request.method not in _READING and not _is_same_origin(request):
        raise web.HTTPForbidden(text=FOREIGN_ORIGIN)
    if not request[TRUSTED] and request.path not in OPEN and not request.path.startswith(BEFORE_LOGIN):
        if "text/html" in request.headers.get("Accept", "") and request.method in _READING:
            raise web.HTTPSeeOther("/login")
        raise web.HTTPUnauthorized(text=TOKEN_MISSING, headers={"WWW-Authenticate": "Bearer"})
    return await handler(request)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Say on every answer what it may do, and that it is not to be kept; an ``on_response_prepare`` signal."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.pop("Server", None)


def _is_over_unix_socket(request: web.Request) -> bool:
    return request.transport is not None and is_of_unix_socket(request.transport)


def is_of_unix_socket(transport: asyncio.BaseTransport) -> bool:
    """Return whether it came through the socket in the state directory, which only syncd's own user can open."""
    return isinstance(transport.get_extra_info("sockname"), str | bytes)


def _as_sent(text: str) -> bytes:
    """Return what a header's text was made of: it need not have been UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _port_of(host: str) -> int | None:
    """Return the port in a Host header, if there is one.

    Raises:
        ValueError: It is no name with a port.
    """
    return urlsplit(f"//{host}").port


def _is_same_origin(request: web.Request) -> bool:
    """Return whether a page of ours has sent it, or no page at all."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.headers.get("Host", "")
    except ValueError:  # it is no address
        return False


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
