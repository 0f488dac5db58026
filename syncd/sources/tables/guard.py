"""Is a table as it is read now believed, or is a person asked first? Pure. Promise P5."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from syncd.model import DELETIONS_COUNT_FOR

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.model import DeletionLimits

_MINUTE_S = 60
_MINUTES = int(DELETIONS_COUNT_FOR.total_seconds()) // _MINUTE_S
_STAYS = "the last version stays published. If it is intended: syncd approve"


class Amounts(NamedTuple):
    """How much there is of a table, or how much less of it; negative: more."""

    rows: int = 0
    paired: int = 0  # of these, those whose image the source holds; where only these are published, else 0
    images: int = 0  # that the source holds and some row names; likewise


class RecentLosses:
    """What versions lost that were accepted within the hour: a large loss may come in small pieces.

    Remembered is the most that there was in each minute, so that it stays small however often a table changes.
    """

    def __init__(self) -> None:
        self._level = Amounts()  # only differences count
        self._most: dict[int, Amounts] = {}  # by the minute in which there was as much last

    def add(self, at: datetime, lost: Amounts) -> None:
        """A version that has so much less took the place of another one."""
        self._forget_old(at)
        minute = _minute(at)
        self._most[minute] = _most(self._most.get(minute, self._level), self._level)
        self._level = Amounts(*(level - less for level, less in zip(self._level, lost, strict=True)))

    def until(self, now: datetime) -> Amounts:
        """Return how much more there was at most within the hour than there is by now."""
        self._forget_old(now)
        most = self._level
        for one in self._most.values():
            most = _most(most, one)
        return Amounts(*(one - level for one, level in zip(most, self._level, strict=True)))

    def forget(self) -> None:
        """A person agreed to what is gone by now."""
        self._most.clear()

    def _forget_old(self, now: datetime) -> None:
        last, kept = _minute(now), dict[int, Amounts]()
        for minute, most in self._most.items():
            at = min(minute, last)  # the clock was set back
            if last - at <= _MINUTES:
                kept[at] = _most(kept.get(at, most), most)
        self._most = kept


def why_held(name: str, before: int, now: int, limits: DeletionLimits, *, recent: int = 0) -> str:
    """Return why a table that had ``before`` rows and has ``now`` is not published as it is; "" when it may be.

    A row that is replaced by another one counts as nothing here: only how many there are is compared.

    Args:
        name: The table's.
        before: In the version accepted last.
        now: In the one that was read.
        limits: What may go unasked.
        recent: How many more there were within the last hour.
    """
    what = f"rows of {name} are gone"
    return _told(what, "as after a TRUNCATE or a half-done load", before, before - now, limits, recent)


def why_unpaired(name: str, before: int, lost: int, limits: DeletionLimits, *, recent: int = 0) -> str:
    """Return why a table is not published of which ``lost`` of ``before`` rows name no image any more; else ""."""
    how = "since they are gone or name no image that is there, as after an UPDATE of too much"
    return _told(f"rows of {name} would be left out", how, before, lost, limits, recent)


def why_unnamed(name: str, before: int, lost: int, limits: DeletionLimits, *, recent: int = 0) -> str:
    """Return why a table is not published of which no row names ``lost`` of ``before`` images any more; else ""."""
    how = f"since no row of {name} names them any more, as after an UPDATE of too much"
    return _told("images would be left out", how, before, lost, limits, recent)


def is_beyond(lost: int, before: int, recent: int, limits: DeletionLimits) -> bool:
    """Return whether a person is to be asked; never because of what was lost before alone."""
    return lost > 0 and (lost >= before or limits.beyond(lost + recent, before + recent))


def _told(what: str, how: str, before: int, lost: int, limits: DeletionLimits, recent: int) -> str:
    """Return what is told of a loss that a person is to be asked about, with how much and its share; else ""."""
    if not is_beyond(lost, before, recent, limits):
        return ""
    gone, all_ = lost + recent, max(before + recent, lost + recent)
    within = ", within an hour" if recent else ""
    return f"{gone:,} of {all_:,} {what} ({100 * gone / all_:.0f} %{within}), {how}; {_STAYS}"


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // _MINUTE_S


def _most(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(*map(max, one, other))
