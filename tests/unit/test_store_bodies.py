"""How bodies are read, and how requests are signed without reading them."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

import pytest
from botocore.awsrequest import AWSRequest

from syncd.model import Fingerprint
from syncd.store.s3_body import CHUNK_BYTES, SMALL_BYTES, StreamedBody, as_body, matches
from syncd.store.s3_signing import KnownDigestSigner
from syncd.store.translate import BodyError

if TYPE_CHECKING:
    from pathlib import Path

LARGE_BYTES = SMALL_BYTES + CHUNK_BYTES + 1


def nothing() -> None:
    """Take note of no progress."""


class _Pipe(io.BytesIO):
    """A file that gives at most 1,000 bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1000 if size is None or size < 0 else min(size, 1000))


class _Broken(io.BytesIO):
    def read(self, _size: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("kind", [io.BytesIO, _Pipe])
async def test_a_small_file_becomes_bytes_and_a_large_one_is_streamed(kind: type[io.BytesIO]) -> None:
    small, large = os.urandom(5000), os.urandom(LARGE_BYTES)
    assert await as_body(kind(small), len(small), nothing) == small

    progress: list[None] = []
    body = await as_body(kind(large), len(large), lambda: progress.append(None))
    assert isinstance(body, StreamedBody)
    chunks = [chunk async for chunk in body]
    assert b"".join(chunks) == large
    assert max(map(len, chunks)) == CHUNK_BYTES
    assert len(progress) == len(chunks)


async def test_a_file_cut_short_while_it_is_sent_is_noticed(tmp_path: Path) -> None:
    """P2: the rest is not made up."""
    path = tmp_path / "large"
    path.write_bytes(bytes(LARGE_BYTES))
    with path.open("rb") as file:
        body = await as_body(file, LARGE_BYTES, nothing)
        assert isinstance(body, StreamedBody)
        os.truncate(path, CHUNK_BYTES)
        with pytest.raises(BodyError, match="changed"):
            [chunk async for chunk in body]


async def test_a_file_that_cannot_be_read_says_so() -> None:
    with pytest.raises(BodyError, match="Input/output error"):
        await as_body(_Broken(b"small"), 5, nothing)
    body = await as_body(_Broken(bytes(LARGE_BYTES)), LARGE_BYTES, nothing)
    assert isinstance(body, StreamedBody)
    with pytest.raises(BodyError, match="Input/output error"):
        [chunk async for chunk in body]


async def test_a_file_that_cannot_be_read_any_more_is_not_what_it_was() -> None:
    content = b"it"
    fingerprint = Fingerprint(hashlib.sha256(content).digest(), b"", len(content))
    assert await matches(content, fingerprint)
    assert not await matches(_Broken(content), fingerprint)


def test_the_digest_in_the_metadata_is_signed_and_the_body_is_not_read() -> None:
    digest = hashlib.sha256(b"one").hexdigest()
    request = AWSRequest(
        method="PUT",
        url="http://127.0.0.1:8000/photos/staging/images/1.jpg",
        headers={"x-amz-meta-sha256": digest},
        data=_Broken(b"one"),
    )
    KnownDigestSigner("AKIAEXAMPLE", "secret").sign(request)
    assert request.headers["X-Amz-Content-SHA256"] == digest
    assert "x-amz-meta-sha256" in request.headers["Authorization"]
    assert "secret" not in request.headers["Authorization"]


def test_a_body_without_a_digest_is_hashed_for_the_signature() -> None:
    request = AWSRequest(method="POST", url="http://127.0.0.1:8000/photos?delete", data=b"<Delete/>")
    KnownDigestSigner("AKIAEXAMPLE", "secret").sign(request)
    assert request.headers["X-Amz-Content-SHA256"] == hashlib.sha256(b"<Delete/>").hexdigest()
