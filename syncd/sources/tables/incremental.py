"""Which parts of a table are read again, where the database tells of changes. No database, files or clock in here.

The result is that of a read of the whole table, parts and bytes. What makes it so:

- A part without rows that may be new holds some of the rows it held in the earlier reading and no others. If each table
  of the family has as many of them as before, they are the same rows.
- Where a part begins by hash depends on its first row alone. As long as that row is there, what is in front of it
  makes no difference behind it. If it is gone, the part before goes on, so that one is read again, too.
- Where a part of wide rows begins by hash and width, its first row may be narrower now, if any row of the part may be
  new: then the part before is read again, too.
- Where a part begins because the one before was full depends on the rows before. Parts that such a boundary divides
  are a run, which is read again as a whole or not at all.
- The first part of a table is named as such, so if no row is left before some part, that one is read again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from syncd.errors import SyncdError
from syncd.sources.tables.base import KeyRange, TableFaultError, TableUnavailableError
from syncd.sources.tables.part_names import key_bytes
from syncd.sources.tables.parts import Begun

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from syncd.model import TableObject
    from syncd.sources.tables.base import ChangeAware, Kind, Row, TableReading, Tally
    from syncd.sources.tables.publish import Published, Publisher

log = structlog.get_logger(__name__)


class ChangesUntoldError(SyncdError):
    """The database refused to tell of changes, and the reading is over by that; the next one does without."""


class SeenPart(NamedTuple):
    """A part as it was read."""

    name: str
    begin: Any  # the key of its first row
    rows: int  # that it holds
    begun: Begun = Begun.KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A version as later readings are compared with it."""

    mark: Hashable  # of the reading it comes from
    parts: tuple[SeenPart, ...]  # ascending; one at least
    rows: tuple[Mapping[int, int], ...]  # of each part, as in ``Tally``
    contents: frozenset[tuple[str, bytes]]  # key and SHA-256 of each object: by this it is known again
    read_whole_at: datetime  # when the whole table was read last


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is read again, so that all parts are as a read of the whole table would make them."""

    kept: tuple[SeenPart, ...]  # these are as they were
    ranges: tuple[KeyRange, ...]  # ascending; none touches the next
    range_rows: tuple[int, ...]  # how many rows are in each
    begins: tuple[Any, ...]  # of the parts there were
    tallies: tuple[Tally, ...]  # the rows between these

    @property
    def is_worth_it(self) -> bool:
        """Return whether no more than half of the parts are read again; else one pass over all rows costs less."""
        return len(self.begins) <= 2 * len(self.kept)


def plan(
    baseline: Baseline,
    tallies: Sequence[Tally],
    present: Callable[[Sequence[Any]], Sequence[bool]],
    *,
    needed: Collection[str] = (),
) -> Plan:
    """Return what is read again.

    Args:
        baseline: What there was.
        tallies: Of its parts, now.
        present: See ``ChangeAware.present``.
        needed: Names of parts whose rows are wanted although they may be the same.
    """
    parts = baseline.parts
    runs = _runs(parts)
    may_differ = [one.may_be_new or one.rows != was for one, was in zip(tallies, baseline.rows, strict=True)]
    again = [any(may_differ[n] or parts[n].name in needed for n in run) for run in runs]
    for number, run in enumerate(runs):
        if any(tallies[n].rows for n in run):
            again[number] = again[number] or number > 0  # all before it are empty, so it is the first one now
            break
    changed = [number for number, one in enumerate(again) if one and number > 0]
    firsts = [runs[number][0] for number in changed]
    for number, first, there in zip(changed, firsts, present([parts[n].begin for n in firsts]), strict=True):
        if not there or (parts[first].begun is Begun.WIDTH and may_differ[first]):
            again[number - 1] = True
    ranges, range_rows, kept = [], [], []
    for is_again, numbers in groupby(range(len(runs)), key=again.__getitem__):
        members = [n for number in numbers for n in runs[number]]
        if not is_again:
            kept += [parts[n] for n in members]
            continue
        begin, behind = members[0], members[-1] + 1
        ranges.append(
            KeyRange(parts[begin].begin if begin else None, parts[behind].begin if behind < len(parts) else None)
        )
        range_rows.append(sum(sum(tallies[n].rows.values()) for n in members))
    return Plan(
        kept=tuple(kept),
        ranges=tuple(ranges),
        range_rows=tuple(range_rows),
        begins=tuple(part.begin for part in parts),
        tallies=tuple(tallies),
    )


def split(
    batches: Iterable[Sequence[Row]], key_position: int, kind: Kind, ranges: Sequence[KeyRange]
) -> Iterator[tuple[int, Iterator[Sequence[Row]]]]:
    """Yield the batches of each range that has rows, with the range's number; to be consumed before the next one."""
    encoded = key_bytes(kind)
    ends = [encoded(one.end) for one in ranges if one.end is not None]

    def of_row(row: Row) -> int:
        return bisect_right(ends, encoded(row[key_position]))

    pieces = ((number, list(rows)) for batch in batches for number, rows in groupby(batch, of_row))
    for number, same in groupby(pieces, itemgetter(0)):
        yield number, (rows for _, rows in same)


