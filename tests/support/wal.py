"""How many transactions a journal has seen, read from its write-ahead log as SQLite writes it.

Source: sqlite.org/fileformat2.html, "The Write-Ahead Log".
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24


class Log(NamedTuple):
    """A log since it was begun anew."""

    salts: tuple[int, int]  # others: it was begun anew
    commits: int
    bytes: int


def log_of(journal: Path) -> Log:
    """Return the log of a journal that is open in WAL mode."""
    content = journal.with_name(f"{journal.name}-wal").read_bytes()
    page_bytes, _, *salts = struct.unpack(">IIII", content[8:24])
    commits, at = 0, _HEADER_BYTES
    while at + _FRAME_HEADER_BYTES + page_bytes <= len(content):
        _, pages_after_commit, *own = struct.unpack(">IIII", content[at : at + 16])
        if own != salts:  # from before it was begun anew
            break
        commits += pages_after_commit != 0
        at += _FRAME_HEADER_BYTES + page_bytes
    return Log((salts[0], salts[1]), commits, at)
