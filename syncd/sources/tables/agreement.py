"""What a person was asked about a table, what they agreed to, and what went lately without being asked. Promise P5.

Compared are the columns, how many rows there are and, where only what fits together is published, how many of them name
an image of the source and how many of its images a row names. Images that went are not asked about here: the rows that
named them are left out, which is what the person agreed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from syncd.model import DELETIONS_COUNT_FOR
from syncd.sources.tables import guard
from syncd.sources.tables.guard import Amounts, RecentLosses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.model import DeletionLimits, KnownTable, PairedLoss
    from syncd.sources.base import Inventory


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a person is asked about; an approval covers this and nothing that comes later."""

    columns: bytes
    lost: Amounts | None  # None: the columns were in question, and the rows not counted yet


@dataclass(frozen=True, slots=True)
class _Judged:
    """The version that was read last."""

    lost: Amounts = Amounts()  # noqa: RUF009 - it cannot be changed
    is_agreed: bool = False  # it is published by a person's word alone
    paired: PairedLoss | None = None  # None: its rows and images are not compared
    changed_parts: Sequence[str] = ()


class Agreement:
    """Of one table; one question at a time. Blocks: it reads the inventory.

    Args:
        name: The table's.
        inventory: What is known of it.
    """

    def __init__(self, name: str, inventory: Inventory) -> None:
        self._name, self._inventory = name, inventory
        self._recent: RecentLosses | None = None  # None: no version was compared yet
        self._shown: _Shown | None = None
        self._approved: _Shown | None = None
        self._judged = _Judged()

    def covers_columns(self, columns: bytes) -> bool:
        """Return whether a person agreed to these columns; if not, they are asked."""
        if self._approved is not None and self._approved.columns == columns:
            return True
        self._shown, self._judged = _Shown(columns, None), _Judged()
        return False

    def why_held(
        self,
        known: KnownTable | None,
        rows: int,
        *,
        limits: DeletionLimits,
        now: datetime,
        columns: bytes = b"",
        changed_parts: Sequence[str] | None = None,
    ) -> str:
        """Return why a person must agree to a version of which all was read first; "" if they need not, or did.

        Args:
            known: The version accepted last.
            rows: Of the new one.
            limits: What may go unasked.
            now: The time now.
            columns: That the new one has.
            changed_parts: Whose rows were laid by, to be compared with the images; None: they are not.
        """
        self._judged = _Judged()
        if known is None:
            return ""
        if self._recent is None:
            self._recent = self._recent_losses(known, limits, now)
        recent = self._recent.until(now)
        paired = None if changed_parts is None else self._paired_loss(known, changed_parts, limits, recent)
        lost, why = self._compared(known, rows, paired, limits, recent)
        is_agreed = bool(why) and self._covers(lost)
        self._judged = _Judged(lost, is_agreed, paired, changed_parts or ())
        if not why or is_agreed:
            return ""
        self._shown = _Shown(columns, lost)
        return why

    def approve(self) -> None:
        """Let a version go ahead that is as what was shown, or has lost less."""
        self._approved = self._shown

    def accepted(self, at: datetime) -> None:
        """The version that was judged last took the place of the one before."""
        if self._recent is not None:
            if self._judged.is_agreed:
                self._recent.forget()
            else:
                self._recent.add(at, self._judged.lost)
        self._shown = self._approved = None
        self._judged = _Judged()

    def fits_otherwise(self) -> bool:
        """Return whether the version that was judged last fits the images otherwise by now; costs what changed."""
        then = self._judged.paired
        if then is None:
            return False
        now = self._inventory.paired_loss(self._name, self._judged.changed_parts)
        return (now.rows, now.images) != (then.rows, then.images)

    def _covers(self, lost: Amounts) -> bool:
        agreed = None if self._approved is None else self._approved.lost
        return agreed is not None and all(less <= most for less, most in zip(lost, agreed, strict=True))

    def _paired_loss(
        self, known: KnownTable, changed_parts: Sequence[str], limits: DeletionLimits, recent: Amounts
    ) -> PairedLoss:
        found = self._inventory.paired_loss(self._name, changed_parts)
        if not known.keeps_rows or not guard.is_beyond(found.rows, _shown_rows(known), recent.paired, limits):
            return found
        # both numbers of one moment: an image that went in between would make of one row all there are
        return self._inventory.paired_loss(self._name, changed_parts, counts_all=True)

    def _compared(
        self, known: KnownTable, rows: int, paired: PairedLoss | None, limits: DeletionLimits, recent: Amounts
    ) -> tuple[Amounts, str]:
        """Return what is lost, and why a person must agree to that; what goes together is told once."""
        lost = known.rows - rows
        told = [guard.why_held(self._name, known.rows, rows, limits, recent=recent.rows)]
        if paired is None:
            return Amounts(rows=lost), told[0]
        shown = _shown_rows(known)
        # which images the rows of the last version name may not be known: then all of them were published
        unpaired = paired.rows if known.keeps_rows else shown + paired.rows
        if not told[0] or unpaired > lost:
            before = max(shown, paired.of_rows or 0)  # images may be on their way
            told.append(guard.why_unpaired(self._name, before, unpaired, limits, recent=recent.paired))
        if not any(told) or paired.images > max(lost, unpaired):
            told.append(guard.why_unnamed(self._name, paired.of_images, paired.images, limits, recent=recent.images))
        return Amounts(lost, unpaired, paired.images), "; ".join(filter(None, told))

    def _recent_losses(self, known: KnownTable, limits: DeletionLimits, now: datetime) -> RecentLosses:
        """Return what is known of the last hour after a start: how many rows snapshots hold. More is not kept.

        What was lost between two snapshots beyond the limits was agreed to, since nothing else lets it go. Rows that
        snapshots leave out are missing there, and how many fitted is not known: these count from the start on.
        """
        recent = RecentLosses()
        counts = [*self._inventory.published_rows(self._name, now - DELETIONS_COUNT_FOR), (known.read_at, known.rows)]
        for (_, before), (at, after) in pairwise(counts):
            if guard.why_held(self._name, before, after, limits, recent=recent.until(at).rows):
                recent.forget()
            else:
                recent.add(at, Amounts(rows=before - after))
        return recent


def _shown_rows(known: KnownTable) -> int:
    return known.rows - sum(one.object.hidden for one in known.objects)
