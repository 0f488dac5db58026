"""A reverse proxy between the daemon and lakeFS that counts requests; loopback only, ends with its test."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable


class CountingProxy:
    """Forwards every connection, and counts the requests it carries by what they do. A context manager."""

    def __init__(self, endpoint: str) -> None:
        target = urlsplit(endpoint)
        self._target = (target.hostname or "127.0.0.1", target.port or 80)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="counting-proxy")
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.put_bytes = 0  # of objects that came by since the last call of ``take``
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self.endpoint = starting.result(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def take(self) -> Counter[str]:
        """Return the counts since the last call: put, copy, delete, list, commit, merge, tag, branch (or listing)."""
        with self._lock:
            counts, self._counts = self._counts, Counter[str]()
            self.put_bytes = 0
        return counts

    def _count(self, line: bytes, body_bytes: int, *, copies: bool) -> None:
        kind = "copy" if copies else _kind(line.decode("latin-1").strip())
        self._counts[kind] += 1
        self.put_bytes += body_bytes if kind == "put" else 0

    async def _listen(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(self._requests(reader, up_writer), _copy(up_reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            up_writer.close()

    async def _requests(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        """Forward request by request, so that a body is never taken for a request line."""
        while line := await reader.readline():
            upstream.write(line)
            length, copies = 0, False
            while (header := await reader.readline()) not in {b"\r\n", b""}:
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                if name.lower() == b"transfer-encoding":
                    raise AssertionError("the proxy knows bodies by their length only")
                copies |= name.lower() == b"x-amz-copy-source"
                upstream.write(header)
            with self._lock:
                self._count(line, length, copies=copies)
            upstream.write(b"\r\n")
            await upstream.drain()
            while length:
                chunk = await reader.readexactly(min(length, 1 << 16))
                length -= len(chunk)
                upstream.write(chunk)
                await upstream.drain()
        upstream.write_eof()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    writer.close()


def _kind(line: str) -> str:
    method, target, *_ = line.split(" ")
    path, _, query = target.partition("?")
    kinds: Iterable[tuple[str, bool]] = (
        ("lease", "-lease/" in path),
        ("branch", path.endswith("/branches")),
        ("commit", method == "POST" and path.endswith("/commits")),
        ("merge", method == "POST" and "/merge/" in path),
        ("tag", method == "POST" and path.endswith("/tags")),
        ("list", "/objects/ls" in path or "list-type" in query or "prefix=" in query),
        ("api", path.startswith("/api/")),
        ("put", method == "PUT"),
        ("delete", method == "DELETE" or query.startswith("delete")),
    )
    return next((kind for kind, fits in kinds if fits), "other")
