"""How much room a row takes, near enough, as a function of its values alone. Pure.

Bounds that count rows alone bound no memory: a row of numbers takes a few hundred bytes, one with an embedding or a
document a thousand times as many. A unit here is about half of what a value takes at most while a part is made of its
row: once as Python's object, once as Arrow's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_ROWS = 5_000  # fetched at once …
MOST_BYTES = 4 << 20  # … and so many bytes at most, if the next rows are as wide as the last ones
FIRST_ROWS = 64  # fetched before it is known how wide they are

_VALUE = 16  # of any value
_ELEMENT = 32  # of an array
_CHARACTER = 3  # at most, of text that is not ASCII
_MEASURED = 100  # rows of a batch
_GROWTH = 8
_BYTES, _ARRAYS, _NUMBERS = {bytes, bytearray, memoryview}, {list, tuple}, {int, float}


def width(row: Sequence[Any]) -> int:
    """Return about how many bytes a row takes. Another measure would cut the tables of wide rows anew."""
    size = _VALUE * len(row)
    for value in row:
        kind = type(value)
        if kind is str:
            size += len(value) if value.isascii() else _CHARACTER * len(value)
        elif kind in _BYTES:
            size += len(value)
        elif kind in _ARRAYS:
            size += _ELEMENT * len(value)
            if value and type(value[0]) not in _NUMBERS:
                size += width(value)
    return size


def rows_to_fetch(fetched: Sequence[Sequence[Any]]) -> int:
    """Return how many rows to fetch after these, of which there is one at least."""
    some = fetched[:: len(fetched) // _MEASURED + 1]
    each = sum(map(width, some)) // len(some)
    return max(1, min(MOST_ROWS, MOST_BYTES // max(each, 1), _GROWTH * len(fetched)))
