"""A snapshot held against what its sources hold now: the folder and the tables are read anew, by the same rules.

The real sources look once, into a journal of their own that is thrown away and knows what the snapshot holds. So it
costs what a first look costs: every file is read.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.journal import Journal, adoption, closure, pictures
from syncd.model import CLOSURE_LIST, IMAGES, TABLES, source_of
from syncd.service.engine import utc_now
from syncd.service.sources import make_sources
from syncd.service.tables import excluding_tables
from syncd.sources.folder import FolderSource
from syncd.store.pages import pages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from syncd.config import Settings
    from syncd.journal.pictures import WaitingChange
    from syncd.snapshots.reference import Pinned
    from syncd.sources.base import LeftOut, Source
    from syncd.store.base import VersionStore

_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCheck:
    """What differs."""

    changes: Sequence[WaitingChange]  # sorted by key; "deleted" is what the snapshot holds and the source does not
    left_out: Sequence[LeftOut]  # what could not be read, or was still changing: of that nothing is known


async def check_source(
    settings: Settings, found: Pinned, versions: VersionStore, *, patience: timedelta
) -> SourceCheck:
    """Look at the sources and return what the snapshot holds otherwise. Memory: what differs.

    Tables that are not configured, and what syncd itself says of tables, are not compared.

    Args:
        settings: Name the sources.
        found: The commit.
        versions: For its listing.
        patience: How long files that are still changing are waited for.

    Raises:
        SourceUnavailableError: A source cannot be read.
        StoreError: lakeFS does not answer or refuses.
    """
    deadline, names = utc_now() + patience, {"images", *(table.name for table in settings.tables)}
    with tempfile.TemporaryDirectory(prefix="syncd-verify-") as scratch:
        async with Journal(Path(scratch)) as journal:
            await journal.write(closure.configure, excluding_tables(settings))
            for area in (IMAGES, TABLES):
                async for page in pages(versions.objects(found.commit.id, settings.lakefs.prefix + area), _PAGE):
                    held = [(one.key.removeprefix(settings.lakefs.prefix), one.sha256, one.size_bytes) for one in page]
                    compared = [one for one in held if source_of(one[0]) in names and not _is_own(one[0])]
                    await journal.write(adoption.adopt_committed, compared, utc_now())
            await journal.write(adoption.finish_adoption, found.commit.id)
            left_out: list[LeftOut] = []
            unread: set[str] = set()
            for source in make_sources(settings, journal, utc_now, state_dir=Path(scratch)):
                answers = await source.scan_once(deadline)
                left_out += answers
                unread |= {_key_of(source, one) for one in answers}
            changes = await journal.read(pictures.waiting_changes, limit=-1)
    return SourceCheck(
        changes=[one for one in changes if not (_is_own(one.key) or _is_unread(one.key, unread))], left_out=left_out
    )


def _key_of(source: Source, one: LeftOut) -> str:
    """Return what is not known: a file's key, a folder's without the "/" at its end, or a whole table."""
    if isinstance(source, FolderSource):
        return f"{IMAGES}{one.path}".removesuffix("/.").removesuffix("/")
    return TABLES + source.name


def _is_own(key: str) -> bool:
    return key.startswith(TABLES) and key.endswith(f"/{CLOSURE_LIST}")


def _is_unread(key: str, unread: set[str]) -> bool:
    """Return whether a key is among these, or below one that is a directory, or of a table."""
    if key in unread or (key.startswith(TABLES) and TABLES + source_of(key) in unread):
        return True
    return any(key[:at] in unread for at, character in enumerate(key) if character == "/")
