"""A table in a CSV file as a source: the file as a whole, byte for byte, once it is settled and sound.

Until a version is accepted the last accepted one stays: a file that is missing, empty, torn or faulty is never an
absence, it is a problem that is named.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from syncd.fingerprint import ChangedDuringReadError, OpenForWritingError, signature_of
from syncd.model import TABLES, ProblemCode, TableObject, TableVersion
from syncd.sources.base import LeftOut, SourceHealth, TableFacts
from syncd.sources.csv_check import BadTableError, TableReading, TableStoppedError, read_table
from syncd.sources.csv_rows import RowsLaidBy
from syncd.sources.file_watch import FileWatch
from syncd.sources.hints import Hints
from syncd.sources.pending import NAMED_AFTER_SECONDS, NAMED_AFTER_SETTLES
from syncd.sources.problem_book import ProblemBook
from syncd.sources.settling import Settling
from syncd.sources.tables.agreement import Agreement
from syncd.sources.tables.base import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from syncd.model import DeletionLimits, Signature
    from syncd.sources.base import Inventory
    from syncd.sources.settings import CsvTableSettings

_HELD_SECONDS = 0.1
_HELD, _CHANGING = "open for writing in a program", "still changing"
_STAYS = "The last good version stays"


class CsvTable:
    """One CSV file; implements ``Source``.

    Args:
        settings: Which file, and how it is read.
        inventory: Where observations go.
        clock: The time, time-zone-aware.
    """

    def __init__(self, settings: CsvTableSettings, inventory: Inventory, *, clock: Callable[[], datetime]) -> None:
        self._settings, self._inventory, self._clock = settings, inventory, clock
        self._name, self._path = settings.name, settings.path
        self._problems = ProblemBook(settings.name, inventory, clock)
        self._settling = Settling(settings.settle_seconds)
        self._changing_since: float | None = None  # monotonic
        self._held: Signature | None = None  # of the version found open for writing
        self._judged: Signature | None = None  # of the version last accepted or refused
        self._fault = "it has not been read yet"  # why the version on disk is not the accepted one; "" if it is
        self._available = self._changing = False
        self._hold, self._agreement = "", Agreement(settings.name, inventory)  # what a person must agree to, and did
        self._turn, self._wake, self._stopped = asyncio.Lock(), asyncio.Event(), threading.Event()
        self._idle = threading.Event()  # no thread is reading
        self._idle.set()
        self.accepted: TableFacts | None = None

    @property
    def name(self) -> str:
        """Return the table's name."""
        return self._name

    def limit(self, limits: DeletionLimits) -> None:
        """See ``Limited``."""
        self._settings = replace(self._settings, limits=limits)

    async def run(self) -> None:
        """See ``Source.run``."""
        self._stopped.clear()
        try:
            await self._problems.load()
            loop = asyncio.get_running_loop()
            hints = Hints(lambda: loop.call_soon_threadsafe(self._wake.set))
            watch = FileWatch(self._path, hints, wanted=self._settings.events)
            while True:
                await watch.begin()
                await self._look("poll")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(self._settings.poll_seconds, self._until_due())):
                        await self._wake.wait()
                self._wake.clear()
                if hints.take().check_root:
                    await watch.end()
        finally:
            await self._end_reading()
            await watch.end()

    async def barrier(self, deadline: datetime) -> Sequence[LeftOut]:
        """See ``Source.barrier``; a table that cannot be accepted is left out, it does not stop the others.

        The file is looked at after the call, so what is recorded then was there after it.
        """
        while True:
            await self._look("request")
            remaining_s = (deadline - self._clock()).total_seconds()
            if not self._changing or remaining_s <= 0:
                return [LeftOut(path=str(self._path), reason=self._fault)] if self._fault else []
            await asyncio.sleep(min(remaining_s, self._until_due()))

    async def scan_once(self, deadline: datetime) -> Sequence[LeftOut]:
        """See ``Source.scan_once``."""
        self._stopped.clear()
        try:
            return await self.barrier(deadline)
        finally:
            await self._end_reading()

    def open(self, key: str) -> BinaryIO:
        """See ``Source.open``; links are followed, since the configuration names the path."""
        if key != self._table_key:
            raise FileNotFoundError(key)
        fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return os.fdopen(fd, "rb")

    def recheck(self, key: str) -> None:
        """See ``Source.recheck``."""
        if key == self._table_key:
            self.request_rescan()

    def request_rescan(self) -> None:
        """See ``Relistable``."""
        self._judged = None
        self._wake.set()

    def approve(self) -> str:
        """See ``Source.approve``."""
        held, self._hold = self._hold, ""
        if held:
            self._agreement.approve()
            self._judged = None
            self._wake.set()
        return held

    def health(self) -> SourceHealth:
        """See ``Source.health``. Always complete once read: a table is never recorded as absent."""
        return SourceHealth(
            name=self._name,
            available=self._available,
            complete=self._judged is not None,
            scanning=self._turn.locked(),
            settling=int(self._changing and not self._restless),
            reason=self._fault,
            hold=self._hold,
            skipped=self._problems.counts(),
        )

    @property
    def _table_key(self) -> str:
        return f"{TABLES}{self._name}.csv"

    async def _look(self, reason: str) -> None:
        """Look at the file, and read it if it has changed and settled."""
        async with self._turn:
            try:
                status = await asyncio.to_thread(self._path.stat)
            except OSError as error:
                self._refuse(ProblemCode.SOURCE_UNAVAILABLE, f"it cannot be opened: {error.strerror}", None)
                self._available = False
            else:
                self._available = True
                signature = signature_of(status)
                if signature != self._judged and self._is_settled(signature):
                    await self._read(signature, reason)
            await self._problems.flush()

    def _is_settled(self, signature: Signature) -> bool:
        now_s, wall_s = asyncio.get_running_loop().time(), self._clock().timestamp()
        if self._settling.seen(self._name, signature, wall_s=wall_s, monotonic_s=now_s):
            return True
        self._note_changing(_HELD if signature == self._held else _CHANGING)
        return False

    async def _read(self, signature: Signature, reason: str) -> None:
        await asyncio.to_thread(self._idle.wait)  # a caller that went away leaves its thread, which lays rows by
        image, rows = self._settings.image, None
        if self._settings.keeps_rows:
            await self._inventory.begin_rows(self._name)
            rows = None if image is None else RowsLaidBy(self._inventory, self._name, image, self._stopped.is_set)
        try:
            reading = await asyncio.to_thread(
                self._read_table,
                self._path,
                signature,
                key=self._settings.key,
                image_column=None if image is None else image.name,
                stopped=self._stopped.is_set,
                on_rows=None if rows is None else rows.tell,
            )
        except BadTableError as error:
            self._refuse(ProblemCode.BAD_TABLE, error.fact, signature)
        except OpenForWritingError:
            self._held = signature
            self._read_again(signature, _HELD)
        except (ChangedDuringReadError, TableStoppedError, FileNotFoundError):
            self._note_changing(_CHANGING)
        except OSError as error:
            self._refuse(ProblemCode.UNREADABLE, f"it cannot be read: {error.strerror}", None)
        else:
            if rows is not None and rows.repeated:  # and the check found none: it was another version by then
                self._read_again(signature, _CHANGING)
            else:
                await self._accept(reading, reason)

    def _read_again(self, signature: Signature, why: str) -> None:
        """Wait for a moment, although the file looks settled."""
        until_s = asyncio.get_running_loop().time() + max(_HELD_SECONDS, self._settings.settle_seconds)
        self._settling.hold(self._name, signature, until_s)
        self._note_changing(why)

    def _read_table(self, path: Path, expected: Signature, **told: Any) -> TableReading:
        self._idle.clear()
        try:
            return read_table(path, expected, **told)
        finally:
            self._idle.set()

    def _why_held(self, rows: int) -> str:
        """Return why a person must agree to a version with so many rows first, or "". Blocks."""
        known = self._inventory.known_table(self._name)
        return self._agreement.why_held(known, rows, limits=self._settings.limits, now=self._clock())

    async def _accept(self, reading: TableReading, reason: str) -> None:
        if held := await asyncio.to_thread(self._why_held, reading.rows):
            self._refuse(ProblemCode.HELD, held, reading.signature)
            self._hold = held
            return
        found = TableObject(
            key=self._table_key, fingerprint=reading.fingerprint, signature=reading.signature, rows=reading.rows
        )
        version = TableVersion(
            name=self._name,
            objects=(found,),
            rows=reading.rows,
            columns=reading.columns,
            schema="",
            observed_at=self._clock(),
            reason=reason,
        )
        await self._inventory.record_table(version, changed_parts=[WHOLE] if self._settings.keeps_rows else None)
        self.accepted = TableFacts(
            name=self._name,
            sha256=reading.fingerprint.sha256,
            rows=reading.rows,
            columns=reading.columns,
            accepted_at=version.observed_at,
        )
        self._settle(reading.signature, "")
        self._agreement.accepted(version.observed_at)
        for path in self._inventory.problem_paths(self._name):
            self._problems.clear(path)

    def _refuse(self, code: ProblemCode, fact: str, signature: Signature | None) -> None:
        """Name what is wrong; with a signature it is not read again before it changes."""
        self._settle(signature, fact)
        self._problems.note(str(self._path), code, f"{fact[:1].upper()}{fact[1:]}. {_STAYS}")

    def _settle(self, signature: Signature | None, fault: str) -> None:
        self._judged, self._fault, self._hold = signature, fault, ""
        self._changing, self._changing_since = False, None

    def _note_changing(self, why: str) -> None:
        now_s = asyncio.get_running_loop().time()
        self._changing, self._fault = True, why
        self._changing_since = now_s if self._changing_since is None else self._changing_since
        if self._restless:
            detail = f"It is {why}, for a long time now. It is read once it is left alone. {_STAYS}"
            self._problems.note(str(self._path), ProblemCode.NEVER_SETTLES, detail)

    @property
    def _restless(self) -> bool:
        if self._changing_since is None:
            return False
        limit_s = max(NAMED_AFTER_SECONDS, NAMED_AFTER_SETTLES * self._settings.settle_seconds)
        return asyncio.get_running_loop().time() - self._changing_since > limit_s

    def _until_due(self) -> float:
        """Return in how many seconds the file may have settled."""
        due_s = self._settling.next_due() if self._changing else None
        if due_s is None:
            return 0.01 if self._changing else self._settings.poll_seconds
        return max(0.01, due_s - asyncio.get_running_loop().time())

    async def _end_reading(self) -> None:
        """Return once no thread reads any more, also for a caller that was cancelled: it would lay rows by."""
        self._stopped.set()
        await asyncio.to_thread(self._idle.wait)
