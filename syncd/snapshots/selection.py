"""Which part of a snapshot a person means by paths such as "images/cats" and "tables/labels.csv"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.errors import UsageError
from syncd.model import IMAGES, TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.snapshots.reference import Pinned
    from syncd.store.base import VersionStore


def belongs(key: str, area: str) -> bool:
    """Return whether a key is in an area: a file's own path, or a folder's that ends with "/"."""
    return key == area or (area.endswith("/") and key.startswith(area))


async def areas_of(paths: Sequence[str], found: Pinned, versions: VersionStore, prefix: str) -> list[str]:
    """Return what paths mean, in the order of the keys, none within another: folders end with "/", files do not.

    Args:
        paths: Files and folders of the snapshot; none: all that syncd publishes.
        found: The snapshot.
        versions: For its listing.
        prefix: In front of every key of syncd's.

    Raises:
        UsageError: A path is none of the snapshot's.
        StoreError: lakeFS does not answer or refuses.
    """
    if not paths:
        return [IMAGES, TABLES]
    areas = sorted({await _area(path.rstrip("/"), found, versions, prefix) for path in paths}, key=str.encode)
    return [area for area in areas if not any(area != one and belongs(area, one) for one in areas)]


async def _area(path: str, found: Pinned, versions: VersionStore, prefix: str) -> str:
    for area in (path, f"{path}/"):
        async for item in versions.objects(found.commit.id, prefix + area):
            if belongs(item.key, prefix + area):
                return area
            break
    raise UsageError(
        f"{found.name} holds nothing called {path!r}",
        next_step="name paths as the snapshot has them: images/cats/1.jpg, images/cats, tables/labels.csv",
    )
