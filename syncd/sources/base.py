"""The ports between a source and the rest of syncd.

A source watches one thing (the image folder, one table) and reports observations to an inventory. It decides
neither what is uploaded nor when; it never writes into what it watches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from syncd.model import (
        Agreed,
        DeletionLimits,
        KnownTable,
        Observation,
        PairedLoss,
        Problem,
        RowImage,
        Signature,
        TableVersion,
    )


class Inventory(Protocol):
    """What is known of each key, as far as a source needs it; the journal implements it.

    The ``known_*`` methods read, block for a moment, and may be called from any thread.
    """

    def known_in(self, directory: str) -> Iterator[tuple[str, Signature]]:
        """Yield ``(name, signature)`` of the live keys directly in a directory, sorted by name.

        Args:
            directory: "images/" or "images/cats/": ends with "/". Keys in deeper directories are not included.
        """

    def known(self, keys: Sequence[str]) -> Mapping[str, Signature]:
        """Return the signatures of those of the keys that are live (last observed as present)."""

    def known_below(self, directory: str) -> Iterator[str]:
        """Yield the live keys in a directory and all directories below it, in no particular order."""

    def known_directories(self, below: str) -> Iterator[str]:
        """Yield each directory (with its trailing "/") at or below this one that directly holds a live key."""

    def listed_as(self, directory: str) -> bytes | None:
        """Return the digest of the listing that agreed with what is known of a directory.

        None: there was none, or something of it has changed since. Reads, as the ``known_*`` methods.
        """

    async def note_listed(self, found: Sequence[Agreed]) -> None:
        """Remember listings that agreed; none where something of the directory has changed since it was listed."""

    def seen_sha256(self, key: str) -> bytes | None:
        """Return the SHA-256 of a key as last observed; None where it is absent. Reads, as the ``known_*`` methods."""

    async def record(self, observations: Sequence[Observation]) -> None:
        """Make the observations durable, in one transaction; returns once they are.

        Observing what is already known (same content, other signature) costs no revision and no upload. Before
        the future resolves, nothing may be concluded; the caller may send many batches at once, and they take
        effect in the order of the calls.
        """

    def known_table(self, name: str) -> KnownTable | None:
        """Return what is known of a table's last accepted version; None where there was none."""

    def staged_images(self, keys: Collection[str]) -> set[str]:
        """Return those of the images that the staging branch holds. Reads, as the ``known_*`` methods."""

    def misshown_parts(self, name: str) -> set[str]:
        """Return the parts of a table that leave out other rows than those whose images are not staged.

        Reads, as the ``known_*`` methods.
        """

    def paired_loss(self, name: str, changed_parts: Sequence[str], *, counts_all: bool = False) -> PairedLoss:
        """Return what the version whose rows were laid by would take out of what fits together, by its rows alone.

        Reads, as the ``known_*`` methods; all of it is of one moment. Of a table whose rows are kept; its cost follows
        the rows laid by.

        Args:
            name: The table's.
            changed_parts: As for :meth:`record_table`.
            counts_all: Say of how many rows, too; that costs the whole table.
        """

    def published_rows(self, name: str, since: datetime) -> Sequence[tuple[datetime, int]]:
        """Return when snapshots were begun and how many rows of a table they hold; the oldest first.

        Those begun after ``since``, and the newest one before. Reads, as the ``known_*`` methods.
        """

    async def begin_rows(self, name: str) -> None:
        """Begin to read a version of a table: forget the rows that came for one that was never finished."""

    async def add_rows(self, name: str, rows: Sequence[RowImage]) -> None:
        """Lay by rows of the version being read: those of the pieces that changed. Nothing follows from them yet.

        A call for each few thousand rows keeps memory bounded.

        Raises:
            RepeatedRowError: A row key comes twice; none of these is laid by.
        """

    async def record_table(self, version: TableVersion, *, changed_parts: Sequence[str] | None) -> None:
        """Make one accepted version of a table durable, in one transaction.

        Each of its objects is observed as by :meth:`record`; every other live object of the table is observed as
        absent, except for ``_closure.json``, which the table's source does not write.

        Args:
            version: The whole version.
            changed_parts: The pieces (``RowImage.part``) whose rows are replaced by those laid by, also those that
                are gone; the rows of all other pieces stay. None: no rows are kept of this table.

        Raises:
            ValueError: An object is not the table's, or rows were laid by for a piece that is not among the changed.
        """

    async def set_problems(self, source: str, problems: Sequence[Problem]) -> None:
        """Add or replace problems by (source, path); ``since`` of one that stands already is kept."""

    async def clear_problems(self, source: str, paths: Sequence[str]) -> None:
        """Remove the problems of these paths, where there are any."""

    def problem_paths(self, source: str, below: str = "") -> set[str]:
        """Return the paths of this source's standing problems, those that begin with ``below``.

        Without what lakeFS refused and is offered again: no source names that, and none may take it back.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What the last accepted version of a table file holds."""

    name: str
    sha256: bytes  # of the file
    rows: int  # without the header
    columns: int
    accepted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A path that was still changing, or could not be read, when a barrier's time ran out."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """What a source says of itself; the planner decides from it whether absences count."""

    name: str  # "images", or the table's name
    available: bool  # it can be read now
    # A full listing was recorded since this process started, of the same root. What could not be listed within it is
    # named as a problem and keeps its last state, so that it needs no regard here.
    complete: bool
    scanning: bool  # a full listing is under way
    settling: int  # paths seen changing and not yet observed, without those named as never settling
    hold: str = ""  # what a person must agree to before it goes on, with the next step; "" when nothing is held
    busy: bool = False  # it is looking at paths, or listing: what is gone may turn up under another name
    reason: str = ""  # why it is not available or not complete, with the next step; "" when all is well
    degraded: str = ""  # why it watches by polling although events were asked for; "" when it does not
    skipped: Mapping[str, int] = field(default_factory=dict)  # ProblemCode value -> count of standing problems
    losses: int = 0  # how often events were lost since this process started; a full listing made up for each
    watchers: int = 0  # how many were started since then; all but the first took another one's place


