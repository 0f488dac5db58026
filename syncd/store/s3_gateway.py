"""The object store: one branch of a lakeFS repository, through the server's S3 gateway.

No request is tried twice here: the planner decides when to try again, and every failure comes out as an error of
``syncd.errors``.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from syncd.errors import ContentChangedStoreError, PermanentStoreError, StoreError
from syncd.keys import describe_key_fault, key_fault
from syncd.store import translate
from syncd.store.base import SHA256_METADATA, DeleteOutcome, ObjectInfo, digest_from_metadata, fetched_whole
from syncd.store.observing import nobody
from syncd.store.s3_body import CHANGED, CHUNK_BYTES, SMALL_BYTES, StreamedBody, as_body, matches
from syncd.store.s3_calls import Calls
from syncd.store.s3_direct import DirectS3
from syncd.store.s3_general import GeneralClient, plain_errors
from syncd.store.trust import require_ca_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from syncd.model import Fingerprint
    from syncd.store.observing import Observer

MAX_KEYS_PER_DELETE = 1_000  # source: lakeFS pkg/gateway/operations/deleteobjects.go, after the Amazon S3 API
DELETES_AT_ONCE = 4  # requests
SLOWEST_COPY_BYTES_A_SECOND = 8 << 20  # by the server, which says nothing meanwhile
SLOWEST_UPLINK_BYTES_A_SECOND = 256 << 10  # shared by all uploads; what the system has taken of one shows no progress
_NOT_IN_XML = ("\ufffe", "\uffff")  # fine in a key, but one of them spoils a whole delete request


class S3Gateway:
    """An ``ObjectStore`` on one branch; use it as ``async with S3Gateway(...) as store``.

    At most ``concurrency`` requests are under way at a time; further calls wait for their turn.
    """

    def __init__(  # noqa: PLR0913  # each is one setting of the configuration
        self,
        *,
        endpoint: str,
        access_key_id: str,
        secret_access_key: str,
        repository: str,
        branch: str,
        concurrency: int = 64,
        addressing_style: str = "path",
        ca_file: str | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
        on_progress: Callable[[], None] = lambda: None,
        observer: Observer = nobody,
    ) -> None:
        """Prepare a store; nothing is sent before it is entered and used.

        Args:
            endpoint: The server's URL, "http://127.0.0.1:8000"; without "/api/v1".
            access_key_id: Of lakeFS.
            secret_access_key: Of lakeFS.
            repository: Its name, the S3 bucket.
            branch: Its name, the first part of every S3 key.
            concurrency: Requests under way at a time, and connections kept.
            addressing_style: "path", or "virtual" where the repository is part of the host name.
            ca_file: PEM file of the certificates to trust; None: the system's.
            connect_timeout_s: For a connection.
            read_timeout_s: Without progress in either direction; not for a whole upload. What other uploads send at
                the same time is allowed for.
            on_progress: Called when a request begins, and whenever bytes of one have gone or come.
            observer: Told of each request.
        """
        self._place = translate.Place(endpoint=endpoint, repository=repository, branch=branch)
        self._ca_file = ca_file
        self._exit_stack = AsyncExitStack()
        self._leaving_bytes = 0  # of pieces that are on their way to the server at a time
        keys = access_key_id, secret_access_key
        where: dict[str, Any] = {"endpoint": endpoint, "addressing_style": addressing_style, "ca_file": ca_file}
        timeouts_s = connect_timeout_s, read_timeout_s
        self._calls = Calls(
            self._place,
            concurrency=concurrency,
            timeouts_s=timeouts_s,
            on_progress=on_progress,
            observer=observer,
        )
        self._general = GeneralClient(keys=keys, connections=concurrency, timeouts_s=timeouts_s, **where)
        self._direct = DirectS3(keys=keys, bucket=repository, **where)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(require_ca_file, self._ca_file)
        await self._exit_stack.enter_async_context(self._general)
        await self._exit_stack.enter_async_context(self._direct)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exit_stack.aclose()

    async def put(self, key: str, body: bytes | BinaryIO, fingerprint: Fingerprint, content_type: str) -> None:
        """See ``ObjectStore.put``. Bytes that are not those of the SHA-256 are refused by the server unstored."""
        doing = f"storing {key}"
        _check(key, doing)
        if fingerprint.size_bytes > SMALL_BYTES:
            await self._general.opened()
        piece_bytes = min(fingerprint.size_bytes, CHUNK_BYTES)
        self._leaving_bytes += piece_bytes
        patience_s = self._leaving_bytes / SLOWEST_UPLINK_BYTES_A_SECOND
        try:
            async with self._calls.one("PutObject", doing, more_s=patience_s) as progressed:
                sent = await as_body(body, fingerprint.size_bytes, progressed)
                if isinstance(sent, bytes):
                    etag = await self._direct.put(self._path(key), sent, fingerprint, content_type)
                else:
                    etag = await self._put_stream(key, sent, fingerprint, content_type)
        except StoreError as error:
            if _is_internal_error(error) and not await matches(body, fingerprint):
                raise ContentChangedStoreError(f"syncd gave up {doing}", cause=CHANGED) from error
            raise
        finally:
            self._leaving_bytes -= piece_bytes
        if not etag:
            raise translate.not_lakefs(doing, self._place)
        if etag != fingerprint.md5.hex():
            raise ContentChangedStoreError(
                f"{key} was stored with the ETag {etag} instead of {fingerprint.md5.hex()}",
                cause=CHANGED,
            )

    async def copy(self, source: str, reference: str, key: str, fingerprint: Fingerprint) -> None:
        """See ``ObjectStore.copy``; lakeFS reads and stores all bytes anew."""
        doing = f"copying {source} of {reference} to {key}"
        _check(key, doing)
        patience_s = fingerprint.size_bytes / SLOWEST_COPY_BYTES_A_SECOND
        async with self._calls.one("CopyObject", doing, more_s=patience_s):
            etag = await self._direct.copy(f"{reference}/{source}", self._path(key))
        if not etag:
            raise translate.not_lakefs(doing, self._place)
        if etag != fingerprint.md5.hex():
            raise ContentChangedStoreError(f"{key} was copied with the ETag {etag} instead of {fingerprint.md5.hex()}")

    async def delete(self, keys: Sequence[str]) -> DeleteOutcome:
        """See ``ObjectStore.delete``. More than 1,000 keys are sent in several requests, a few at a time.

        On a branch that does not exist lakeFS deletes nothing and says that it did: check the branch first.
        """
        failed: dict[str, StoreError] = {}
        together, alone = [], []
        for key in dict.fromkeys(keys):
            if key_fault(key) is not None:  # one such key would spoil the request for all others
                failed[key] = _key_error(key, f"deleting {key}")
            elif any(character in key for character in _NOT_IN_XML):
                alone.append(key)
            else:
                together.append(key)
        deleted: set[str] = set()
        pieces = (together[at : at + MAX_KEYS_PER_DELETE] for at in range(0, len(together), MAX_KEYS_PER_DELETE))

        async def delete_pieces() -> None:
            for piece in pieces:  # one iterator for all: each piece is taken once
                gone, refused = await self._delete_together(piece)
                deleted.update(gone)
                failed.update(refused)

        workers = [delete_pieces() for _ in range(min(DELETES_AT_ONCE, -(-len(together) // MAX_KEYS_PER_DELETE)))]
        for outcome in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        for key in alone:
            await self._delete_alone(key)
            deleted.add(key)
        return DeleteOutcome(deleted=frozenset(deleted), failed=failed)

    async def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``. None also where the branch or the repository is missing."""
        doing = f"looking up {key}"
        _check(key, doing)
        client = await self._general.opened()  # which may take a second: none of the server's
        async with self._calls.one("HeadObject", doing):
            try:
                with plain_errors():
                    answer = await client.head_object(Bucket=self._place.repository, Key=self._path(key))
            except translate.RefusedError as error:
                if error.answer.status == HTTPStatus.NOT_FOUND:
                    return None
                raise
        return ObjectInfo(
            key=key,
            size_bytes=answer["ContentLength"],
            etag=self._etag(answer, doing),
            sha256=digest_from_metadata(answer["Metadata"].get(SHA256_METADATA)),
        )

    async def get(self, key: str) -> bytes:
        """See ``ObjectStore.get``."""
        return await fetched_whole(self, key)

    async def fetch(self, key: str, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """See ``ObjectStore.fetch``."""
        doing = f"reading {key}"
        _check(key, doing)
        client = await self._general.opened()
        async with self._calls.one("GetObject", doing) as progressed:
            with plain_errors():
                answer = await client.get_object(Bucket=self._place.repository, Key=self._path(key))
            self._etag(answer, doing)
            async with answer["Body"] as stream:
                chunks = stream.iter_chunks(CHUNK_BYTES)
                while True:
                    with plain_errors():  # the sink's own stay as they are
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    progressed()
                    await sink(chunk)
                    progressed()

    async def _put_stream(self, key: str, body: StreamedBody, fingerprint: Fingerprint, content_type: str) -> str:
        client = await self._general.opened()
        with plain_errors():
            answer = await client.put_object(
                Bucket=self._place.repository,
                Key=self._path(key),
                Body=body,
                ContentLength=fingerprint.size_bytes,
                ContentType=content_type,
                Metadata={SHA256_METADATA: fingerprint.sha256.hex()},
            )
        return str(answer.get("ETag", "")).strip('"')

    async def _delete_together(self, keys: Sequence[str]) -> tuple[set[str], dict[str, StoreError]]:
        doing = f"deleting {len(keys)} objects"
        async with self._calls.one("DeleteObjects", doing):
            said = await self._direct.delete_many([self._path(key) for key in keys])
        if said is None:
            raise translate.not_lakefs(doing, self._place)
        said_deleted, said_failed = said
        deleted, failed = set(), {}
        for key in keys:
            path = self._path(key)
            if path in said_failed:
                failed[key] = self._entry_error(key, *said_failed[path])
            elif path in said_deleted:
                deleted.add(key)
            else:
                failed[key] = PermanentStoreError(f"lakeFS did not say what became of {key} when deleting it")
        return deleted, failed

    async def _delete_alone(self, key: str) -> None:
        doing = f"deleting {key}"
        async with self._calls.one("DeleteObject", doing):
            if not await self._direct.delete(self._path(key)):
                raise translate.not_lakefs(doing, self._place)

    def _etag(self, answer: dict[str, Any], doing: str) -> str:
        """Return the ETag, which every object of lakeFS has: an answer without one comes from elsewhere."""
        etag: str = answer.get("ETag", "").strip('"')
        if not etag:
            raise translate.not_lakefs(doing, self._place)
        return etag

    def _entry_error(self, key: str, code: str, message: str) -> StoreError:
        status = 500 if code in {"InternalError", "SlowDown"} else 400  # an entry carries none of its own
        answer = translate.Answer(status=status, code=code, message=message)
        return translate.refused(answer, f"deleting {key}", self._place)

    def _path(self, key: str) -> str:
        return f"{self._place.branch}/{key}"


def _is_internal_error(error: StoreError) -> bool:
    """Return whether the server said InternalError, as it also does for a body that fails its digest."""
    said = error.__cause__
    return isinstance(said, translate.RefusedError) and said.answer.code == "InternalError"


def _check(key: str, doing: str) -> None:
    if key_fault(key) is not None:
        raise _key_error(key, doing)


def _key_error(key: str, doing: str) -> PermanentStoreError:
    fault = key_fault(key)
    return PermanentStoreError(f"Nothing was sent for {doing!r}", cause=describe_key_fault(fault) if fault else "")
