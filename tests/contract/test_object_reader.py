"""Objects are read through lakeFS's API as through its S3 gateway: byte for byte, in pieces, errors say why."""

from __future__ import annotations

import random

import pytest

from syncd.errors import NeedsPersonStoreError, NotFoundStoreError
from syncd.store.base import ObjectReader
from syncd.store.lakefs_stream import CHUNK_BYTES
from tests.support.stores import RealServer, Stores

ODD = ["images/a b+c%20&?#=.png", "images/ümlaut/日本.png", "images/'\"<>;:@$,.png", "images/..a/~.png", "images/a//b"]


async def read(reader: ObjectReader, key: str) -> bytes:
    chunks: list[bytes] = []

    async def take(chunk: bytes) -> None:
        chunks.append(chunk)

    await reader.fetch(key, take)
    return b"".join(chunks)


@pytest.mark.parametrize("key", ODD)
async def test_odd_names_are_read(stores: Stores, key: str) -> None:
    await stores.put(key, key.encode())
    assert await read(stores.reader, key) == key.encode()


async def test_what_is_there_is_told_with_its_digest(stores: Stores) -> None:
    await stores.put("images/a b.png", b"content")
    assert await stores.reader.head("images/a b.png") == await stores.objects.head("images/a b.png")
    assert (await stores.reader.head("images/a b.png")).sha256 == stores.fingerprint(b"content").sha256
    assert await stores.reader.head("images/b.png") is None
    await stores.put_foreign("images/theirs.png", b"theirs")
    assert (await stores.reader.head("images/theirs.png")).sha256 is None


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 << 20])
async def test_objects_of_every_size_arrive_whole(stores: Stores, size_bytes: int) -> None:
    content = random.Random(size_bytes).randbytes(size_bytes)
    await stores.put("images/a.png", content)
    assert await read(stores.reader, "images/a.png") == content


async def test_what_is_not_there_is_not_found(stores: Stores) -> None:
    with pytest.raises(NotFoundStoreError, match=r"images/a\.png"):
        await read(stores.reader, "images/a.png")
    async with stores.server.open(stores.repository, "no-such-branch") as nowhere:
        with pytest.raises(NotFoundStoreError):
            await read(nowhere.reader, "images/a.png")


async def test_an_error_of_the_sink_is_the_sinks(stores: Stores) -> None:
    await stores.put("images/a.png", b"a")

    class FullError(Exception):
        pass

    async def refuse(_: bytes) -> None:
        raise FullError

    with pytest.raises(FullError):
        await stores.reader.fetch("images/a.png", refuse)


@pytest.mark.lakefs
async def test_wrong_keys_are_named(real_server: RealServer, real_stores: Stores) -> None:
    await real_stores.put("images/a.png", b"a")
    wrong = RealServer(real_server.endpoint, "AKIAWRONG", "wrong")
    async with wrong.open(real_stores.repository) as stores:
        with pytest.raises(NeedsPersonStoreError, match="401"):
            await read(stores.reader, "images/a.png")
