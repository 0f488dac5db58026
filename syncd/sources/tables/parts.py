"""Cutting a table's rows into parts, so that a change of few rows changes few parts. Pure; memory: one part.

Where a part begins depends on the key of its first row alone: on a hash of it, as rsync and restic cut files. Counting
rows instead would move every later boundary when one row is inserted. One row inserted, changed or deleted thus
touches the part that holds it, and the one before when it is the first of its part.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from syncd.sources.tables.part_names import FIRST, key_bytes, part_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from syncd.sources.tables.base import Kind, Row

TARGET_ROWS = 10_000
MOST_TIMES = 8  # the target; one part in three thousand would be larger

_HASH_BYTES = 8


class Part(NamedTuple):
    """A run of rows."""

    name: str  # see part_names
    rows: list[Row]  # one at least; the receiver's to keep or to clear


def cut(
    batches: Iterable[Sequence[Row]], key_position: int, kind: Kind, *, target_rows: int = TARGET_ROWS
) -> Iterator[Part]:
    """Cut rows in the order of their keys into parts.

    A row begins a part when the hash of its key says so, which that of one key in ``target_rows`` does, or when the
    part before it is full, with ``MOST_TIMES`` as many rows. Only the boundaries of full parts can move when a row
    comes or goes in front of them, and no further than to the next boundary by hash. The first part of a table always
    has the same name, so that rows inserted before the first one rename none.

    Args:
        batches: The rows; how they are batched makes no difference.
        key_position: Where in a row its key stands.
        kind: The key's.
        target_rows: How many rows a part has on average. Another figure changes all parts.

    Raises:
        TableFaultError: Values of this kind cannot be keys, or a key is not of this kind.
    """
    encoded = key_bytes(kind)
    most_rows = MOST_TIMES * target_rows
    part = Part(FIRST, [])
    for batch in batches:
        for row in batch:
            key = encoded(row[key_position])
            if part.rows and (_begins_part(key, target_rows) or len(part.rows) == most_rows):
                yield part
                part = Part(part_name(key), [])
            part.rows.append(row)
    if part.rows:
        yield part


def _begins_part(key: bytes, target_rows: int) -> bool:
    return int.from_bytes(hashlib.blake2b(key, digest_size=_HASH_BYTES).digest(), "big") % target_rows == 0
