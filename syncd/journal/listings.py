"""Which directories were found to hold exactly what the journal says, so that the next listing compares no single file.

The digest of such a listing is kept for as long as no entry of the directory changes; triggers see to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.fingerprint import listing_digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from syncd.model import Agreed


def listed_as(connection: sqlite3.Connection, directory: str) -> bytes | None:
    """Return the digest of the listing that agreed with what is known of a directory, if it still holds."""
    row = connection.execute("SELECT digest FROM listing WHERE directory = ?", (directory,)).fetchone()
    return None if row is None else bytes(row[0])


def note(connection: sqlite3.Connection, found: Sequence[Agreed]) -> None:
    """Remember listings, each only if what it showed is what is known now; costs the files of these directories."""
    for one in found:
        rows = connection.execute(
            "SELECT name, mtime_ns, ctime_ns, size_bytes, inode FROM entry"
            " WHERE directory = ? AND seen_sha256 IS NOT NULL ORDER BY name",
            (one.directory,),
        ).fetchall()
        if listing_digest(rows) == one.kept:
            connection.execute("INSERT OR REPLACE INTO listing VALUES (?, ?)", (one.directory, one.digest))
