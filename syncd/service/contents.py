"""Opens what is behind a key, whichever source it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from syncd.journal import closure
from syncd.model import source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.gate import Gate
    from syncd.sources.base import Source


class SourceContents:
    """Implements ``uploader.Contents`` over the sources, and the gate that writes what does not fit."""

    def __init__(self, sources: Sequence[Source], gate: Gate) -> None:
        self._by_name = {source.name: source for source in sources}
        self._gate = gate

    def open(self, key: str) -> BinaryIO:
        """Open the file behind a key; see ``Source.open``."""
        owner = self._owner(key)
        if owner is None:
            raise FileNotFoundError(f"{key}: its table is not configured any more")
        return owner.open(key)

    def recheck(self, key: str) -> None:
        """Ask the key's source to look again."""
        owner = self._owner(key)
        if owner is not None:
            owner.recheck(key)

    def _owner(self, key: str) -> Source | Gate | None:
        name = source_of(key)
        return self._gate if key == closure.key_of(name) else self._by_name.get(name)
