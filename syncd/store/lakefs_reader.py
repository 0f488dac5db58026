"""Reads the objects of one reference through lakeFS's own API: at a seventh of the CPU that the S3 client takes for it.

Nothing is signed and nothing is parsed but the head of the answer; what a pull of many small objects costs is made of
just that. Bytes come through the server, as by the S3 gateway.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from syncd import __version__
from syncd.errors import NotFoundStoreError
from syncd.store import translate
from syncd.store.lakefs_rows import to_object
from syncd.store.trust import require_ca_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from syncd.store.base import ObjectInfo

CHUNK_BYTES = 1 << 18
_MOST_SAID_BYTES = 1 << 16  # of an error's text


class LakeFSReader:
    """The objects of a commit, a tag or a branch, to be read; use it as ``async with``.

    Args:
        endpoint: The server's URL, "http://127.0.0.1:8000"; without "/api/v1".
        access_key_id: Of lakeFS.
        secret_access_key: Of lakeFS.
        repository: Its name.
        reference: Commit id, tag or branch.
        concurrency: Requests under way at a time, and connections kept.
        ca_file: PEM file of the certificates to trust; None: the system's.
        connect_timeout_s: For a connection.
        read_timeout_s: Without progress; not for a whole object.
    """

    def __init__(  # noqa: PLR0913  # each is one setting of the configuration
        self,
        *,
        endpoint: str,
        access_key_id: str,
        secret_access_key: str,
        repository: str,
        reference: str,
        concurrency: int = 64,
        ca_file: str | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
    ) -> None:
        self._place = translate.Place(endpoint=endpoint, repository=repository, branch=reference)
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth(access_key_id, secret_access_key),
            "Accept-Encoding": "identity",
            "X-Lakefs-Client": f"syncd/{__version__}",
        }
        self._concurrency, self._ca_file = concurrency, ca_file
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s)
        parts = (f"{endpoint.rstrip('/')}/api/v1/repositories", repository, "refs", quote(reference, safe=""))
        self._objects = f"{'/'.join(parts)}/objects"
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(require_ca_file, self._ca_file)
        trusted: ssl.SSLContext | bool = True
        if self._place.endpoint.startswith("https"):  # loading the system's certificates takes a while
            trusted = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._concurrency, ssl=trusted),
                headers=self._headers,
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        try:
            async with self._answer(f"looking up {key}", "/stat?user_metadata=true&path=", key) as answer:
                found = json.loads(await answer.read())
        except NotFoundStoreError:
            return None
        return to_object(SimpleNamespace(**{"metadata": None} | found))

    async def fetch(self, key: str, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """See ``ObjectStore.fetch``."""
        async with self._answer(f"reading {key}", "?path=", key) as answer:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                await sink(chunk)

    @asynccontextmanager
    async def _answer(self, doing: str, query: str, key: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask about a key, and translate what goes wrong, also while the body is read."""
        if self._session is None:
            raise AssertionError("the reader is not entered")
        url = URL(self._objects + query + quote(key, safe=""), encoded=True)
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status != HTTPStatus.OK:
                    raise translate.refused(await _said(answer), doing, self._place)
                if "X-Request-Id" not in answer.headers:
                    raise translate.not_lakefs(doing, self._place)
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise translate.unreachable(error, doing, self._place) from error


async def _said(answer: aiohttp.ClientResponse) -> translate.Answer:
    text = await answer.content.read(_MOST_SAID_BYTES)
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    is_object = isinstance(body, dict)
    return translate.Answer(
        status=answer.status,
        message=str(body.get("message", "")) if is_object else "",
        headers={name.lower(): value for name, value in answer.headers.items()},
        from_lakefs=is_object,
    )
