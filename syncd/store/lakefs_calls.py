"""Calls of the lakeFS SDK from asyncio: in threads of their own, with time limits, errors translated.

The SDK is synchronous and has no time limit of its own. Nothing is read from ``~/.lakectl.yaml`` or from the
environment, and urllib3 repeats nothing.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3

from syncd import __version__
from syncd.store import translate
from syncd.store.lakefs_sdk import ApiException, Configuration, LakeFSClient, OpenApiException
from syncd.store.observing import API, nobody, observed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from syncd.store.observing import Observer

T = TypeVar("T")

PAGE_ROWS = 1_000  # the most lakeFS gives in one answer
THREADS = 4


class SDKCalls:
    """A client of the SDK and the threads its calls run in.

    ``client`` is the SDK's own, to name its functions; they are called through ``call`` and ``rows`` only.
    """

    def __init__(
        self,
        *,
        place: translate.Place,
        access_key_id: str,
        secret_access_key: str,
        ca_file: str | None,
        limits_s: tuple[float, float],
        observer: Observer = nobody,
    ) -> None:
        """Prepare a client; nothing is sent.

        Args:
            place: The server and the repository.
            access_key_id: Of lakeFS.
            secret_access_key: Of lakeFS.
            ca_file: PEM file of the certificates to trust; None: the system's.
            limits_s: Seconds for a connection and for an answer, where a call has none of its own.
            observer: Told of each request.
        """
        self._place, self._limits_s, self._observer = place, limits_s, observer
        self.client: Any = _client(place.endpoint, access_key_id, secret_access_key, ca_file)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="syncd-lakefs")

    def close(self) -> None:
        """Start no further call. One that is under way ends by itself, at the latest at its time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client._api.rest_client.pool_manager.clear()  # noqa: SLF001  # the SDK has no way to close its sockets

    async def rows(
        self,
        doing: str,
        function: Callable[..., Any],
        *references: str,
        of: Callable[[Mapping[str, Any]], T],
        page_rows: int = PAGE_ROWS,
        **query: Any,
    ) -> AsyncIterator[T]:
        """Yield the rows of a paged answer, each as ``of`` makes it; two pages are in memory at a time.

        Whoever asks for the second page is expected to want them all: from there on the next one is asked for while
        the last one is worked on.
        """
        page = _page(function, of)

        def ask(after: str) -> Awaitable[tuple[list[T], str | None]]:
            place = self._place.repository, *references
            return self.call(doing, page, *place, after=after, amount=page_rows, **query)

        rows, after = await ask("")
        for row in rows:
            yield row
        ahead = None if after is None else asyncio.ensure_future(ask(after))
        try:
            while ahead is not None:
                rows, after = await ahead
                ahead = None if after is None else asyncio.ensure_future(ask(after))
                for row in rows:
                    yield row
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def call(
        self,
        doing: str,
        function: Callable[..., Any],
        *args: Any,
        branch: str = "",
        limits_s: tuple[float, float] | None = None,
        **query: Any,
    ) -> Any:
        """Make one request in a thread of the pool, with time limits, and translate what goes wrong."""
        with observed(self._observer, API, function.__name__):
            return await self._call(doing, function, args, query, replace(self._place, branch=branch), limits_s)

    async def _call(
        self,
        doing: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        query: dict[str, Any],
        place: translate.Place,
        limits_s: tuple[float, float] | None,
    ) -> Any:
        call = partial(function, *args, **query, _request_timeout=limits_s or self._limits_s)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except ApiException as error:
            if error.status:
                answer = translate.answer_in_json(error.status, error.headers or {}, error.body or "")
                raise translate.refused(answer, doing, place) from error
            raise translate.unreachable(error, doing, place) from error  # the SDK's form of a TLS fault
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise translate.unreachable(error, doing, place) from error
        except (ValueError, TypeError, LookupError, AttributeError, OpenApiException) as error:  # it cannot be read
            raise translate.not_lakefs(doing, place) from error
        if answer is None:  # a status that the API does not define; all calls made here have a result
            raise translate.not_lakefs(doing, place)
        return answer


def no_answer(function: Callable[..., Any]) -> Callable[..., bool]:
    """Return the function with an answer in place of none, by which ``call`` tells a server that is not lakeFS."""

    @wraps(function)
    def call(*args: Any, **query: Any) -> bool:
        function(*args, **query)
        return True

    return call


def _page(
    function: Callable[..., Any], of: Callable[[Mapping[str, Any]], T]
) -> Callable[..., tuple[list[T], str | None]]:
    """Return the function with a page's rows, and after what the next page begins, as its answer.

    The objects that the SDK makes of rows cost eight times as much as reading their JSON.
    """
    plain = getattr(function.__self__, f"{function.__name__}_with_http_info")  # type: ignore[attr-defined]  # a method

    @wraps(function)
    def call(*args: Any, **query: Any) -> tuple[list[T], str | None]:
        answer = json.loads(plain(*args, _preload_content=False, **query).raw_data)
        pagination = answer["pagination"]
        return [of(row) for row in answer["results"]], pagination["next_offset"] if pagination["has_more"] else None

    return call


def _client(endpoint: str, access_key_id: str, secret_access_key: str, ca_file: str | None) -> Any:
    configuration: Any = Configuration(
        host=endpoint, username=access_key_id, password=secret_access_key, ssl_ca_cert=ca_file
    )
    configuration.retries = False  # urllib3's own: a commit or a tag must not be sent twice behind our back
    configuration.connection_pool_maxsize = THREADS
    make_client: Any = LakeFSClient  # carries no types
    return make_client(configuration, header_name="X-Lakefs-Client", header_value=f"syncd/{__version__}")
