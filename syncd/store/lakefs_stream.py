"""Large objects through lakeFS's own API: streamed, by aiohttp, which is loaded on first use."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from syncd.store.translate import Answer, LostError, RefusedError, answer_in_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

CHUNK_BYTES = 1 << 18
_MOST_SAID_BYTES = 1 << 16  # of an error's text


class Streams:
    """Opens answers whose body comes in pieces; use it as ``async with``.

    Args:
        headers: Of every request.
        tls: Whether the server speaks TLS.
        ca_file: PEM file of the certificates to trust; None: the system's.
        concurrency: Connections at a time.
        timeouts_s: For a connection, and for the next bytes.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        tls: bool,
        ca_file: str | None,
        concurrency: int,
        timeouts_s: tuple[float, float],
    ) -> None:
        self._headers, self._tls, self._ca_file = headers, tls, ca_file
        self._concurrency, self._timeouts_s = concurrency, timeouts_s
        self._stack, self._one_opens = AsyncExitStack(), asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def chunks(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask for a URL, already escaped, and yield its body's chunks.

        Raises:
            RefusedError: The server said no; within the context, too.
            LostError: There is no answer, or no more of it.
        """
        session = await self._opened()
        import aiohttp  # noqa: PLC0415 - loaded by now
        from yarl import URL  # noqa: PLC0415

        try:
            async with session.get(URL(url, encoded=True), allow_redirects=False) as answer:
                if answer.status != HTTPStatus.OK:
                    text = await answer.content.read(_MOST_SAID_BYTES)
                    raise RefusedError(answer_in_json(answer.status, answer.headers, text))
                if "X-Request-Id" not in answer.headers:
                    raise RefusedError(Answer(status=0, from_lakefs=False))
                yield answer.content.iter_chunked(CHUNK_BYTES)
        except aiohttp.ClientError as error:
            raise LostError(str(error)) from error

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._one_opens:
            if self._session is None:
                self._session = await self._stack.enter_async_context(await self._open())
        return self._session

    async def _open(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415 - a quarter of a second that few need

        trusted: ssl.SSLContext | bool = True
        if self._tls:  # loading the system's certificates takes a while
            trusted = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        connect_s, read_s = self._timeouts_s
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, ssl=trusted),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