class Follower:
    """Reads one table whole, or only where it may have changed since the version that was accepted last.

    Args:
        name: The table's.
        whole_seconds: It is read whole so often all the same, and held against what was told in between; 0: always.
    """

    def __init__(self, name: str, *, whole_seconds: float) -> None:
        self._name, self._whole = name, timedelta(seconds=whole_seconds)
        self._baseline: Baseline | None = None  # of the version accepted last, while this process lives
        self._read: Baseline | None = None  # of the version read last, which nobody may have accepted yet
        self._refused = not whole_seconds  # the database is not asked
        self.rows_read = 0  # that travelled in the last reading

    def publish(
        self,
        reading: TableReading,
        changes: ChangeAware | None,
        publisher: Publisher,
        *,
        known: Iterable[TableObject] | None,
        needed: Collection[str] = (),
        now: datetime,
    ) -> Published:
        """Read the table and return what it is to be published as.

        Args:
            reading: Of the whole table, not begun yet.
            changes: Of the same moment; None: the database does not tell of any.
            publisher: Makes parts of rows.
            known: The objects of the version accepted last; None: all rows and bodies are needed.
            needed: See :func:`plan`.
            now: When the reading began.

        Raises:
            ChangesUntoldError: A reading must be begun anew. Else as ``Publisher.whole``.
        """
        self._read, changes = None, None if self._refused else changes
        try:
            found = self._compared(changes, known, needed)
            if found is not None and found.is_worth_it and not self._is_whole_due(now):
                published = publisher.again(changes.rows(found.ranges) if changes and found.ranges else reading, found)
                self.rows_read = sum(found.range_rows)
                whole_at = self._baseline.read_whole_at if self._baseline else now
            else:
                published = publisher.whole(reading)
                self.rows_read, whole_at = published.rows, now
                self._hold_against(found, published)
        except TableUnavailableError:  # if it was too slow in comparing, a whole read may be what works
            self._baseline = None
            raise
        self._read = self._based_on(changes, published, found, whole_at)
        return published

    def accept(self) -> None:
        """Compare later readings with the version that was read last."""
        self._baseline, self._read = self._read, None

    def _is_whole_due(self, now: datetime) -> bool:  # also when the clock was set back
        return self._baseline is None or not timedelta() <= now - self._baseline.read_whole_at < self._whole

    def _compared(
        self, changes: ChangeAware | None, known: Iterable[TableObject] | None, needed: Collection[str]
    ) -> Plan | None:
        baseline = self._baseline
        if changes is None or baseline is None or known is None or contents(known) != baseline.contents:
            return None
        try:
            tallies = changes.tally([part.begin for part in baseline.parts[1:]], baseline.mark)
            if tallies is None:
                return None
            return plan(baseline, tallies, changes.present, needed=needed)
        except TableFaultError as error:
            self._refuse(error)
            raise ChangesUntoldError("the database refuses to tell what changed") from error

    def _based_on(
        self, changes: ChangeAware | None, published: Published, found: Plan | None, whole_at: datetime
    ) -> Baseline | None:
        """Return the version as a baseline, if the database counts the rows of each part as they were read."""
        begins = tuple(part.begin for part in published.parts)
        if changes is None or not begins:
            return None
        try:
            mark = changes.mark()
            if mark is None:
                return None
            tallies = found.tallies if found and found.begins[1:] == begins[1:] else changes.tally(begins[1:], None)
        except TableUnavailableError:
            return None  # the rows were all read: only the comparison is missing
        except TableFaultError as error:
            self._refuse(error)
            return None
        if not tallies or [sum(tally.rows.values()) for tally in tallies] != [part.rows for part in published.parts]:
            return None  # a partition came to the table while it was being read
        return Baseline(
            mark=mark,
            parts=published.parts,
            rows=tuple(tally.rows for tally in tallies),
            contents=contents(published.objects),
            read_whole_at=whole_at,
        )

    def _refuse(self, error: TableFaultError) -> None:
        self._refused, self._baseline = True, None
        log.info("table_read_whole_from_now_on", table=self._name, why=error.fact)

    def _hold_against(self, found: Plan | None, published: Published) -> None:
        """Say which parts are others although nothing told so: a defect, of which no reading has to be lost."""
        touched = {*published.changed, *published.gone}
        drifted = [part.name for part in found.kept if part.name in touched] if found else []
        if drifted:
            log.warning("table_drifted", table=self._name, parts=drifted)


def contents(objects: Iterable[TableObject]) -> frozenset[tuple[str, bytes]]:
    """Return what tells one version from another: key and SHA-256 of each object."""
    return frozenset((one.key, one.fingerprint.sha256) for one in objects)


def _runs(parts: Sequence[SeenPart]) -> list[list[int]]:
    """Return the numbers of parts, together where one begins because the one before is full."""
    runs: list[list[int]] = []
    for number, part in enumerate(parts):
        if not runs or part.begun is not Begun.FULL:
            runs.append([])
        runs[-1].append(number)
    return runs
