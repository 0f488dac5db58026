"""A reverse proxy between the daemon and lakeFS that behaves as a network or a busy server does on a bad day.

Each request is read whole, named by what it does, and held against the rules; the first that fits decides. Bytes
pass as they came, the Host header included, so that what is signed stays valid.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.counting_proxy import CountingProxy

HEAD_END = b"\r\n\r\n"
DRIP_PIECES = 8
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
HANGING_UP = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)


class Request(NamedTuple):
    """One request, whole."""

    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def operation(self) -> str:
        """Put, delete_objects, commit, merge, tag, head, list, uncommitted, log, lease or other."""
        method, (path, _, query) = self.method, self.target.partition("?")
        api = path.startswith("/api/")
        kinds = (
            ("lease", "-lease/" in path),
            ("commit", api and method == "POST" and path.endswith("/commits")),
            ("merge", api and method == "POST" and "/merge/" in path),
            ("tag", api and method == "POST" and path.endswith("/tags")),
            ("uncommitted", api and "/branches/" in path and path.endswith("/diff")),
            ("log", api and method == "GET" and "/refs/" in path and path.endswith("/commits")),
            ("list", "/objects/ls" in path or (not api and "list-type" in query)),
            ("put", not api and method == "PUT"),
            ("delete_objects", not api and method == "POST" and query.startswith("delete")),
            ("head", not api and method == "HEAD"),
        )
        return next((kind for kind, fits in kinds if fits), "other")


@dataclass(frozen=True)
class Fault:
    """What is done to a request.

    ``pass``; ``delay`` for ``seconds``; ``refuse`` with ``status``, unforwarded; ``reset`` before it is forwarded;
    ``drop``: forwarded, and the connection reset in place of the answer; ``duplicate``: forwarded twice, the second
    answer passed; ``truncate`` the answer; ``stall``: no answer until the client gives up, or for ``seconds``;
    ``drip``: the answer in small pieces over ``seconds``.
    """

    kind: str
    status: int = 503
    retry_after_s: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        after = "" if self.retry_after_s is None else f"-after-{self.retry_after_s}s"
        return f"{self.status}{after}" if self.kind == "refuse" else self.kind


PASS = Fault("pass")


@dataclass
class Rule:
    """Which requests meet a fault; one of the faults is drawn for each."""

    faults: Sequence[Fault]
    operation: str = "any"  # as Request.operation
    where: Callable[[Request], bool] = lambda _: True
    times: int | None = None  # so many requests, then no more
    probability: float = 1.0
    used: int = field(default=0, init=False)

    def fits(self, request: Request) -> bool:
        left = self.times is None or self.used < self.times
        return left and self.operation in {"any", request.operation} and self.where(request)


@dataclass(slots=True)
class Attempt:
    """A request, or a connection that was reset before one was read. Times are those of time.monotonic."""

    at: float
    operation: str = ""
    target: str = ""
    conditional: bool = False  # it has "If-None-Match"
    answered_at: float = math.inf  # when the last of the answer had been passed on


class FaultProxy(CountingProxy):
    """Forwards requests, or does to them what its rules say. A context manager, in a thread of its own.

    ``done`` counts pairs of operation and fault; ``attempts`` is all that came.
    """

    def __init__(self, endpoint: str, rng: random.Random) -> None:
        super().__init__(endpoint)
        self._rng = rng
        self._rules: list[Rule] = []
        self._resets_all = False
        self._open: set[asyncio.StreamWriter] = set()
        self.done: Counter[tuple[str, str]] = Counter()
        self.attempts: list[Attempt] = []

    def misbehave(self, *rules: Rule) -> None:
        """Put these rules in place of those before; none: forward everything."""
        with self._lock:
            self._rules = list(rules)

    def go_away(self, *, listening: bool) -> None:
        """Reset every connection; new ones too (they are counted), or have the system refuse them."""
        asyncio.run_coroutine_threadsafe(self._go_away(listening), self._loop).result(10)

    def come_back(self) -> None:
        """Be there again, at the same address."""
        asyncio.run_coroutine_threadsafe(self._come_back(), self._loop).result(10)

    async def _go_away(self, listening: bool) -> None:
        self._resets_all = True
        if not listening:
            self._address = self._server.sockets[0].getsockname()
            self._server.close()
        for writer in list(self._open):
            _reset(writer)

    async def _come_back(self) -> None:
        self._resets_all = False
        if not self._server.is_serving():
            self._server = await asyncio.start_server(self._serve, *self._address)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(*HANGING_UP):
            if self._resets_all:
                self.attempts.append(Attempt(time.monotonic()))
                raise _reset(writer)
            while True:
                request = await _read_request(reader, writer)
                fault, attempt = self._choose(request)
                await self._answer(request, fault, attempt, reader, writer)
        self._open.discard(writer)
        writer.close()

    def _choose(self, request: Request) -> tuple[Fault, Attempt]:
        conditional = b"if-none-match" in _headers(request.head)
        with self._lock:
            attempt = Attempt(time.monotonic(), request.operation, request.target, conditional)
            self.attempts.append(attempt)
            copies = b"x-amz-copy-source" in _headers(request.head)
            self._count(request.head.partition(b"\r\n")[0], len(request.body), copies=copies)
            rule, fault = next((rule for rule in self._rules if rule.fits(request)), None), PASS
            if rule is not None and self._rng.random() < rule.probability:
                rule.used, fault = rule.used + 1, self._rng.choice(rule.faults)
            self.done[request.operation, str(fault)] += 1
            return fault, attempt

    async def _answer(
        self,
        request: Request,
        fault: Fault,
        attempt: Attempt,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if fault.kind == "stall":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), fault.seconds)
        if fault.kind in {"reset", "stall"}:
            raise _reset(writer)
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds or 0)
        if fault.kind == "duplicate":
            await self._forward(request)
        answer = _refusal(request, fault) if fault.kind == "refuse" else await self._forward(request)
        if fault.kind == "drop":
            raise _reset(writer)
        if fault.kind == "truncate":
            body = answer.find(HEAD_END) + len(HEAD_END)
            await _send(writer, answer[: (body + len(answer)) // 2 if len(answer) > body else body // 2])
            raise ConnectionAbortedError
        pieces = DRIP_PIECES if fault.kind == "drip" else 1
        for start in range(0, len(answer), step := -(-len(answer) // pieces)):
            await _send(writer, answer[start : start + step])
            attempt.answered_at = time.monotonic()
            await asyncio.sleep((fault.seconds or 0) / pieces if pieces > 1 else 0)

    async def _forward(self, request: Request) -> bytes:
        """Have the server act, on a connection of its own, and return the answer whole."""
        reader, writer = await asyncio.open_connection(*self._target)
        try:
            await _send(writer, request.head + request.body)
            while (status := int((head := await reader.readuntil(HEAD_END)).split(b" ", 2)[1])) < 200:
                pass  # "100 Continue"
            return head if request.method == "HEAD" or status in {204, 304} else head + await _body(head, reader)
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    if b"expect" in _headers(head := await reader.readuntil(HEAD_END)):
        await _send(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(head, await _body(head, reader) if b"content-length" in _headers(head) else b"")


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """Read a body as it travels, chunk marks and all."""
    headers, body = _headers(head), b""
    if b"content-length" in headers:
        return await reader.readexactly(int(headers[b"content-length"]))
    while headers.get(b"transfer-encoding") == b"chunked":
        mark = await reader.readuntil(b"\r\n")
        body += mark + await reader.readexactly(int(mark, 16) + 2)
        if int(mark, 16) == 0:
            return body
    return await reader.read()


def _headers(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}


def _refusal(request: Request, fault: Fault) -> bytes:
    body = b"" if request.method == "HEAD" else b"<html><body>not now</body></html>"
    after = "" if fault.retry_after_s is None else f"Retry-After: {fault.retry_after_s}\r\n"
    return f"HTTP/1.1 {fault.status} No\r\n{after}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> ConnectionResetError:
    """Close with RST; returns what to raise."""
    with contextlib.suppress(OSError):  # closed already
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
    return ConnectionResetError()
