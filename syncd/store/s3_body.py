"""Bodies of uploads: files streamed in bounded memory, off the event loop, and checked for their length."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO

from syncd.store.translate import BodyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from syncd.model import Fingerprint

CHUNK_BYTES = 1024 * 1024
CHANGED = "The file changed while it was sent: its bytes are not those of the fingerprint"
SMALL_BYTES = CHUNK_BYTES  # a file up to here is read whole: one thread hop, and no 100-continue round trip


class StreamedBody:
    """Exactly ``size_bytes`` of a file, as a body that botocore and aiohttp take.

    Memory is one chunk. Where the file is shorter or longer than its fingerprint says, sending breaks off with
    ``BodyError``.
    """

    def __init__(self, source: bytes | BinaryIO, size_bytes: int, on_progress: Callable[[], None]) -> None:
        """Prepare a body.

        Args:
            source: Bytes, or a file at its start.
            size_bytes: What the request's Content-Length says.
            on_progress: Called each time another chunk has gone to the network.
        """
        self._source, self._size_bytes, self._on_progress = source, size_bytes, on_progress

    def read(self, _size: int = -1) -> bytes:
        """Refuse: botocore asks only whether a body has this method; aiohttp iterates."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks, once."""
        for start in range(0, self._size_bytes, CHUNK_BYTES):
            expected = min(CHUNK_BYTES, self._size_bytes - start)
            chunk = await self._read(start, expected)
            if len(chunk) != expected:
                raise BodyError(CHANGED)
            yield chunk
            self._on_progress()

    async def _read(self, start: int, size_bytes: int) -> bytes:
        if isinstance(self._source, bytes):
            return self._source[start : start + size_bytes]
        return await asyncio.to_thread(_read_up_to, self._source, size_bytes)


async def as_body(source: bytes | BinaryIO, size_bytes: int, on_progress: Callable[[], None]) -> bytes | StreamedBody:
    """Return what to send: the bytes if they are few, else a stream, which is botocore's to send.

    Raises:
        BodyError: The body cannot be read, or its length is not ``size_bytes``.
    """
    if isinstance(source, bytes):
        if len(source) != size_bytes:
            raise BodyError(CHANGED)
        return source if size_bytes <= SMALL_BYTES else StreamedBody(source, size_bytes, on_progress)
    if size_bytes <= SMALL_BYTES:
        content = await asyncio.to_thread(_read_up_to, source, size_bytes + 1)
        if len(content) != size_bytes:
            raise BodyError(CHANGED)
        return content
    if await asyncio.to_thread(_measure, source) != size_bytes:
        raise BodyError(CHANGED)
    return StreamedBody(source, size_bytes, on_progress)


async def matches(source: bytes | BinaryIO, fingerprint: Fingerprint) -> bool:
    """Read a body once more and return whether it is what the fingerprint says; one that cannot be read is not."""
    try:
        return await asyncio.to_thread(_sha256, source) == fingerprint.sha256
    except (BodyError, OSError):
        return False


def _measure(source: BinaryIO) -> int:
    """Return a file's size in bytes, and leave it at its start."""
    size_bytes = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size_bytes


def _sha256(source: bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    source.seek(0)
    digest = hashlib.sha256()
    while chunk := _read_up_to(source, CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()


def _read_up_to(source: BinaryIO, size_bytes: int) -> bytes:
    """Read so many bytes, fewer only at the end: an unbuffered file may give fewer at a time."""
    try:
        content = source.read(size_bytes)
        while content and len(content) < size_bytes and (more := source.read(size_bytes - len(content))):
            content += more
    except OSError as error:
        raise BodyError(f"The file could not be read: {error.strerror or error}") from error
    return content
