"""The rows of the database's table as bytes, so that they compare as files do, whatever they are kept in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLE = "tables/digits/"  # where a snapshot has its parts
ROWS = "tables/digits/ (rows)"  # the path its rows are compared under


def as_bytes(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Return rows as a text, one a line, in the order of their first value."""
    return "\n".join(json.dumps(row) for row in sorted(rows)).encode()
