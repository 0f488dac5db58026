"""Which snapshots are kept, and why? By the bucket rules that restic and borg have, in UTC.

Pure: the snapshots, the rules and who else wants one of them go in, one verdict for each comes out. That nothing more
is removed when it is asked again about what it kept is a property that tests hold it to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from syncd.model import Snapshot

NEWEST = "newest"
NO_RULE = "every snapshot is kept: no keep rule is set"
NOT_KEPT = "no rule keeps it"
_NOBODY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRules:
    """How many are kept by each rule; a snapshot stays if any rule keeps it. All 0: every snapshot is kept."""

    last: int = 0  # the newest so many
    daily: int = 0  # the newest of each of so many days that have one
    weekly: int = 0  # ISO weeks, which begin on Monday
    monthly: int = 0

    @property
    def keep_all(self) -> bool:
        """Whether nothing is ever removed."""
        return not (self.last or self.daily or self.weekly or self.monthly)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one snapshot, and why."""

    snapshot: Snapshot
    keep: bool
    reasons: tuple[str, ...]  # at least one: "daily 2026-11-20", "pinned: paper v1"


def judge(
    snapshots: Sequence[Snapshot],
    rules: KeepRules,
    *,
    pinned: Mapping[str, str] = _NOBODY,
    in_use: Collection[str] = (),
) -> list[Verdict]:
    """Return a verdict for each snapshot, in the same order.

    Args:
        snapshots: In the order in which they were made; the last one is the newest, whatever clocks said.
        rules: How many are kept.
        pinned: By commit id, why a person pinned it; "" where they did not say.
        in_use: Ids of commits that are being pulled.
    """
    told: list[list[str]] = [[] for _ in snapshots]
    for reasons in told[-1:]:
        reasons.append(NEWEST)
    for place, reason in _by_rules(snapshots, rules):
        told[place].append(reason)
    for snapshot, reasons in zip(snapshots, told, strict=True):
        if rules.keep_all:
            reasons.append(NO_RULE)
        if (why := pinned.get(snapshot.commit_id)) is not None:
            reasons.append(f"pinned: {why}" if why else "pinned")
        if snapshot.commit_id in in_use:
            reasons.append("in use")
    return [
        Verdict(snapshot=snapshot, keep=bool(reasons), reasons=tuple(reasons) or (NOT_KEPT,))
        for snapshot, reasons in zip(snapshots, told, strict=True)
    ]


def _by_rules(snapshots: Sequence[Snapshot], rules: KeepRules) -> Iterator[tuple[int, str]]:
    """Yield which place in the list each rule keeps, and why."""
    for place in range(max(0, len(snapshots) - rules.last), len(snapshots)):
        yield place, f"one of the last {rules.last}"
    yield from _newest_of_each(snapshots, rules.daily, "daily", lambda one: _in_utc(one, "%Y-%m-%d"))
    yield from _newest_of_each(snapshots, rules.weekly, "weekly", lambda one: _in_utc(one, "%G-W%V"))
    yield from _newest_of_each(snapshots, rules.monthly, "monthly", lambda one: _in_utc(one, "%Y-%m"))


def _newest_of_each(
    snapshots: Sequence[Snapshot], count: int, rule: str, period_of: Callable[[Snapshot], str]
) -> Iterator[tuple[int, str]]:
    """Yield the newest of each of the newest ``count`` periods that have one.

    While there are fewer periods than that, the oldest stays as well: else a history would never grow old enough for
    a rule that reaches back further than it does (source: ``restic forget``; borg does the same).
    """
    periods: set[str] = set()  # not the last one alone: a clock that was set back must not count one twice
    for place in reversed(range(len(snapshots))):
        if len(periods) == count:
            return
        period = period_of(snapshots[place])
        if period not in periods:
            periods.add(period)
            yield place, f"{rule} {period}"
        elif place == 0:
            yield place, f"oldest, until there are {count} {rule} ones"


def _in_utc(snapshot: Snapshot, form: str) -> str:
    return snapshot.created_at.astimezone(UTC).strftime(form)
