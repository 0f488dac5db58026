"""Cutting a table's rows into parts, so that a change of few rows changes few parts. Pure; memory: one part.

Where a part begins depends on the key of its first row alone: on a hash of it, as rsync and restic cut files. Counting
rows instead would move every later boundary when one row is inserted. One row inserted, changed or deleted thus
touches the part that holds it, and the one before when it is the first of its part.

Of wide rows a part of as many would not fit into memory. There a row is the likelier to begin a part the wider it is,
by the same hash, so that parts have a size in bytes on average. That depends on the row alone as well.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from syncd.sources.tables.part_names import FIRST, key_bytes, part_name
from syncd.sources.tables.row_width import width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from syncd.sources.tables.base import Kind, Row

TARGET_ROWS = 10_000
MOST_TIMES = 8  # the target; one part in three thousand would be larger

# A part is held as rows and as Arrow's columns at once, and besides it what was fetched: with these bounds a process
# that reads rows of 50 kB stays at 230 MB, 100 of which are its libraries. Where rows take up to 1.2 KiB, which is 70
# numbers, a part ends after so many rows as ever, but for the few that would take more than 24 MiB.
TARGET_BYTES = 12 << 20
MOST_TIMES_BYTES = 2  # one part of wide rows in eight would be larger

_HASH_BYTES = 8
_HASHES = 1 << 8 * _HASH_BYTES


class Begun(Enum):
    """Why a part begins where it does."""

    KEY = "key"  # by its first row's key, or since the table does; nothing else matters
    WIDTH = "width"  # by its first row's key and width
    FULL = "full"  # the part before is full


class Part(NamedTuple):
    """A run of rows."""

    name: str  # see part_names
    rows: list[Row]  # one at least; the receiver's to keep or to clear
    begun: Begun = Begun.KEY


def cut(
    batches: Iterable[Sequence[Row]],
    key_position: int,
    kind: Kind,
    *,
    target_rows: int = TARGET_ROWS,
    target_bytes: int = TARGET_BYTES,
) -> Iterator[Part]:
    """Cut rows in the order of their keys into parts.

    A row begins a part when the hash of its key says so, which that of one key in ``target_rows`` does and, of wide
    rows, of one in ``target_bytes / width``; or when the part before it is full, with ``MOST_TIMES`` as many rows or
    ``MOST_TIMES_BYTES`` as many bytes. Only the boundaries of full parts can move when a row comes or goes in front of
    them, and no further than to the next boundary by hash. The first part of a table always has the same name, so that
    rows inserted before the first one rename none.

    Args:
        batches: The rows; how they are batched makes no difference.
        key_position: Where in a row its key stands.
        kind: The key's.
        target_rows: How many rows a part has on average. Another figure changes all parts.
        target_bytes: How many bytes a part of wide rows has on average, as ``row_width`` counts them. None has more
            than twice as many, unless it is one row.

    Raises:
        TableFaultError: Values of this kind cannot be keys, or a key is not of this kind.
    """
    encoded = key_bytes(kind)
    most_rows, most_bytes = MOST_TIMES * target_rows, MOST_TIMES_BYTES * target_bytes
    part, held_bytes = Part(FIRST, []), 0
    for batch in batches:
        for row in batch:
            key, size = encoded(row[key_position]), width(row)
            begun = _begins_part(key, size, target_rows, target_bytes)
            if begun is None and part.rows and (len(part.rows) == most_rows or held_bytes + size > most_bytes):
                begun = Begun.FULL
            if begun is not None:
                name = FIRST
                if part.rows:
                    yield part
                    name = part_name(key)
                part, held_bytes = Part(name, [], begun), 0
            part.rows.append(row)
            held_bytes += size
    if part.rows:
        yield part


def _begins_part(key: bytes, size: int, target_rows: int, target_bytes: int) -> Begun | None:
    number = int.from_bytes(hashlib.blake2b(key, digest_size=_HASH_BYTES).digest(), "big")
    if number % target_rows == 0:
        return Begun.KEY
    if size * target_rows > target_bytes and number * target_bytes < size * _HASHES:
        return Begun.WIDTH
    return None
