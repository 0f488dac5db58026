"""Reads the objects of one reference through lakeFS's own API.

Nothing is signed and nothing is parsed but the head of the answer; what a pull of many small objects costs is made of
just that. Bytes come through the server, as by the S3 gateway.
"""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from syncd import __version__
from syncd.errors import NotFoundStoreError
from syncd.store import translate
from syncd.store.base import fetched_whole
from syncd.store.http_connection import AnswerError, Request, TooLongError
from syncd.store.http_exchange import Exchange
from syncd.store.lakefs_rows import to_object
from syncd.store.lakefs_stream import Streams
from syncd.store.trust import require_ca_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from syncd.store.base import ObjectInfo

SMALL_BYTES = 1 << 20  # the most that comes in one piece


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
        keys = base64.b64encode(f"{access_key_id}:{secret_access_key}".encode()).decode()
        headers = {
            "Authorization": f"Basic {keys}",
            "Accept-Encoding": "identity",
            "X-Lakefs-Client": f"syncd/{__version__}",
        }
        parts, base = urlsplit(endpoint), endpoint.rstrip("/")
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head += f"Host: {parts.netloc.rpartition('@')[2]}\r\n\r\n"
        self._objects = f"{base}/api/v1/repositories/{repository}/refs/{quote(reference, safe='')}/objects"
        self._address_begins = len(f"{parts.scheme}://{parts.netloc}")
        self._ca_file = ca_file
        self._timeouts_s = connect_timeout_s, read_timeout_s
        self._slots, self._stack = asyncio.Semaphore(concurrency), AsyncExitStack()
        self._exchange = Exchange(endpoint, ca_file=ca_file)
        self._streams = Streams(
            headers=headers,
            tls=parts.scheme == "https",
            ca_file=ca_file,
            concurrency=concurrency,
            timeouts_s=self._timeouts_s,
        )

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(require_ca_file, self._ca_file)
        await self._stack.enter_async_context(self._exchange)
        await self._stack.enter_async_context(self._streams)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        try:
            found = json.loads(await self._small(f"looking up {key}", "/stat?user_metadata=true&path=", key))
        except NotFoundStoreError:
            return None
        return to_object(found)

    async def get(self, key: str) -> bytes:
        """See ``ObjectReader.get``."""
        try:
            return await self._small(f"reading {key}", "?path=", key)
        except TooLongError:  # it is not as small as the caller thought
            return await fetched_whole(self, key)

    async def fetch(self, key: str, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """See ``ObjectReader.fetch``."""
        with self._translated(f"reading {key}"):
            async with self._streams.chunks(self._url("?path=", key)) as chunks:
                async for chunk in chunks:
                    await sink(chunk)

    async def _small(self, doing: str, query: str, key: str) -> bytes:
        """Ask about a key and return the answer's body."""
        address = self._url(query, key)[self._address_begins :]
        head = f"GET {address} HTTP/1.1\r\n{self._head}".encode("latin-1")
        async with self._slots:
            with self._translated(doing):
                async with asyncio.timeout(sum(self._timeouts_s)) as limit:
                    request = Request(head, most_bytes=SMALL_BYTES, progress=partial(self._more_time, limit))
                    received = await self._exchange.ask(request)
        if received.status != HTTPStatus.OK:
            answer = translate.answer_in_json(received.status, received.headers, received.body)
            raise translate.refused(answer, doing, self._place)
        if "x-request-id" not in received.headers:
            raise translate.not_lakefs(doing, self._place)
        return received.body

    def _more_time(self, limit: asyncio.Timeout) -> None:
        """Count the time anew: on a slow line, shared by many objects, each of them goes on and takes long."""
        limit.reschedule(asyncio.get_running_loop().time() + self._timeouts_s[1])

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except translate.RefusedError as error:
            if not error.answer.status:
                raise translate.not_lakefs(doing, self._place) from error
            raise translate.refused(error.answer, doing, self._place) from error
        except TooLongError:
            raise
        except (translate.LostError, AnswerError, OSError) as error:
            raise translate.unreachable(error, doing, self._place) from error

    def _url(self, query: str, key: str) -> str:
        return self._objects + query + quote(key, safe="")
