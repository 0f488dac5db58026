"""A database without a name for what may not fit into memory; on the disk (``TMPDIR``) beyond some megabytes."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREPARE = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32000"


@contextmanager
def scratch_database() -> Iterator[sqlite3.Connection]:
    """Lend an empty database for use by one thread at a time; it is gone afterwards, whatever happens.

    A thread that uses it must have ended by then: see ``in_thread_to_its_end``. Nothing is ever committed: a
    transaction begins by itself, also after ``executescript``, which ends one.
    """
    with closing(sqlite3.connect("", check_same_thread=False)) as connection:
        connection.executescript(_PREPARE)
        yield connection
