"""Small requests to one server, over connections that are kept."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from syncd.store.http_connection import ClosedError, Connection

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from syncd.store.http_connection import Received, Request

KEEPALIVE_S = 12.0  # below the idle limit of lakeFS and of usual load balancers, so that none is met half-closed
SECOND_FAMILY_AFTER_S = 0.25  # RFC 8305
_PORTS = {"http": 80, "https": 443}


class Exchange:
    """Asks one server; use it as ``async with``. As many connections as there are requests at a time.

    Goes straight to the server: no proxy, no redirect.

    Args:
        endpoint: The server's URL, "https://lakefs.example.com".
        ca_file: PEM file of the certificates to trust; None: the system's.
    """

    def __init__(self, endpoint: str, *, ca_file: str | None = None) -> None:
        parts = urlsplit(endpoint)
        self._host, self._tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or _PORTS.get(parts.scheme, 80)
        self._ca_file = ca_file
        self._trusted: ssl.SSLContext | None = None
        self._kept: list[tuple[Connection, float]] = []  # with the time since when each is idle, the oldest first
        self._weeding: TimerHandle | None = None

    async def __aenter__(self) -> Self:
        if self._tls:  # loading the system's certificates takes a while
            self._trusted = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._weeding is not None:
            self._weeding.cancel()
            self._weeding = None
        for connection, _ in self._kept:
            connection.close()
        self._kept.clear()

    async def ask(self, request: Request) -> Received:
        """Send a request that may be sent twice, and return the answer. The caller bounds the time.

        It is sent twice where a kept connection turns out to have been closed: then the server may, or may not, have
        seen the first.

        Raises:
            OSError: No connection could be made, or it was lost.
            AnswerError: What came is no HTTP.
        """
        connection = self._idle()
        if connection is not None:
            try:
                return await self._on(connection, request)
            except ClosedError as error:
                if not error.unanswered:
                    raise
            except ConnectionError:  # reset, or written to after it was closed
                pass
        return await self._on(await self._connect(), request)

    async def _on(self, connection: Connection, request: Request) -> Received:
        received = await connection.exchange(request)
        if connection.reusable and not connection.closed:
            self._keep(connection)
        else:
            connection.close()
        return received

    def _idle(self) -> Connection | None:
        since = asyncio.get_running_loop().time() - KEEPALIVE_S
        while self._kept:
            connection, idle_since = self._kept.pop()  # the one used last
            if not connection.closed and idle_since > since:
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self._kept.append((connection, loop.time()))
        if self._weeding is None:
            self._weeding = loop.call_later(KEEPALIVE_S, self._weed)

    def _weed(self) -> None:
        """Close what has been idle for too long, and look again as long as there is something to close."""
        loop = asyncio.get_running_loop()
        since = loop.time() - KEEPALIVE_S
        known, self._kept = self._kept, []
        for connection, idle_since in known:
            if connection.closed or idle_since <= since:
                connection.close()
            else:
                self._kept.append((connection, idle_since))
        self._weeding = loop.call_later(KEEPALIVE_S, self._weed) if self._kept else None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        connected = await start_connection(addresses, happy_eyeballs_delay=SECOND_FAMILY_AFTER_S)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                Connection, sock=connected, ssl=self._trusted, server_hostname=self._host if self._tls else None
            )
        except BaseException:
            connected.close()
            raise
        return connection
