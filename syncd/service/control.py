"""The daemon's Unix socket: how `syncd snapshot` and `syncd status` reach it.

One request for each connection: a line of JSON goes in, a line of JSON comes out. Some requests borrow something,
such as a pause, which lasts for as long as the connection does, however its other end goes. The socket lies in the
private state directory, so that only the daemon's user reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any, Self

import structlog

from syncd import local_socket
from syncd.errors import SyncdError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
    Lender = Callable[[Mapping[str, Any]], AbstractAsyncContextManager[None]]

log = structlog.get_logger(__name__)

SOCKET_NAME = "syncd.sock"
LONGEST_LINE_BYTES = 1 << 20


class RemoteError(SyncdError):
    """What the daemon answered instead of a result."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(
            str(answer.get("fact", "the daemon failed")),
            cause=str(answer.get("cause", "")),
            next_step=str(answer.get("next_step", "")),
        )
        self.exit_code = int(answer.get("exit_code", 1))


class ControlServer:
    """Listens in the state directory; an async context manager.

    Args:
        state_dir: Where the socket lies.
        handlers: By command, what answers it.
        lenders: By command, what is entered for it, and left when the caller hangs up.
    """

    def __init__(
        self, state_dir: Path, handlers: Mapping[str, Handler], lenders: Mapping[str, Lender] | None = None
    ) -> None:
        self._path, self._handlers, self._lenders = state_dir / SOCKET_NAME, handlers, lenders or {}
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start to listen. The caller holds the state directory's lock, so a socket found there is a dead one."""
        listening = local_socket.bound(self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LONGEST_LINE_BYTES)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop listening, and end the calls that still wait."""
        if self._server is not None:
            self._server.close()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            request, answer = _understood(await reader.readline()), None
            if request["command"] in self._lenders:
                async with self._lenders[request["command"]](request):
                    await _send(writer, {"result": {}})
                    await reader.read(1)
            else:
                answer = await _until_hung_up(self._answer(request), reader)
            if answer is not None:
                await _send(writer, answer)
        writer.close()

    async def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        handler = self._handlers.get(request["command"])
        if handler is None:
            return {
                "error": {
                    "fact": "the daemon does not know this request",
                    "exit_code": 2,
                    "cause": "the command and the daemon are of different versions",
                    "next_step": "restart the daemon",
                }
            }
        try:
            return {"result": await handler(request)}
        except SyncdError as error:
            return {
                "error": {
                    "fact": error.fact,
                    "cause": error.cause,
                    "next_step": error.next_step,
                    "exit_code": error.exit_code,
                }
            }


def _understood(line: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
    except ValueError:
        request = None
    return request if isinstance(request, dict) and isinstance(request.get("command"), str) else {"command": ""}


async def _send(writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


async def _until_hung_up(work: Awaitable[Mapping[str, Any]], reader: asyncio.StreamReader) -> Mapping[str, Any] | None:
    """Return the work's result, or None once the caller has gone away."""
    doing = asyncio.ensure_future(work)
    hung_up = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({doing, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
        hung_up.cancel()


async def call(state_dir: Path, command: str, **values: Any) -> Mapping[str, Any]:
    """Ask the daemon of a state directory.

    Raises:
        ConnectionError: No daemon listens there.
        RemoteError: The daemon answered with an error.
    """
    async with _asked(state_dir, command, values) as answer:
        return answer


@contextlib.asynccontextmanager
async def borrowed(state_dir: Path, command: str, **values: Any) -> AsyncIterator[None]:
    """Hold what the daemon of a state directory lends; raises as :func:`call`.

    Should the daemon end meanwhile, nothing is said of it here.
    """
    async with _asked(state_dir, command, values):
        yield


@contextlib.asynccontextmanager
async def _asked(state_dir: Path, command: str, values: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Lend the answer; the connection stands for as long."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with local_socket.short_name(state_dir / SOCKET_NAME) as name:
            connection.connect(name)
    except OSError as error:
        connection.close()
        raise ConnectionError(f"no daemon listens in {state_dir}") from error
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LONGEST_LINE_BYTES)
    try:
        writer.write(json.dumps({"command": command, **values}).encode() + b"\n")
        yield _result(await reader.readline())
    finally:
        writer.close()


def _result(line: bytes) -> Mapping[str, Any]:
    if not line:
        raise ConnectionError("the daemon stopped before it answered")
    answer: Mapping[str, Any] = json.loads(line)
    if "error" in answer:
        raise RemoteError(answer["error"])
    result: Mapping[str, Any] = answer["result"]
    return result
