"""The gate before a snapshot: do rows and images fit together in what is about to be committed? Promise P3.

Asked by the loop once everything is staged. What does not fit is counted for the commit's metadata and, where a table
may be published so, listed in ``tables/NAME/_closure.json``, which is staged like everything else.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

import structlog

from syncd.journal import closure, exclusion, pictures
from syncd.journal.closure import Pairing
from syncd.model import Observation, Signature
from syncd.planner.facts import ClosureFacts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from syncd.journal import Journal
    from syncd.model import Fingerprint
    from syncd.sources.tables.spool import Spool

log = structlog.get_logger(__name__)

_AGAIN_AFTER_S = 5.0  # a comparison that did not fit is not repeated sooner while more is staged …
_AGAIN_AFTER_TIMES = 20.0  # … nor before it has cost a twentieth of the time
_IMAGES_STAY = timedelta(seconds=60)  # so long a table may take to be read again before more images are staged


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedTable:
    """A table whose rows and images are compared."""

    name: str
    holds: bool = False  # nothing is published while they do not fit
    excludes: bool = False  # only what fits is published, of both
    wait: timedelta  # how long the missing half is waited for before a person is told


class Gate:
    """Compares, and remembers what the last comparison found. Owned by the loop.

    Args:
        journal: What is staged, and what rows name.
        tables: Those to compare.
        others: Names of the tables that are not compared.
        spool: For the lists of what does not fit.
        clock: The time now, in UTC.
        read_again: Has a table read again, since the images its rows name came or went.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        tables: Sequence[ClosedTable],
        others: Sequence[str] = (),
        spool: Spool,
        clock: Callable[[], datetime],
        read_again: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._read_again = read_again
        self._journal, self._tables, self._others, self._spool, self._clock = journal, tables, others, spool, clock
        self._unfit_since: dict[str, datetime] = {}
        self._lost: set[str] = set()  # keys of lists whose bodies are gone
        self.pairings: Mapping[str, Pairing] = {}
        self.facts: ClosureFacts | None = None

    async def begin(self) -> None:
        """Believe nothing of what is staged, and take back the lists of tables that are compared no more."""
        self.facts = None
        for name in self._others:
            await self._withdraw(closure.key_of(name))

    def set_back(self, now: datetime) -> None:
        """Go by a clock that was set back; what was found is to be found again, at times of that clock."""
        self.facts = None
        self._unfit_since = {name: min(since, now) for name, since in self._unfit_since.items()}

    async def check(self, staged_at: int) -> None:
        """Compare what is staged; nothing may be staged meanwhile.

        Args:
            staged_at: Number of the newest batch, as the facts have it.
        """
        began_s, now = time.monotonic(), self._clock()
        found = await self._journal.read(_check_if_staged, self._tables)
        if found is None:
            return  # a table was read just now: its rows are not what a commit would hold
        self.pairings = {name: one.told for name, one in found.items()}
        held, alerts, kept = [], [], set[bytes]()
        read_again = [name for name, one in found.items() if one.misshown]
        for table in self._tables:
            kept |= await self._list(table, self.pairings.get(table.name))
            if why := _why_held(table, found.get(table.name)):
                held.append(why)
                alerts.append(self._unfit_since.setdefault(table.name, now) + table.wait)
            else:
                self._unfit_since.pop(table.name, None)
        await asyncio.to_thread(self._spool.sweep, kept)
        for name in read_again:
            self._read_again(name)
        if len(held) > len(read_again) and (self.facts is None or not self.facts.held):
            log.warning("rows_and_images_do_not_fit", held=held)
        took_s = time.monotonic() - began_s
        self.facts = ClosureFacts(
            staged_at=staged_at,
            held="; ".join(held),
            alert_at=min(alerts, default=now),
            recheck_at=now + timedelta(seconds=max(_AGAIN_AFTER_S, _AGAIN_AFTER_TIMES * took_s)),
            images_stay_until=self._images_stay_until(now) if read_again else None,
        )

    def _images_stay_until(self, now: datetime) -> datetime:
        """Return the end of the time that runs, if one does: comparing while a table is unreadable prolongs nothing."""
        running = None if self.facts is None else self.facts.images_stay_until
        return running if running is not None and now < running else now + _IMAGES_STAY

    def open(self, key: str) -> BinaryIO:
        """Open a list that waits to be sent; blocks.

        Raises:
            FileNotFoundError: It is lost, and has to be made anew.
        """
        sha256 = self._journal.seen_sha256(key)
        if sha256 is None:
            raise FileNotFoundError(key)
        return self._spool.open(sha256)

    def recheck(self, key: str) -> None:
        """Note that a list could not be opened; :meth:`mend` makes the next comparison make it anew."""
        self._lost.add(key)

    async def mend(self) -> None:
        """Take back what was recorded of lists that are lost."""
        while self._lost:
            await self._withdraw(self._lost.pop())
            self.facts = None

    async def _list(self, table: ClosedTable, pairing: Pairing | None) -> set[bytes]:
        """Record what does not fit as an object to be published, where a table may be published so; return its hash."""
        key = closure.key_of(table.name)
        if table.holds or not pairing:
            await self._withdraw(key)
            return set()
        listed = closure.excluded if table.excludes else closure.listed
        found = await self._journal.read(listed, table.name, closure.MOST_LISTED)
        fingerprint = await asyncio.to_thread(self._spooled, closure.closure_json(table.name, found))
        await self._journal.record(
            [
                Observation(
                    key=key,
                    fingerprint=fingerprint,
                    signature=Signature(fingerprint.size_bytes, 0, 0, 0),
                    observed_at=self._clock(),
                    reason="comparison",
                )
            ]
        )
        return {fingerprint.sha256}

    async def _withdraw(self, key: str) -> None:
        await self._journal.record(
            [Observation(key=key, fingerprint=None, signature=None, observed_at=self._clock(), reason="comparison")]
        )

    def _spooled(self, body: bytes) -> Fingerprint:
        with self._spool.new_file() as path:
            path.write_bytes(body)
            return self._spool.keep(path)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a comparison found of one table."""

    told: Pairing  # under exclude: what is left out; else what does not fit
    misshown: bool = False  # under exclude: it leaves out other rows than those whose images are not staged
    lingering: bool = False  # under exclude: images are staged that none of its rows names


def _check_if_staged(connection: sqlite3.Connection, tables: Sequence[ClosedTable]) -> dict[str, _Found] | None:
    """Compare, as of one moment; None while a table is half staged. A table that was never read is left out."""
    if pictures.standing(connection, count_up_to=1).unstaged_tables:
        return None
    compared = closure.check(connection, [table.name for table in tables])
    found = {}
    for table in tables:
        pairing = compared.get(table.name)
        if pairing is None:
            continue
        if table.excludes:
            told = Pairing(pairing.missing, exclusion.withheld(connection, table.name, 0)[0])
            misshown = bool(closure.misshown(connection, table.name))
            found[table.name] = _Found(told, misshown, lingering=bool(pairing.orphaned))
        else:
            found[table.name] = _Found(pairing)
    return found


def _why_held(table: ClosedTable, found: _Found | None) -> str:
    """Return why nothing may be published because of a table, or ""."""
    if found is None:
        return _sentence(table.name, None) if table.holds or table.excludes else ""
    if table.holds and found.told:
        return _sentence(table.name, found.told)
    if found.misshown:
        return f"{table.name}: images that its rows name came or went, and it is being read again"
    if found.lingering:
        return f"{table.name}: images that no row names any more are still on the staging branch"
    return ""


def _sentence(table: str, pairing: Pairing | None) -> str:
    if pairing is None:
        return f"{table} has not been read yet, so that no image is known to have a row; syncd status says why"
    missing, orphaned = pairing.missing, pairing.orphaned
    parts = [
        "1 row names an image that is not there"
        if missing == 1
        else f"{missing:,} rows name images that are not there",
        "1 image has no row" if orphaned == 1 else f"{orphaned:,} images have no row",
    ]
    said = " and ".join(part for part, count in zip(parts, (missing, orphaned), strict=True) if count)
    return f"{table}: {said}; syncd status --closure lists them"
