"""Small servers on the loopback that behave as a network or a server does on a bad day."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass
class OddServer:
    """Where it listens, and what it has seen."""

    endpoint: str = ""
    requests: list[bytes] = field(default_factory=list)  # head of each, and what of the body came along
    active: int = 0
    most_active: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)  # set by a lossy proxy: the server has acted


@asynccontextmanager
async def serve(
    handle: Callable[[OddServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[OddServer]:
    odd = OddServer()
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        task.add_done_callback(running.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handle(odd, reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    odd.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield odd
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def silent_server() -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Accepts and reads, and never answers."""

    async def handle(odd: OddServer, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            odd.requests.append(data)

    return serve(handle)


def deaf_server() -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Asks for the body and then never reads it."""

    async def handle(odd: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        odd.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.Event().wait()

    return serve(handle)


def hanging_up_server() -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Reads a request and closes the connection without an answer."""

    async def handle(odd: OddServer, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        odd.requests.append(await reader.readuntil(b"\r\n\r\n"))

    return serve(handle)


def canned_server(
    status: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Gives every request the same answer, "503 Slow Down", one at a time to a connection."""
    given = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    answer = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items()) + "\r\n"

    async def handle(odd: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        odd.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer.encode() + (b"" if odd.requests[-1].startswith(b"HEAD ") else body))
        await writer.drain()

    return serve(handle)


def late_server(seconds: float, etag: str) -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Takes each upload, and answers it only so long after."""

    async def handle(odd: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            odd.requests.append(await reader.readuntil(b"\r\n\r\n"))
            (length,) = re.findall(rb"content-length: (\d+)", odd.requests[-1].lower())
            await reader.readexactly(int(length))
            await asyncio.sleep(seconds)
            writer.write(f'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "{etag}"\r\n\r\n'.encode())

    return serve(handle)


def slow_server(pieces: int, pause_s: float) -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Answers as lakeFS with a body of so many bytes, one at a time."""
    head = f'HTTP/1.1 200 OK\r\nX-Request-Id: 1\r\nETag: "1"\r\nContent-Length: {pieces}\r\n\r\n'

    async def handle(odd: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        odd.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(head.encode())
        for _ in range(pieces):
            await asyncio.sleep(pause_s)
            writer.write(b"x")
            await writer.drain()

    return serve(handle)


def stalling_server() -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Answers as lakeFS with half a body, and says no more."""

    async def handle(odd: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        odd.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\nX-Request-Id: 1\r\nETag: "1"\r\nContent-Length: 10\r\n\r\nhalf.')
        await reader.read()

    return serve(handle)


def counting_server(together: int, headers: dict[str, str]) -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Counts requests under way; answers none before ``together`` of them are."""
    enough = asyncio.Event()
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
    answer += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"

    async def handle(odd: OddServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            odd.requests.append(await reader.readuntil(b"\r\n\r\n"))
            odd.active += 1
            odd.most_active = max(odd.most_active, odd.active)
            if odd.active >= together:
                enough.set()
            await enough.wait()
            odd.active -= 1
            writer.write(answer.encode())
            await writer.drain()

    return serve(handle)


def lossy_proxy(upstream: str) -> contextlib.AbstractAsyncContextManager[OddServer]:
    """Passes every request on to a server, which acts on it, and keeps the answer to itself."""
    target = urlsplit(upstream)

    async def handle(odd: OddServer, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(target.hostname, target.port)

        async def swallow() -> None:
            while await their_reader.read(65536):
                odd.answered.set()

        swallowing = asyncio.create_task(swallow())
        try:
            while data := await reader.read(65536):
                odd.requests.append(data)
                their_writer.write(data)
                await their_writer.drain()
            await odd.answered.wait()  # the client has given up; hanging up now would stop the server too
        finally:
            swallowing.cancel()
            their_writer.close()

    return serve(handle)