class Source(Protocol):
    """One watched thing."""

    @property
    def name(self) -> str:
        """Return "images", or the table's name."""

    async def run(self) -> None:
        """Watch, list, read and record until cancelled. Cancelling loses nothing: the next run lists again."""

    async def barrier(self, deadline: datetime) -> Sequence[LeftOut]:
        """Return once everything in place before this call has been recorded in the inventory (promise P1).

        Works while :meth:`run` is running. What was still changing at the deadline is returned as left out.

        Raises:
            SourceUnavailableError: The source cannot be read.
        """

    async def scan_once(self, deadline: datetime) -> Sequence[LeftOut]:
        """The same without :meth:`run`: one complete listing, for `syncd sync` and `syncd plan`.

        As long as files get done it goes on; the time until the deadline is how long those still changing are waited
        for then.
        """

    def open(self, key: str) -> BinaryIO:
        """Open the file behind one of this source's keys, without following links; blocks.

        Raises:
            OSError: It is gone or cannot be read.
            SourceUnavailableError: The source is gone.
        """

    def recheck(self, key: str) -> None:
        """Look at this key again soon: what was recorded of it did not hold when it was read."""

    def approve(self) -> str:
        """Take what is held as it was when a person was told of it; return what that was, "" if nothing is held."""

    def health(self) -> SourceHealth:
        """Return the state now; cheap."""


@runtime_checkable
class Limited(Protocol):
    """A source that may lose so much at a time without anyone's word."""

    def limit(self, limits: DeletionLimits) -> None:
        """Go by other limits from now on."""


@runtime_checkable
class Relistable(Protocol):
    """A source that is looked at as a whole from time to time."""

    def request_rescan(self) -> None:
        """Look at all of it soon, although nothing may have changed."""


@runtime_checkable
class Rereadable(Protocol):
    """A source that publishes only what fits what another one shows."""

    async def fits_otherwise(self) -> bool:
        """Return whether something is held that fits what the other one shows otherwise than when it was read."""

    def read_again(self) -> None:
        """Read all of it soon, although it may be as it was."""
