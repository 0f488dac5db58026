"""The exchange with a server that does whatever servers and proxies do to a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from syncd.store import http_exchange
from syncd.store.http_connection import AnswerError, ClosedError, Connection, Received, Request, TooLongError
from syncd.store.http_exchange import Exchange

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "a"\r\n\r\nhi'
ASK = Request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

Answering = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request as it is told; counts connections and requests."""

    def __init__(self, answering: Answering) -> None:
        self.answering, self.connections, self.requests = answering, 0, 0
        self.endpoint = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"content-length: 5" in head:
                    await reader.readexactly(5)
                self.requests += 1
                await self.answering(self.requests, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[tuple[Server, Exchange]]:
    server = Server(answering)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.endpoint = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        async with Exchange(server.endpoint) as exchange, asyncio.timeout(10):
            yield server, exchange
    finally:
        listening.close()


def say(text: bytes) -> Answering:
    async def answering(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answering


async def test_one_connection_serves_one_request_after_another():
    async with serving(say(OK)) as (server, exchange):
        for _ in range(3):
            received = await exchange.ask(ASK)
            assert (received.status, received.body, received.headers["etag"]) == (200, b"hi", '"a"')
        assert (server.connections, server.requests) == (1, 3)


async def test_several_at_a_time_have_a_connection_each_and_keep_it():
    async def slowly(_number: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(OK)

    async with serving(slowly) as (server, exchange):
        for _ in range(2):
            await asyncio.gather(*(exchange.ask(ASK) for _ in range(8)))
        assert (server.connections, server.requests) == (8, 16)


async def test_the_answer_may_come_byte_by_byte_after_others_that_are_none():
    async def dripping(_number: int, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(dripping) as (_, exchange):
        received = await exchange.ask(ASK)
        assert (received.status, received.body, "link" in received.headers) == (200, b"hi", False)
        assert (await exchange.ask(ASK)).body == b"hi"


async def test_chunks_are_put_together():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n"
    async with serving(say(chunked)) as (server, exchange):
        assert (await exchange.ask(ASK)).body == b"hi!"
        assert (await exchange.ask(ASK)).body == b"hi!"
        assert server.connections == 1


async def test_a_connection_that_the_server_does_not_keep_is_not_used_again():
    async with serving(say(OK.replace(b"ETag", b"Connection: close\r\nETag"))) as (server, exchange):
        await exchange.ask(ASK)
        await exchange.ask(ASK)
        assert server.connections == 2


async def test_a_kept_connection_that_was_closed_costs_a_second_sending_and_nothing_else():
    async def closing(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 2:
            writer.close()
        else:
            writer.write(OK)

    async with serving(closing) as (server, exchange):
        await exchange.ask(ASK)
        assert (await exchange.ask(ASK)).body == b"hi"
        assert (server.connections, server.requests) == (2, 3)


async def test_a_connection_that_was_reset_while_it_was_idle_is_no_error():
    writers = []

    async def keeping(_number: int, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(OK)

    async with serving(keeping) as (server, exchange):
        await exchange.ask(ASK)
        writers[0].transport.abort()
        await asyncio.sleep(0.02)
        assert (await exchange.ask(ASK)).body == b"hi"
        assert server.connections == 2


async def test_a_fresh_connection_that_is_closed_is_an_error_at_once():
    async def closing(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(closing) as (server, exchange):
        with pytest.raises(ClosedError):
            await exchange.ask(ASK)
        assert server.requests == 1


async def test_half_an_answer_is_never_asked_for_again():
    async def halving(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if number == 1 else OK[:-1])
        if number > 1:
            writer.close()

    async with serving(halving) as (server, exchange):
        await exchange.ask(ASK)
        with pytest.raises(ClosedError):
            await exchange.ask(ASK)
        assert server.requests == 2


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"])
async def test_what_is_no_answer_is_an_error(said):
    async with serving(say(said)) as (_, exchange):
        with pytest.raises(AnswerError):
            await exchange.ask(ASK)


async def test_an_answer_longer_than_agreed_is_given_up():
    async with serving(say(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200)) as (_, exchange):
        with pytest.raises(TooLongError):
            await exchange.ask(Request(ASK.head, most_bytes=100))
        with pytest.raises(TooLongError):
            await exchange.ask(Request(ASK.head, most_bytes=100))


async def test_words_nobody_asked_for_are_not_taken_for_the_next_answer():
    async def chatting(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(OK.replace(b"hi", b"no"))

    async with serving(chatting) as (server, exchange):
        for _ in range(3):
            assert (await exchange.ask(ASK)).body == b"hi"
            await asyncio.sleep(0.05)
        assert server.connections == 3


async def test_who_gives_up_takes_the_connection_along():
    async def late(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            await asyncio.sleep(0.1)
        writer.write(OK.replace(b"hi", b"%02d" % number))

    async with serving(late) as (server, exchange):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await exchange.ask(ASK)
        assert (await exchange.ask(ASK)).body != b"01"
        assert server.connections == 2


async def test_idle_connections_are_closed_after_a_while(monkeypatch):
    monkeypatch.setattr(http_exchange, "KEEPALIVE_S", 0.05)
    async with serving(say(OK)) as (server, exchange):
        await asyncio.gather(*(exchange.ask(ASK) for _ in range(3)))
        await asyncio.sleep(0.2)
        assert exchange._kept == []
        await exchange.ask(ASK)
        assert server.connections == 4


async def test_nobody_there_is_said_as_such():
    async with serving(say(OK)) as (server, _):
        pass
    async with Exchange(server.endpoint) as exchange:
        with pytest.raises(ConnectionRefusedError):
            await exchange.ask(ASK)


class Line(asyncio.Transport):
    """Leads nowhere: the test hands the connection what comes."""

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass


async def asked(signs: list[str]) -> tuple[Connection, asyncio.Task[Received]]:
    """Begin an exchange that notes each sign of progress."""
    connection = Connection()
    connection.connection_made(Line())
    request = Request(ASK.head, most_bytes=100, progress=lambda: signs.append("sign"))
    asking = asyncio.create_task(connection.exchange(request))
    await asyncio.sleep(0)
    return connection, asking


async def signs_of_progress(pieces: list[bytes]) -> tuple[list[int], asyncio.Task[Received]]:
    """Return how many there had been after each piece that came, and the exchange."""
    signs: list[str] = []
    connection, asking = await asked(signs)
    counts = []
    for piece in pieces:
        connection.data_received(piece)
        counts.append(len(signs))
    return counts, asking


async def test_whatever_comes_and_leaves_more_to_come_is_progress():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
    signs, asking = await signs_of_progress([head, b"ab", b"cd", b"ef"])
    assert (await asking).body == b"abcdef"
    assert signs == [1, 2, 3, 3], "who has it all needs no more time"


async def test_what_comes_whole_costs_no_sign_of_progress():
    signs, asking = await signs_of_progress([OK])
    assert (await asking).body == b"hi"
    assert signs == [0]


async def test_bytes_that_add_nothing_to_the_answer_are_no_progress():
    """Else a server could go on for ever without ever saying more than was agreed to."""
    idle = [b"HTTP/1.1 102 Processing\r\n\r\n"] * 3
    extension = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2;x", b"xx", b"xx"]
    signs, asking = await signs_of_progress([*idle, *extension, b"\r\nhi", b"\r\n0\r\n", b"\r\n"])
    assert (await asking).body == b"hi"
    assert signs == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


async def test_what_is_refused_is_no_progress():
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"
    signs, asking = await signs_of_progress([long, b"x" * 100, b"x"])
    with pytest.raises(TooLongError):
        await asking
    assert signs == [1, 2, 2]


async def test_whoever_has_given_up_hears_of_no_progress():
    """Their time is over: it cannot be counted anew."""
    signs: list[str] = []
    connection, asking = await asked(signs)
    connection.data_received(OK[:-2])
    asking.cancel()
    connection.data_received(OK[-2:-1])
    assert signs == ["sign"]
    with pytest.raises(asyncio.CancelledError):
        await asking
