"""The claims of ``lakefs_lease`` in memory, for tests."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from syncd.errors import NotFoundStoreError
from syncd.store.base import Claim

if TYPE_CHECKING:
    from collections.abc import Mapping

_MADE_BY = "made-by"  # beside what a holder says of itself


class MemoryLease:
    """A ``LeaseStore``; those that share ``claims`` are on the same branch."""

    def __init__(self, claims: dict[int, dict[str, str]]) -> None:
        self._claims = claims

    async def prepare(self, source: str) -> None:
        """See ``LeaseStore.prepare``."""

    async def claims(self) -> list[Claim]:
        """See ``LeaseStore.claims``."""
        return [
            Claim(generation, {key: value for key, value in note.items() if key != _MADE_BY}, note[_MADE_BY])
            for generation, note in sorted(self._claims.items())
        ]

    async def claim(self, generation: int, mine: str) -> bool:
        """See ``LeaseStore.claim``."""
        if generation in self._claims:
            return False
        self._claims[generation] = {_MADE_BY: hashlib.md5(mine.encode(), usedforsecurity=False).hexdigest()}
        return True

    async def note(self, generation: int, note: Mapping[str, str]) -> None:
        """See ``LeaseStore.note``."""
        if generation not in self._claims:
            raise NotFoundStoreError(f"there is no claim {generation}")
        self._claims[generation] = {_MADE_BY: self._claims[generation][_MADE_BY], **note}

    async def forget(self, generation: int) -> None:
        """See ``LeaseStore.forget``."""
        self._claims.pop(generation, None)
