"""Objects of a snapshot as bytes, or in a file without a name: none is handed on that is not what its digest says."""

from __future__ import annotations

import hashlib
import io
import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, BinaryIO

from syncd.errors import PermanentStoreError, SyncdError
from syncd.snapshots.patience import patiently

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncd.store.base import ObjectInfo, ObjectReader


class NoRoomError(SyncdError):
    """An object does not fit onto this machine's disk."""


async def read_object(one: ObjectInfo, objects: ObjectReader) -> bytes:
    """Return an object's bytes; for what fits into memory. What fails in passing is tried again.

    Args:
        one: As listed.
        objects: Of that commit.

    Raises:
        PermanentStoreError: It is not there, or not what the listing says.
        StoreError: lakeFS does not answer or refuses.
    """
    file = io.BytesIO()
    await patiently(lambda: _fetch(one, objects, file))
    return file.getvalue()


@asynccontextmanager
async def object_file(one: ObjectInfo, objects: ObjectReader) -> AsyncIterator[BinaryIO]:
    """Lend an object as a file without a name, at its start; for what may not fit into memory.

    Raises:
        NoRoomError: Nor does it fit onto the disk. Else as above.
    """
    with tempfile.TemporaryFile() as file:
        await patiently(lambda: _fetch(one, objects, file))
        file.seek(0)
        yield file


async def _fetch(one: ObjectInfo, objects: ObjectReader, file: BinaryIO) -> None:
    sha256, size_bytes = hashlib.sha256(), 0
    file.seek(0)
    file.truncate()

    async def take(chunk: bytes) -> None:
        nonlocal size_bytes
        sha256.update(chunk)
        size_bytes += len(chunk)
        try:
            file.write(chunk)
        except OSError as error:
            raise NoRoomError(
                f"{one.key} cannot be laid by on this machine while it is read: {error.strerror}",
                cause=f"it has {one.size_bytes:,} bytes, and goes to {tempfile.gettempdir()}",
                next_step="free some, or let TMPDIR name another place",
            ) from error

    await objects.fetch(one.key, take)
    if size_bytes != one.size_bytes or one.sha256 not in {None, sha256.digest()}:
        raise PermanentStoreError(
            f"{one.key}: its bytes are not those of its digest",
            cause="they were damaged where lakeFS stores them",
            next_step="syncd verify --read-data names all such objects",
        )
