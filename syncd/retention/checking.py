"""Are the pins and tags of all snapshots as they should be? What is not is named; missing pins can be made.

A tag that someone moved or deleted is never put back: whoever did it may have meant it, and it is theirs to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from syncd.errors import NotFoundStoreError
from syncd.journal import snapshots
from syncd.journal.history import finished
from syncd.store.pins import Keeper, prefix_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from syncd.model import Snapshot
    from syncd.store.base import VersionStore
    from syncd.store.pins import Pin, PinStore

REPAIR = "syncd pins check --repair"


class PinFault(StrEnum):
    """What is wrong. Stable words: scripts compare them."""

    NOT_PINNED = "not-pinned"
    PIN_MOVED = "pin-moved"
    PIN_LEFT = "pin-left"  # of a snapshot that retention has removed
    PIN_UNKNOWN = "pin-unknown"  # of no snapshot that is known
    TAG_GONE = "tag-gone"
    TAG_MOVED = "tag-moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it should be."""

    code: PinFault
    tag: str  # as the history knows it; "": it knows none
    commit_id: str
    why: str
    next_step: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.tag or self.commit_id[:12]}: {self.why}; {self.next_step}"


@dataclass(frozen=True, slots=True)
class History:
    """What a journal knows at one moment."""

    made: Sequence[Snapshot]  # the oldest first, those that retention removed as well
    open_commit: str | None  # of a snapshot that is not finished: it may be pinned already

    @property
    def kept(self) -> list[Snapshot]:
        """Those that retention has not removed."""
        return [one for one in self.made if one.removed_at is None]


def history(connection: sqlite3.Connection) -> History:
    """Read the history from a journal."""
    opened = snapshots.open_snapshot(connection)
    made = list(finished(connection, limit=-1))
    return History(made[::-1], None if opened is None else opened.commit_id)


async def check(
    read: Callable[[], Awaitable[History]], *, versions: VersionStore, pins: PinStore, repository: str, staging: str
) -> list[Fault]:
    """Hold lakeFS against the history: costs a request for a thousand tags or pins.

    The history is read before and after, so that what is made or removed meanwhile is not taken for a fault.

    Args:
        read: Reads the history.
        versions: The repository.
        pins: Its pins.
        repository: Its name, for people.
        staging: The staging branch, likewise.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    before = await read()
    found = {pin.commit_id: pin async for pin in pins.pins(Keeper.RETENTION)}
    tags = {tag: commit_id async for tag, commit_id in versions.tags()}
    after = await read()
    still = {one.commit_id for one in after.kept}
    kept, place = [one for one in before.kept if one.commit_id in still], f"lakefs://{repository}/"
    return [
        *_not_pinned(kept, found, place + prefix_of(Keeper.RETENTION, staging)),
        *_not_tagged(kept, tags, place),
        *_superfluous(after, found, place + prefix_of(Keeper.RETENTION, staging)),
    ]


def _not_pinned(kept: Sequence[Snapshot], pins: Mapping[str, Pin], branch: str) -> Iterator[Fault]:
    for one in kept:
        pin = pins.get(one.commit_id)
        if pin is None:
            yield Fault(
                code=PinFault.NOT_PINNED,
                tag=one.tag,
                commit_id=one.commit_id,
                why="no pin keeps it from lakeFS's garbage collection",
                next_step=REPAIR,
            )
        elif pin.head != one.commit_id:
            yield Fault(
                code=PinFault.PIN_MOVED,
                tag=one.tag,
                commit_id=one.commit_id,
                why=f"its pin was moved to commit {pin.head[:12]}",
                next_step=f"lakectl branch delete {branch}{one.commit_id}, then {REPAIR}",
            )


def _not_tagged(kept: Sequence[Snapshot], tags: Mapping[str, str], place: str) -> Iterator[Fault]:
    for one in kept:
        target, again = tags.get(one.tag), f"lakectl tag create {place}{one.tag} {place}{one.commit_id}"
        if target is None:
            yield Fault(
                code=PinFault.TAG_GONE,
                tag=one.tag,
                commit_id=one.commit_id,
                why="someone deleted its tag; its data is pinned and can be read by the commit id",
                next_step=again,
            )
        elif target != one.commit_id:
            yield Fault(
                code=PinFault.TAG_MOVED,
                tag=one.tag,
                commit_id=one.commit_id,
                why=f"someone moved its tag: it points at {target[:12]}, and was put on {one.commit_id[:12]}",
                next_step=f"lakectl tag delete {place}{one.tag}, then {again}",
            )


def _superfluous(known: History, pins: Mapping[str, Pin], branch: str) -> Iterator[Fault]:
    kept, made = {one.commit_id for one in known.kept}, {one.commit_id: one.tag for one in known.made}
    for commit_id in sorted(pins.keys() - kept - {known.open_commit}):
        if (tag := made.get(commit_id)) is not None:
            yield Fault(
                code=PinFault.PIN_LEFT,
                tag=tag,
                commit_id=commit_id,
                why="retention has removed it, and its pin is there",
                next_step=REPAIR,
            )
        else:
            yield Fault(
                code=PinFault.PIN_UNKNOWN,
                tag="",
                commit_id=commit_id,
                why="it is pinned, and no snapshot of the history is at this commit",
                next_step=f"syncd show {commit_id[:12]} tells what it holds; to be rid of it: lakectl branch delete"
                f" {branch}{commit_id}",
            )


async def repair(faults: Sequence[Fault], pins: PinStore) -> tuple[int, list[Fault]]:
    """Make what pins are missing and remove those that were left; return how many, and the other faults.

    Raises:
        StoreError: lakeFS does not answer or refuses.
    """
    remaining, count = [], 0
    for fault in faults:
        try:
            if fault.code is PinFault.NOT_PINNED:
                await pins.pin(Keeper.RETENTION, fault.commit_id)
            elif fault.code is PinFault.PIN_LEFT:
                await pins.unpin(Keeper.RETENTION, fault.commit_id)
            else:
                remaining.append(fault)
                continue
        except NotFoundStoreError:  # lakeFS does not know the commit any more
            remaining.append(fault)
        else:
            count += 1
    return count, remaining
