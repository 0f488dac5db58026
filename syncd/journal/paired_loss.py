"""What a version of a table that is being read would take out of what fits together, by what its rows say alone.

Rows of both versions are held against the images that are in the source now, so that images that came or went since
the last version make no difference: those that went are asked about as images. A row that is published counts as well
though no such image was ever there: the table's rows were not compared with images before, or are published all.
Cost follows the rows of the pieces that changed.
"""

# ruff: noqa: S608 - put together from constants alone

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncd.journal.sql_terms import directory_of
from syncd.journal.table_rows import GONE
from syncd.model import PairedLoss

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_IN_SOURCE = "(e.seen_sha256 IS NOT NULL OR e.kept)"  # what is kept stays published, so it may be named


def _entry_of(image: str) -> str:
    """Return the condition that ``e`` is an image's entry."""
    directory = directory_of(image)
    return f"e.directory = {directory} AND e.name = substr({image}, length({directory}) + 1)"


_COUNTED = f"CASE WHEN e.name IS NULL THEN r.shown ELSE {_IN_SOURCE} END"
_COMES_AGAIN = "r.table_name = i.table_name AND r.row_key = i.row_key"

_FEWER_ROWS = f"""
WITH old (seen_image, shown) AS (
    SELECT seen_image, shown FROM table_row WHERE table_name = :name AND {GONE}
    UNION ALL
    SELECT r.seen_image, r.shown FROM incoming_row i CROSS JOIN table_row r ON {_COMES_AGAIN}
    WHERE i.table_name = :name AND r.seen = 1
)
SELECT (SELECT count(*) FROM old r LEFT JOIN entry e ON {_entry_of("r.seen_image")} WHERE {_COUNTED})
     - (SELECT count(*) FROM incoming_row i CROSS JOIN entry e ON {_entry_of("i.image")}
        WHERE i.table_name = :name AND {_IN_SOURCE})
"""

_NAMED_BY = "SELECT 1 FROM table_row n INDEXED BY table_row_image WHERE n.table_name = :name AND n.seen_image = "
_STAYS = """
n.part NOT IN (SELECT value FROM json_each(:parts))
AND NOT EXISTS (SELECT 1 FROM incoming_row i WHERE i.table_name = :name AND i.row_key = n.row_key)
"""
_FEWER_IMAGES = f"""
WITH named_before (image) AS (
    SELECT seen_image FROM table_row WHERE table_name = :name AND seen_image IS NOT NULL AND {GONE}
    UNION
    SELECT r.seen_image FROM incoming_row i CROSS JOIN table_row r ON {_COMES_AGAIN}
    WHERE i.table_name = :name AND r.seen_image IS NOT NULL AND r.seen_image IS NOT i.image
), named_now (image) AS (
    SELECT DISTINCT i.image FROM incoming_row i LEFT JOIN table_row r ON {_COMES_AGAIN}
    WHERE i.table_name = :name AND i.image IS NOT NULL AND r.seen_image IS NOT i.image
)
SELECT (
    SELECT count(*) FROM named_before b CROSS JOIN entry e ON {_entry_of("b.image")}
    WHERE e.seen_sha256 IS NOT NULL AND NOT e.withheld
    AND b.image NOT IN (SELECT image FROM incoming_row WHERE table_name = :name AND image IS NOT NULL)
    AND NOT EXISTS ({_NAMED_BY} b.image AND {_STAYS})
) - (
    SELECT count(*) FROM named_now a CROSS JOIN entry e ON {_entry_of("a.image")}
    WHERE e.seen_sha256 IS NOT NULL AND NOT EXISTS ({_NAMED_BY} a.image)
), live_images - (SELECT count(*) FROM entry INDEXED BY entry_withheld WHERE withheld = 1) FROM state
"""

_PAIRED_ROWS = f"""
SELECT count(*) FROM table_row r LEFT JOIN entry e ON {_entry_of("r.seen_image")}
WHERE r.table_name = :name AND r.seen = 1 AND {_COUNTED}
"""


def paired_loss(
    connection: sqlite3.Connection, name: str, changed_parts: Sequence[str], *, counts_all: bool = False
) -> PairedLoss:
    """Return how much less fits together once the rows laid by take the place of those these pieces held.

    Args:
        connection: In one read: images come and go meanwhile.
        name: The table's.
        changed_parts: These pieces.
        counts_all: Say of how many rows; that costs the whole table.
    """
    values = {"name": name, "parts": json.dumps(list(changed_parts))}
    (rows,) = connection.execute(_FEWER_ROWS, values).fetchone()
    images, of_images = connection.execute(_FEWER_IMAGES, values).fetchone()
    (of_rows,) = connection.execute(_PAIRED_ROWS, values).fetchone() if counts_all else (None,)
    return PairedLoss(rows, images, of_images, of_rows)
