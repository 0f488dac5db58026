"""Connections that fail, servers that do not answer, and answers that are lost."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from syncd.errors import (
    ContentChangedStoreError,
    NeedsPersonStoreError,
    PermanentStoreError,
    StoreError,
    TransientStoreError,
)
from syncd.store.base import fetched_whole
from tests.support import odd_servers
from tests.support.stores import RealServer, Stores

if TYPE_CHECKING:
    from collections.abc import Coroutine

LARGE_BYTES = 8 * 1024 * 1024  # more than any socket buffer holds
LIMITS: dict[str, Any] = {"connect_timeout_s": 0.2, "read_timeout_s": 0.3}


def every_call(stores: Stores) -> dict[str, Coroutine[Any, Any, Any]]:
    """Return one call of each kind, not yet awaited."""
    large = bytes(LARGE_BYTES)
    fingerprint = stores.fingerprint(large)
    return {
        "put": stores.put("images/1.jpg", b"one"),
        "put large": stores.objects.put("images/2.jpg", io.BytesIO(large), fingerprint, "image/jpeg"),
        "delete": stores.objects.delete(["images/1.jpg"]),
        "delete alone": stores.objects.delete(["images/\ufffe"]),
        "object head": stores.objects.head("images/1.jpg"),
        "get": stores.objects.get("images/1.jpg"),
        "fetch": stores.reader.fetch("images/1.jpg", asyncio.Queue().put),
        "reader head": stores.reader.head("images/1.jpg"),
        "version": stores.versions.server_version(),
        "head": stores.versions.head("main"),
        "head_id": stores.versions.head_id("main"),
        "commit": stores.versions.commit("staging", "m", {}),
        "merge": stores.versions.merge("staging", "main", "m", {}),
        "create_tag": stores.versions.create_tag("v1", "0" * 64),
        "tag_target": stores.versions.tag_target("v1"),
        "ensure_repository": stores.versions.ensure_repository("local://x", "main"),
        "ensure_branch": stores.versions.ensure_branch("staging", "main"),
        "objects": stores.keys("main"),
        "uncommitted": stores.changes(),
        "tags": anext(stores.versions.tags()),
    }


async def errors_of_every_call(stores: Stores) -> dict[str, StoreError]:
    """Make the calls at the same time; each must fail as a store error."""
    calls = every_call(stores)
    results = await asyncio.gather(*calls.values(), return_exceptions=True)
    errors = dict(zip(calls, results, strict=True))
    for name, error in errors.items():
        assert isinstance(error, StoreError), (name, error)
    return errors  # type: ignore[return-value]


def assert_transient(errors: dict[str, StoreError]) -> None:
    """All of them may be tried again."""
    assert [name for name, error in errors.items() if not isinstance(error, TransientStoreError)] == []


async def test_a_server_that_is_down_is_asked_after() -> None:
    async with odd_servers.silent_server() as odd:
        endpoint = odd.endpoint  # free again below
    async with RealServer(endpoint).open("photos") as stores:
        errors = await errors_of_every_call(stores)
    assert_transient(errors)
    for error in errors.values():
        assert endpoint in str(error)
        assert "is lakeFS running?" in error.next_step


async def test_a_host_that_does_not_exist_is_named() -> None:
    async with RealServer("http://lakefs.invalid:8000").open("photos", **LIMITS) as stores:
        for call in (stores.put("images/1.jpg", b"one"), stores.versions.head("main")):
            with pytest.raises(TransientStoreError, match=r"lakefs\.invalid"):
                await call


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    """Also where it leaves "Expect: 100-continue" unanswered, which aiohttp alone would wait for without end."""
    async with (
        odd_servers.silent_server() as odd,
        RealServer(odd.endpoint).open("photos", commit_timeout_s=0.3, **LIMITS) as stores,
    ):
        started = time.monotonic()
        errors = await errors_of_every_call(stores)
    assert_transient(errors)
    assert time.monotonic() - started < 10, "a handful of threads, one limit after the other"


async def test_a_server_that_stops_reading_is_given_up_in_time() -> None:
    large = os.urandom(LARGE_BYTES)
    async with odd_servers.deaf_server() as odd, RealServer(odd.endpoint).open("photos", **LIMITS) as stores:
        for body in (large, io.BytesIO(large)):
            with pytest.raises(TransientStoreError, match="in time"):
                async with asyncio.timeout(10):
                    await stores.objects.put("images/1.jpg", body, stores.fingerprint(large), "image/jpeg")


async def test_an_upload_has_time_for_what_is_sent_beside_it() -> None:
    """A slow line is shared: what the system has taken of an upload, and not sent yet, shows no progress."""
    content = os.urandom(1 << 18)  # one second, at the slowest that is reckoned with
    async with (
        odd_servers.late_server(1.2, hashlib.md5(content, usedforsecurity=False).hexdigest()) as odd,
        RealServer(odd.endpoint).open("photos", **LIMITS) as stores,
    ):
        fingerprint = stores.fingerprint(content)
        await stores.objects.put("images/1.jpg", content, fingerprint, "image/jpeg")
        with pytest.raises(TransientStoreError, match="in time"):
            await stores.put("images/2.jpg", b"alone, and small")
        outcomes = await asyncio.gather(
            stores.objects.put("images/1.jpg", content, fingerprint, "image/jpeg"),
            stores.put("images/2.jpg", b"small, and beside it"),
            return_exceptions=True,
        )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], ContentChangedStoreError), "it had the time to be answered"


async def test_an_object_may_take_longer_than_the_time_without_progress() -> None:
    """A slow line is shared by all that is read over it: each object takes long, and each goes on."""
    patience = {"connect_timeout_s": 0.1, "read_timeout_s": 0.8}
    async with odd_servers.slow_server(20, 0.1) as odd, RealServer(odd.endpoint).open("photos", **patience) as stores:
        started = time.monotonic()
        together = [stores.reader.get(f"images/{number}.jpg") for number in range(8)]
        streamed = [fetched_whole(stores.reader, "images/9.jpg"), stores.objects.get("images/9.jpg")]
        contents = await asyncio.gather(*together, *streamed)
        assert time.monotonic() - started > 0.9, "it would have come in time anyway"
    assert contents == [b"x" * 20] * 10


async def test_an_object_that_stops_half_way_is_given_up_in_time() -> None:
    async with odd_servers.stalling_server() as odd, RealServer(odd.endpoint).open("photos", **LIMITS) as stores:
        reads = [
            stores.reader.get("images/1.jpg"),
            stores.reader.head("images/1.jpg"),
            stores.reader.fetch("images/1.jpg", asyncio.Queue().put),
            stores.objects.get("images/1.jpg"),
        ]
        async with asyncio.timeout(10):
            errors = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(error) for error in errors] == [TransientStoreError] * 4


async def test_a_connection_that_breaks_is_transient() -> None:
    async with odd_servers.hanging_up_server() as odd, RealServer(odd.endpoint).open("photos") as stores:
        assert_transient(await errors_of_every_call(stores))


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "503 Slow Down", "504 Timeout", "429 Too Many"])
async def test_a_busy_server_or_proxy_is_transient_and_is_asked_once(status: str) -> None:
    """The planner decides when to try again; no library does so behind its back."""
    page = b"<html>busy</html>"
    async with (
        odd_servers.canned_server(status, page, {"Retry-After": "7"}) as odd,
        RealServer(odd.endpoint).open("photos") as stores,
    ):
        errors = await errors_of_every_call(stores)
        assert len(odd.requests) == len(errors)
    assert_transient(errors)
    assert {getattr(error, "retry_after_s", None) for error in errors.values()} == {7.0}


@pytest.mark.parametrize(
    ("status", "page"),
    [
        ("404 Not Found", b"<html>nothing here</html>"),
        ("200 OK", b"<html>welcome</html>"),
        ("200 OK", b""),
        ("405 Method Not Allowed", b"<html>no</html>"),
    ],
)
async def test_a_server_that_is_not_lakefs_is_recognised(status: str, page: bytes) -> None:
    headers = {"Content-Type": "text/html", "Location": "http://127.0.0.1:9/login"}
    async with (
        odd_servers.canned_server(status, page, headers) as odd,
        RealServer(odd.endpoint).open("photos") as stores,
    ):
        for call in (
            stores.put("images/1.jpg", b"one"),
            stores.versions.head("main"),
            stores.versions.ensure_repository("local://x", "main"),
            stores.versions.server_version(),
        ):
            with pytest.raises(NeedsPersonStoreError) as caught:
                await call
            assert "lakefs.endpoint" in caught.value.next_step


async def test_a_proxy_that_limits_the_size_is_named() -> None:
    async with (
        odd_servers.canned_server("413 Too Large", b"<html>nginx</html>") as odd,
        RealServer(odd.endpoint).open("photos") as stores,
    ):
        with pytest.raises(PermanentStoreError, match="that large"):
            await stores.put("images/1.jpg", b"one")


async def test_an_answer_without_a_word_on_a_key_is_no_success() -> None:
    """P8: a deletion counts only if the server names the key."""
    answer = b"<DeleteResult><Deleted><Key>staging/a</Key></Deleted></DeleteResult>"
    async with (
        odd_servers.canned_server("200 OK", answer, {"Content-Type": "application/xml"}) as odd,
        RealServer(odd.endpoint).open("photos") as stores,
    ):
        outcome = await stores.objects.delete(["a", "b"])
    assert outcome.deleted == {"a"}
    assert set(outcome.failed) == {"b"}


async def test_requests_under_way_are_bounded() -> None:
    fingerprint = Stores.fingerprint(b"x")
    headers = {"ETag": f'"{fingerprint.md5.hex()}"'}
    async with (
        odd_servers.counting_server(4, headers) as odd,
        RealServer(odd.endpoint).open("photos", concurrency=4) as stores,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(40):
            tasks.create_task(stores.objects.put(f"images/{number}.jpg", b"x", fingerprint, "image/jpeg"))
    assert odd.most_active == 4
    assert len([head for head in odd.requests if b"PUT /" in head]) == 40


async def test_a_cancelled_call_frees_its_place() -> None:
    async with (
        odd_servers.silent_server() as odd,
        RealServer(odd.endpoint).open("photos", concurrency=1) as stores,
    ):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stores.put("images/1.jpg", b"one")


class _RecordedFile(io.BytesIO):
    """A file that remembers how much each read gave."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reads: list[int] = []

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.reads.append(len(content))
        return content


