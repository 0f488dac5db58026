"""Where those who show a dataset read its snapshots from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.window import Shelf

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.service.lakefs import Reader
    from syncd.window import ReadJournal

PICTURES = "pictures.db"


def shelf_of(reader: Reader, read: ReadJournal, pictures: Path) -> Shelf:
    """Return it.

    Args:
        reader: Of the repository.
        read: Reads a journal that knows the snapshots.
        pictures: A file for those that are made.
    """
    place = reader.settings.lakefs
    return Shelf(
        read=read,
        versions=reader.versions,
        pins=reader.pins,
        objects=reader.objects,
        repository=place.repository,
        publish_branch=place.publish_branch,
        prefix=place.prefix,
        pictures=pictures,
    )
