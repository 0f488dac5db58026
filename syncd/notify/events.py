"""What is worth telling of what has changed between two looks at the dataset.

Pure: no clock, no I/O, no identifiers. Trouble is a hold, a failure or staleness. It is told once it has lasted for a
while, and its end once that has lasted, so that what comes and goes is told to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime


class Kind(StrEnum):
    """What happened. Stable words: receivers compare them."""

    SNAPSHOT = "snapshot"  # one was made
    HOLD = "hold"  # something waits for a person
    FAILURE = "failure"  # lakeFS or the disk under the journal does not do what is asked
    RECOVERY = "recovery"  # trouble that was told is over
    STALE = "stale"  # for too long no snapshot held all that the source held


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look at the dataset."""

    at: datetime
    moment_s: float  # the same on a clock that nobody sets
    state: str
    since: str | None  # of the state, as status shows it
    why: str
    next_step: str
    failing: bool
    held_by: frozenset[str]  # names of what is held; not known while it fails
    in_step: bool  # the newest snapshot holds all that the source holds, for sure
    snapshots: tuple[Mapping[str, Any], ...] = ()  # finished since the look before, the oldest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to tell."""

    kind: Kind
    of: Kind | None = None  # what is over, of a recovery
    sight: Sight
    snapshot: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long is long."""

    grace_s: float
    stale_s: float  # 0: staleness is not looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One trouble, from its first sight until its end is certain."""

    began_s: float
    gone_s: float | None = None  # since when it is not seen any more
    told: bool = False


Key = tuple[Kind, str]  # what kind of trouble, and with what


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is carried from look to look."""

    in_step_s: float  # when it was last in step; at first, when looking began
    troubles: Mapping[Key, Trouble] = field(default_factory=dict)

    @property
    def told(self) -> frozenset[Kind]:
        """The kinds of trouble that were told and are not over."""
        return frozenset(kind for (kind, _), trouble in self.troubles.items() if trouble.told)


def compare(memory: Memory, sight: Sight, rules: Rules) -> tuple[Memory, tuple[Event, ...]]:
    """Return what to remember and what to tell after one more look.

    Args:
        memory: Of the look before.
        sight: What is seen now.
        rules: How long is long.
    """
    in_step_s = sight.moment_s if sight.in_step else memory.in_step_s
    seen = _seen(memory, sight, in_step_s, rules)
    was = {key: memory.troubles.get(key, Trouble(began_s=sight.moment_s)) for key in {*memory.troubles, *seen}}
    now = {key: replace(trouble, gone_s=_gone_since(trouble, sight, key in seen)) for key, trouble in was.items()}
    stays = {key: trouble for key, trouble in now.items() if not _is_over(key, trouble, sight, rules)}
    after = Memory(
        in_step_s=in_step_s,
        troubles={key: replace(one, told=one.told or _is_due(key, one, sight, rules)) for key, one in stays.items()},
    )
    return after, (*_snapshots(sight), *_troubles(memory, after, sight))


def _seen(memory: Memory, sight: Sight, in_step_s: float, rules: Rules) -> set[Key]:
    held = {(Kind.HOLD, name) for name in sight.held_by}
    if sight.failing:  # whether a hold still stands cannot be seen
        held = {key for key, trouble in memory.troubles.items() if key[0] is Kind.HOLD and trouble.gone_s is None}
    failing = {(Kind.FAILURE, "")} if sight.failing else set()
    is_stale = rules.stale_s and sight.moment_s - in_step_s >= rules.stale_s
    return held | failing | ({(Kind.STALE, "")} if is_stale else set())


def _gone_since(trouble: Trouble, sight: Sight, is_seen: bool) -> float | None:
    if is_seen:
        return None
    return sight.moment_s if trouble.gone_s is None else trouble.gone_s


def _grace_s(key: Key, rules: Rules) -> float:
    return 0.0 if key[0] is Kind.STALE else rules.grace_s  # that is no sudden thing


def _is_over(key: Key, trouble: Trouble, sight: Sight, rules: Rules) -> bool:
    """Tell whether to forget it; what was never told is forgotten at once."""
    if trouble.gone_s is None:
        return False
    return not trouble.told or sight.moment_s - trouble.gone_s >= _grace_s(key, rules)


def _is_due(key: Key, trouble: Trouble, sight: Sight, rules: Rules) -> bool:
    return trouble.gone_s is None and sight.moment_s - trouble.began_s >= _grace_s(key, rules)


def _snapshots(sight: Sight) -> Iterator[Event]:
    for snapshot in sight.snapshots:
        yield Event(kind=Kind.SNAPSHOT, sight=sight, snapshot=snapshot)


def _troubles(before: Memory, after: Memory, sight: Sight) -> Iterator[Event]:
    """Yield each kind of trouble that is over, then each that has come; one event for a kind, however many."""
    for kind in sorted(before.told - after.told):
        yield Event(kind=Kind.RECOVERY, of=kind, sight=sight)
    new = {key for key, trouble in after.troubles.items() if trouble.told} - {
        key for key, trouble in before.troubles.items() if trouble.told
    }
    for kind in sorted({kind for kind, _ in new}):
        yield Event(kind=kind, sight=sight)
