"""Listens for HTTP. What comes in is from strangers: few at a time, and none for long."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from syncd import local_socket
from syncd.web.application import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from syncd.window import Listen, Window

MOST_CONNECTIONS = 32
LONGEST_CONNECTION_S = 60.0  # however it is used; the next request opens another
SWEEP_EVERY_S = 5.0
GOODBYE_S = 1.0


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
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=GOODBYE_S, handler_cancellation=True)
    await runner.setup()
    try:
        assert runner.server is not None  # noqa: S101 - it has been set up
        door = _Door(runner.server)
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
    server = await asyncio.get_running_loop().create_unix_server(door.open, sock=listening)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240


class _Door:
    """Lets connections in, and out again.

    Args:
        server: Makes aiohttp's protocol of each, and knows those that are open.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def open(self) -> asyncio.Protocol:
        """Return what speaks with a new connection: aiohttp, or one that hangs up at once."""
        return _Refusal() if len(self._server.connections) >= MOST_CONNECTIONS else self._server()

    async def sweep(self) -> None:
        """End what has been open for too long, a caller that never finishes its request among them."""
        loop, first_seen_s = asyncio.get_running_loop(), dict[object, float]()
        while True:
            now_s, still_open = loop.time(), list(self._server.connections)
            first_seen_s = {one: first_seen_s.get(one, now_s) for one in still_open}
            for one in still_open:
                if now_s - first_seen_s[one] > LONGEST_CONNECTION_S and one.transport is not None:
                    one.transport.abort()
            await asyncio.sleep(SWEEP_EVERY_S)


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        transport.close()
