"""One request to a receiver that may be slow, wrong or hostile: bounded in time and bytes, and led nowhere else."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from syncd import __version__
from syncd.notify.delivery import LIMIT_S, UndeliveredError
from syncd.threads import in_thread_apart

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_BUFFERED = 2048  # bytes of an answer, twice; only how it begins counts
_AGENT = {"User-Agent": f"syncd/{__version__}"}


async def request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    limit_s: float = LIMIT_S,
) -> None:
    """Send a request; return once an answer of the 200s has come.

    Args:
        method: "GET" or "POST".
        url: Where to. It may be a secret.
        body: What to send.
        headers: Besides those every request has.
        ca_file: Authorities besides the system's, in PEM.
        limit_s: The most it may take.

    Raises:
        UndeliveredError: No such answer came.
    """
    try:
        async with asyncio.timeout(limit_s):
            trusted = await _trusted(ca_file) if url.lower().startswith("https:") else True
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=trusted, resolver=_Resolver(), force_close=True),
                    headers=_AGENT,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                    read_bufsize=MOST_BUFFERED,
                ) as session,
                session.request(method, url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                _judge(answer.status, answer.headers.get("Retry-After"))
    except TimeoutError:
        raise UndeliveredError(f"there was no answer within {limit_s:g} s", again=True) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _translated(error) from None


def _judge(status: int, retry_after: str | None) -> None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    busy = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    moved = "; it leads elsewhere, which is not followed" if status < HTTPStatus.BAD_REQUEST else ""
    raise UndeliveredError(f"the answer was {status}{moved}", again=busy, after_s=_seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """Return the header's value in seconds, whichever of its two forms it has; None for what is neither."""
    if not retry_after:
        return None
    try:
        if retry_after.strip().isdecimal():
            return float(retry_after[:10])
        at = parsedate_to_datetime(retry_after)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _translated(error: Exception) -> UndeliveredError:
    """Say what happened in words of our own: the library's name the address."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            cause = error.certificate_error
            said = getattr(cause, "verify_message", "") or "it is not valid"
            return UndeliveredError(f"its certificate was not accepted: {said}", again=True)
        case aiohttp.ClientConnectorDNSError():
            return UndeliveredError("its name was not found", again=True)
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return UndeliveredError(f"no connection: {os.strerror(number) if number else 'it failed'}", again=True)
        case aiohttp.InvalidURL() | ValueError():
            return UndeliveredError("its address cannot be used", again=False)
        case _:
            return UndeliveredError(f"the connection failed: {type(error).__name__}", again=True)


async def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    def make() -> ssl.SSLContext:
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        return context

    try:
        return await in_thread_apart(make, "notify-certificates")
    except (OSError, ssl.SSLError) as error:
        raise UndeliveredError(f"{ca_file} cannot be used: {type(error).__name__}", again=False) from None


class _Resolver(AbstractResolver):
    """Resolves names outside the event loop's own threads: a name server that hangs would fill them."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        found = await in_thread_apart(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family), "notify-names"
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is kept open."""