@pytest.mark.lakefs
async def test_a_large_file_is_read_once_and_a_chunk_at_a_time(real_stores: Stores) -> None:
    """P7: memory does not grow with the file, and its digest is not computed again."""
    content = os.urandom(LARGE_BYTES)
    file = _RecordedFile(content)
    await real_stores.objects.put("images/1.tif", file, real_stores.fingerprint(content), "image/tiff")
    assert max(file.reads) <= 1024 * 1024
    assert sum(file.reads) == LARGE_BYTES


@pytest.mark.lakefs
async def test_a_put_whose_answer_is_lost_is_unknown_and_may_be_made_again(
    real_server: RealServer, real_stores: Stores
) -> None:
    async with odd_servers.lossy_proxy(real_server.endpoint) as odd:
        async with real_server.open(real_stores.repository, endpoint=odd.endpoint, **LIMITS) as stores:
            with pytest.raises(TransientStoreError):
                await stores.put("images/1.jpg", b"one")
        await odd.answered.wait()
    assert await real_stores.objects.get("images/1.jpg") == b"one"
    await real_stores.put("images/1.jpg", b"one")
    assert await real_stores.changes() == [("added", "images/1.jpg")]


@pytest.mark.lakefs
async def test_a_commit_whose_answer_is_lost_is_found_by_its_metadata(
    real_server: RealServer, real_stores: Stores
) -> None:
    """P4: in doubt the head says whether the commit was made."""
    await real_stores.put("images/1.jpg", b"one")
    async with odd_servers.lossy_proxy(real_server.endpoint) as odd:
        lost = real_server.open(real_stores.repository, endpoint=odd.endpoint, commit_timeout_s=0.5)
        async with lost as stores:
            with pytest.raises(TransientStoreError, match="may have done it"):
                await stores.versions.commit("staging", "m", {"syncd.snapshot": "intent 7"})
            assert len([head for head in odd.requests if head.startswith(b"POST ")]) == 1, "not sent twice"
        await odd.answered.wait()
    head = await real_stores.versions.head("staging")
    assert dict(head.metadata) == {"syncd.snapshot": "intent 7"}
    assert not await real_stores.changes()
