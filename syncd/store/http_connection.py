"""One connection of HTTP/1.1 to a server: a small request goes out whole, a small answer comes back whole.

What moves thousands of small objects costs mostly the client's own work on each; so there is nothing here but a
protocol of asyncio's and httptools' parser.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from asyncio import Future, Transport
    from collections.abc import Callable

FIRST_FINAL_STATUS = 200
MOST_HEADER_BYTES = 1 << 16


class AnswerError(Exception):
    """What came is not HTTP, or more than was agreed to."""


class TooLongError(AnswerError):
    """The answer's body is longer than was agreed to."""


class ClosedError(ConnectionError):
    """The connection ended before the answer did.

    Args:
        unanswered: Not one byte of the answer had come.
    """

    def __init__(self, *, unanswered: bool) -> None:
        super().__init__("the server closed the connection" + (" before it answered" if unanswered else ""))
        self.unanswered = unanswered


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent."""

    head: bytes  # request line and headers, with the empty line
    body: bytes = b""
    most_bytes: int = 1 << 20  # of the answer's body
    progress: Callable[[], None] = _nothing  # called when more of the answer has come, and more is still to come


@dataclass(slots=True)
class Received:
    """One answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case; the last of several
    body: bytes = b""


class Connection(asyncio.Protocol):
    """One exchange at a time; whoever breaks one off closes the connection."""

    def __init__(self) -> None:
        self.closed = False
        self.reusable = False  # the last answer came whole, and both sides keep the connection
        self._transport: Transport | None = None
        self._waiting: Future[Received] | None = None
        self._most_bytes = 0
        self._progress: Callable[[], None] = _nothing
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = transport  # type: ignore[assignment]  # a protocol of streams gets a transport of streams

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self.closed = True
        self._fail(exc if isinstance(exc, OSError) else ClosedError(unanswered=not self._answering))

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        waiting = self._waiting
        if waiting is None:  # nobody asked
            self.close()
            return
        self._answering = True
        known_bytes = self._header_bytes + self._body_bytes  # which are bounded, unlike what else may come
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            ours = error.__context__
            self._fail(ours if isinstance(ours, AnswerError) else AnswerError(f"the answer is not HTTP: {error}"))
            self.close()
        if not waiting.done() and self._header_bytes + self._body_bytes > known_bytes:
            self._progress()

    async def exchange(self, request: Request) -> Received:
        """Send a request and return the answer.

        Raises:
            ClosedError: The connection ended.
            OSError: It was lost otherwise.
            AnswerError: What came is no answer.
        """
        if self._transport is None or self._waiting is not None:
            raise AssertionError("one exchange at a time, on an open connection")
        if self.closed:
            raise ClosedError(unanswered=True)
        self._begin()
        self._most_bytes, self._progress = request.most_bytes, request.progress
        waiting: Future[Received] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        try:
            self._transport.write(request.head + request.body)
            return await waiting
        except BaseException:
            self.close()
            raise
        finally:
            self._waiting = None

    def close(self) -> None:
        """Drop the connection, and whatever is on its way."""
        self.closed, self.reusable = True, False
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answering = self.reusable = False
        self._received = Received(0)
        self._chunks: list[bytes] = []
        self._header_bytes = self._body_bytes = 0

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MOST_HEADER_BYTES:
            raise AnswerError("its headers are too long")
        self._received.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._most_bytes:
            raise TooLongError(f"its body is longer than {self._most_bytes} bytes")
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it is one of those that come before the answer."""
        status = self._parser.get_status_code()
        if status < FIRST_FINAL_STATUS:
            self._received, self._chunks = Received(0), []
            return
        received, self._received = self._received, Received(0)
        received.status, received.body = status, b"".join(self._chunks)
        self.reusable = bool(self._parser.should_keep_alive())
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(received)
