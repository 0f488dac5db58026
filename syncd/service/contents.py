"""Opens what is behind a key, whichever source it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from syncd.model import IMAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.sources.base import Source


class SourceContents:
    """Implements ``uploader.Contents`` over the sources."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._by_name = {source.name: source for source in sources}

    def open(self, key: str) -> BinaryIO:
        """Open the file behind a key; see ``Source.open``."""
        source = self._source(key)
        if source is None:
            raise FileNotFoundError(f"{key}: its table is not configured any more")
        return source.open(key)

    def recheck(self, key: str) -> None:
        """Ask the key's source to look again."""
        source = self._source(key)
        if source is not None:
            source.recheck(key)

    def _source(self, key: str) -> Source | None:
        if key.startswith(IMAGES):
            return self._by_name["images"]
        return self._by_name.get(key.rpartition("/")[2].removesuffix(".csv"))
