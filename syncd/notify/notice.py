"""An event as receivers get it: JSON with stable keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.notify.events import Kind

if TYPE_CHECKING:
    from syncd.notify.events import Event

LONGEST_WORDS = 1000  # characters; status has all of it
STALE_STEP = "syncd status"

_OVER = {
    Kind.HOLD: "nothing is held any more",
    Kind.FAILURE: "it works again",
    Kind.STALE: "the newest snapshot holds what the source holds again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Which dataset the news is of."""

    repository: str
    branch: str  # that snapshots are published to
    source: str  # the folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One event, on its way to whoever is told."""

    id: str  # the same however often it is sent
    kind: Kind
    body: bytes  # JSON
    made_s: float  # when, on the clock of time.monotonic

    @property
    def gives_way(self) -> bool:
        """Whether it may be dropped for others: a snapshot stands in the history all the same."""
        return self.kind is Kind.SNAPSHOT


def notice_of(event: Event, dataset: Dataset, identifier: str) -> Notice:
    """Return an event ready to be sent.

    Args:
        event: What happened.
        dataset: To what.
        identifier: Unique to the event, so that a receiver can drop what it has already.
    """
    sight = event.sight
    why, next_step = _words(event)
    of = f"{dataset.repository}/{dataset.branch}"
    is_trouble = event.kind in _OVER
    found = {
        "id": identifier,
        "event": event.kind.value,
        "of": None if event.of is None else event.of.value,
        "at": sight.at.isoformat(),
        "dataset": {"repository": dataset.repository, "branch": dataset.branch, "source": dataset.source},
        "state": sight.state,
        "since": sight.since,
        "why": why,
        "next_step": next_step,
        "snapshot": None if event.snapshot is None else dict(event.snapshot),
        "text": f"syncd {of}: {_in_short(event, why)}" + (f". Next: {next_step}" if next_step and is_trouble else ""),
    }
    return Notice(id=identifier, kind=event.kind, body=json.dumps(found).encode("ascii"), made_s=sight.moment_s)


def _words(event: Event) -> tuple[str, str]:
    """Return why, and the next step, each as one line."""
    why, next_step = event.sight.why, event.sight.next_step
    if event.kind is Kind.STALE:
        why, next_step = f"no snapshot has held all of it for too long; now: {why}", next_step or STALE_STEP
    return _line(why), _line(next_step)


def _in_short(event: Event, why: str) -> str:
    match event.kind:
        case Kind.SNAPSHOT if event.snapshot is not None:
            made = event.snapshot
            changes = ", ".join(f"{made[key]} {key}" for key in ("added", "changed", "deleted"))
            return f"snapshot {made['tag']}: {changes}"
        case Kind.RECOVERY if event.of is not None:
            return f"{_OVER[event.of]} ({why})"
        case kind:
            return f"{kind.value}: {why}"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_WORDS else f"{line[:LONGEST_WORDS]}…"
