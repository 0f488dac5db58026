"""The files seen changing and not yet recorded, and the barriers that wait for them. For the event loop alone.

Two rules make what is recorded true, however looks and reads overlap:

1. Looks run one after another, and the absences found by one are recorded before the next begins.
2. A file is read by one job at a time. A look that finds a file being read, or that begins while it is, is not
   believed about this file: the file is looked at again once what was read is recorded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from syncd.sources.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.model import Signature

NAMED_AFTER_SECONDS = 60.0  # a file that changes for this long, and 10 settle times, is named
NAMED_AFTER_SETTLES = 10


class Phase(Enum):
    """How far a file has come; the words are for people."""

    SETTLING = "still changing"
    HELD = "open for writing in a program"
    READY = "not yet read"
    READING = "being read"
    DOUBTED = "changed while it was read"


class Candidate(NamedTuple):
    """A settled file to read."""

    path: str
    signature: Signature  # what it must still be
    reason: str  # how it was noticed


@dataclass(slots=True)
class _Entry:
    since_s: float  # monotonic: first seen changing
    reason: str
    phase: Phase
    signature: Signature
    again: bool = False  # while being read: look at it once more afterwards
    named: bool = False  # reported as never settling


class Clocks(NamedTuple):
    """The two clocks, both in seconds."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class Pending:
    """The files between the first sight of a change and its record.

    Args:
        settle_seconds: How long a file must have been left alone.
        clocks: The time.
    """

    def __init__(self, settle_seconds: float, clocks: Clocks) -> None:
        self._clocks = clocks
        self._settle_seconds = settle_seconds
        self._named_after_s = max(NAMED_AFTER_SECONDS, NAMED_AFTER_SETTLES * settle_seconds)
        self._settling = Settling(settle_seconds)
        self._entries: dict[str, _Entry] = {}
        self._ready: deque[str] = deque()
        self._doubted: set[str] = set()
        self._outstanding: list[set[str]] = []
        self._named = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    @property
    def expected(self) -> int:
        """How many files are on their way into the inventory, without those named as never settling."""
        return len(self._entries) - self._named

    @property
    def doubted(self) -> bool:
        """Whether there are files to look at again."""
        return bool(self._doubted)

    @property
    def under_way(self) -> int:
        """How many files settle, wait to be read or are read: what listing more should wait for."""
        return len(self._entries) - len(self._doubted)

    def changed(self, path: str, signature: Signature, reason: str) -> bool:
        """Note that a file looks other than known; return True if it is time to name it as never settling."""
        now_s = self._clocks.monotonic()
        entry = self._entries.get(path)
        if entry is None:
            entry = self._entries[path] = _Entry(now_s, reason, Phase.SETTLING, signature)
        if entry.phase is Phase.READING:
            entry.again = True
            return False
        if entry.phase is Phase.READY and entry.signature == signature:
            return False
        self._doubted.discard(path)
        entry.signature, entry.phase = signature, Phase.SETTLING
        if self._settling.seen(path, signature, wall_s=self._clocks.wall(), monotonic_s=now_s):
            entry.phase = Phase.READY
            self._ready.append(path)
            return False
        return self._overdue(entry, now_s)

    def resolved(self, path: str) -> None:
        """Note that a look found nothing to read: the file is as known, gone, or at fault."""
        entry = self._entries.get(path)
        if entry is not None and entry.phase is Phase.READING:
            entry.again = True
        elif entry is not None and path not in self._doubted:  # else this look began before the doubt (rule 2)
            self._remove(path)

    def doubt_reading(self, *directories: str) -> None:
        """Look again at every file being read below some directories: these are about to be looked at (rule 2)."""
        for path, entry in self._entries.items():
            if entry.phase is Phase.READING and path.startswith(directories):
                entry.again = True

    def reading(self, path: str) -> bool:
        """Return whether a file is being read or recorded; if so it will be looked at again (rule 2)."""
        entry = self._entries.get(path)
        if entry is None or entry.phase is not Phase.READING:
            return False
        entry.again = True
        return True

    def take(self, most_files: int, most_bytes: int) -> list[Candidate]:
        """Return the next settled files to read; each must come back through ``finished`` or ``held``."""
        for path, _ in self._settling.due(self._clocks.monotonic()):
            self._entries[path].phase = Phase.READY
            self._ready.append(path)
        taken: list[Candidate] = []
        size_bytes = 0
        while self._ready and len(taken) < most_files and size_bytes < most_bytes:
            path = self._ready.popleft()
            entry = self._entries.get(path)
            if entry is not None and entry.phase is Phase.READY:  # else it changed while it stood in the queue
                entry.phase = Phase.READING
                size_bytes += entry.signature.size_bytes
                taken.append(Candidate(path, entry.signature, entry.reason))
        return taken

    def finished(self, path: str, *, recorded: bool) -> None:
        """Note the end of a reading: what was read is recorded, or the file must be looked at again."""
        entry = self._entries[path]
        if recorded and not entry.again:
            self._remove(path)
        else:
            entry.again, entry.phase = False, Phase.DOUBTED
            self._doubted.add(path)

    def held(self, path: str) -> bool:
        """Note that a program has the file open for writing; return True if it is time to name it."""
        entry = self._entries[path]
        if entry.again:
            self.finished(path, recorded=False)
            return False
        now_s = self._clocks.monotonic()
        entry.phase = Phase.HELD
        self._settling.hold(path, entry.signature, now_s + max(self._settle_seconds, 0.1))
        return self._overdue(entry, now_s)

    def take_doubted(self) -> list[str]:
        """Return the files to look at again. They stay here until a look says more."""
        paths = list(self._doubted)
        self._doubted.clear()
        return paths

    def next_due(self) -> float | None:
        """Return when, by the monotonic clock, ``take`` may have more, or None if nothing settles."""
        return self._settling.next_due()

    def outstanding(self) -> set[str]:
        """Return the files that are here now; each leaves the set once it is recorded, or is none any more.

        End the waiting with ``forget``.
        """
        paths = set(self._entries)
        self._outstanding.append(paths)
        return paths

    def forget(self, outstanding: set[str]) -> None:
        """Stop keeping a set of ``outstanding`` up to date."""
        self._outstanding = [paths for paths in self._outstanding if paths is not outstanding]

    def why(self, path: str) -> str:
        """Return in words why a file is not recorded yet."""
        entry = self._entries.get(path)
        return entry.phase.value if entry is not None else ""

    def _remove(self, path: str) -> None:
        self._named -= self._entries.pop(path).named
        self._settling.forget(path)
        self._doubted.discard(path)
        for paths in self._outstanding:
            paths.discard(path)

    def _overdue(self, entry: _Entry, now_s: float) -> bool:
        if entry.named or now_s - entry.since_s < self._named_after_s:
            return False
        entry.named = True
        self._named += 1
        return True
