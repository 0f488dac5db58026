"""Listens for HTTP. What comes in is from strangers: few at a time, and none for long."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from syncd import local_socket
from syncd.web.access import is_of_unix_socket
from syncd.web.application import BUSY, application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from syncd.window import Listen, Window

MOST_CONNECTIONS = 32  # at the address; as many again at the socket
LONGEST_CONNECTION_S = 60.0  # and until what it asked for by then is answered; the next request opens another
SWEEP_EVERY_S = 5.0
GOODBYE_S = 1.0


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Tell whether a line of aiohttp's is worth keeping: with what is no HTTP a stranger could fill the log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


log = logging.getLogger(__name__)
log.addFilter(_is_our_fault)


@asynccontextmanager
async def serve(window: Window, listen: Listen) -> AsyncIterator[int]:
    """Answer while this is entered; gives the port, which the system chooses for port 0.

    Args:
        window: What is shown.
        listen: Where, and for whom.

    Raises:
        OSError: The address cannot be had.
    """
    app = application(window, token=listen.token)
    runner = web.AppRunner(app, logger=log, access_log=None, shutdown_timeout=GOODBYE_S, handler_cancellation=True)
    await runner.setup()
    try:
        assert runner.server is not None  # noqa: S101 - it has been set up
        door = _Door(runner.server, app[BUSY])
        server = await asyncio.get_running_loop().create_server(door.open, listen.host, listen.port, reuse_address=True)
        sweeping = asyncio.create_task(door.sweep())
        try:
            async with _beside(door, listen.socket):
                yield server.sockets[0].getsockname()[1]
        finally:
            sweeping.cancel()
            server.close()
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _beside(door: _Door, path: Path | None) -> AsyncIterator[None]:
    """Listen at a Unix socket, too, which its owner alone may open."""
    if path is None:
        yield
        return
    listening = local_socket.bound(path)
    server = await asyncio.get_running_loop().create_unix_server(door.open_beside, sock=listening)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240


class _Door:
    """Lets connections in, and out again.

    Args:
        server: Makes aiohttp's protocol of each, and knows those that are open.
        busy: Those with an answer under way, which is known to end.
    """

    def __init__(self, server: web.Server, busy: set[web.RequestHandler]) -> None:
        self._server, self._busy = server, busy

    def open(self) -> asyncio.Protocol:
        """Return what speaks with a new connection: aiohttp, or one that hangs up at once."""
        return self._let_in(over_socket=False)

    def open_beside(self) -> asyncio.Protocol:
        """Return the same for one through the Unix socket, which strangers do not fill."""
        return self._let_in(over_socket=True)

    def _let_in(self, *, over_socket: bool) -> asyncio.Protocol:
        transports = [one.transport for one in self._server.connections]  # None: it is gone, its work is not
        there = sum((one is not None and is_of_unix_socket(one)) == over_socket for one in transports)
        return _Refusal() if there >= MOST_CONNECTIONS else self._server()

    async def sweep(self) -> None:
        """End what has been open for too long, a caller that never finishes its request among them.

        Not in the middle of an answer: nobody would know whether what was asked for is done.
        """
        loop, first_seen_s = asyncio.get_running_loop(), dict[object, float]()
        while True:
            now_s, still_open = loop.time(), list(self._server.connections)
            first_seen_s = {one: first_seen_s.get(one, now_s) for one in still_open}
            for one in still_open:
                is_old = now_s - first_seen_s[one] > LONGEST_CONNECTION_S
                if is_old and one not in self._busy and one.transport is not None:
                    one.transport.abort()
            await asyncio.sleep(SWEEP_EVERY_S)


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        transport.close()
