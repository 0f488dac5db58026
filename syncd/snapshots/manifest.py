"""Which files a pulled folder is made of, in the order of their keys: a file of one line each, read as a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.errors import PermanentStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syncd.store.base import ObjectInfo

OWN_DIRECTORY = ".syncd"  # in a pulled folder: what syncd knows of it
_LONGEST_NAME_BYTES = 255  # source: limits.h, NAME_MAX


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    path: str  # "/"-separated, relative to the folder
    size_bytes: int
    sha256: bytes | None  # None: whoever wrote the object did not say


def entry_of(item: ObjectInfo, prefix: str) -> Entry:
    """Return the file an object becomes.

    Raises:
        PermanentStoreError: No folder can hold a file of that name; someone else's object.
    """
    path = item.key.removeprefix(prefix)
    for name in path.split("/"):
        if name in {"", ".", ".."} or "\0" in name or len(name.encode()) > _LONGEST_NAME_BYTES:
            raise PermanentStoreError(
                f"{path!r} cannot be a file in a folder: one of its parts is {name!r}",
                cause="someone else wrote that object; syncd has no such names",
                next_step="pull without it: name what is wanted, as in syncd pull REF DIR images/cats",
            )
    return Entry(path, item.size_bytes, item.sha256)


def line_of(entry: Entry) -> str:
    """Return the line of a file, with its end."""
    sha256 = entry.sha256.hex() if entry.sha256 else ""
    return json.dumps([entry.path, entry.size_bytes, sha256], ensure_ascii=True) + "\n"


def read(path: Path) -> Iterator[Entry]:
    """Yield the files of a manifest."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            name, size_bytes, sha256 = json.loads(line)
            yield Entry(name, size_bytes, bytes.fromhex(sha256) or None)
