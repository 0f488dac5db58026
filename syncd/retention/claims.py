"""Who wants which commits kept, beside the rules: people, and pulls that are under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.store.pins import Keeper

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from syncd.store.pins import Note, PinStore, Use


@dataclass(frozen=True, slots=True)
class Claims:
    """As of one moment."""

    pinned: frozenset[str]  # commit ids
    uses: tuple[Use, ...]  # that count
    over: tuple[Use, ...]  # that count no longer: whoever made them has died

    @property
    def in_use(self) -> frozenset[str]:
        """Ids of commits that are being pulled."""
        return frozenset(use.commit_id for use in self.uses)


async def claims(pins: PinStore, now: datetime) -> Claims:
    """Ask lakeFS: two requests, for up to a thousand pins and pulls each.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    pinned = frozenset([pin.commit_id async for pin in pins.pins(Keeper.PERSON)])
    uses = [use async for use in pins.uses()]
    return Claims(pinned, tuple(use for use in uses if use.until > now), tuple(use for use in uses if use.until <= now))


async def notes(pins: PinStore, found: Claims) -> Mapping[str, Note | None]:
    """Return what people say of their pins, by commit id; one request for each.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    return {commit_id: await pins.note(commit_id) for commit_id in sorted(found.pinned)}
