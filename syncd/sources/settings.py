"""What a source is told; plain values, so that the configuration's models stay outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from syncd.model import DeletionLimits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from syncd.sources.tables.images import ImageColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    """One watched folder."""

    root: Path
    include: Sequence[str]  # gitignore patterns
    exclude: Sequence[str] = ()
    settle_seconds: float = 2.0
    watch: Literal["auto", "inotify", "polling"] = "auto"
    rescan_seconds: float = 600.0  # between safety rescans, give or take a quarter
    poll_seconds: float = 5.0  # between listings where there are no events
    check_seconds: float = 1.0  # between checks that the root is still there, or there again
    probe_seconds: float = 60.0  # between checks that the watcher still works
    retry_watch_seconds: float = 60.0  # before the first try to watch again after it failed; then twice as long
    cookie_dir: Path | None = None  # an existing directory of syncd's own; None: barriers list everything
    prefix: str = ""  # of the keys on the branch
    max_object_bytes: int = 5 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvTableSettings:
    """One table in a CSV file."""

    name: str  # its key is tables/NAME.csv
    path: Path
    key: str  # the column whose value names a row
    image: ImageColumn | None = None  # a further column that must be there
    keeps_rows: bool = False  # which image each row names is recorded, to compare rows and images
    limits: DeletionLimits = field(default_factory=DeletionLimits)
    settle_seconds: float = 2.0
    poll_seconds: float = 10.0  # how often the file is looked at without an event
    events: bool = True  # whether to watch its folder, so that changes are seen before the next poll


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseTableSettings:
    """One table of a database, as it is published; which one and where, ``TableDatabase`` knows."""

    name: str  # its keys begin with tables/NAME
    key: str  # the column whose value names a row
    spool_dir: Path  # of syncd's own, for this table alone: bodies that wait to be sent
    as_csv: bool = False  # one text file instead of Parquet in parts
    image: ImageColumn | None = None  # None: its rows name no images
    keeps_rows: bool = False  # which image each row names is recorded, to compare rows and images
    excludes: bool = False  # rows whose image is not on the staging branch are left out of what is published
    poll_seconds: float = 10.0  # how often it is looked at without a notification
    silence_seconds: float | None = None  # a read that shows no sign of life for longer is named; None: none is
    full_read_seconds: float = 3600.0  # in between, a database that tells of changes is asked for them alone; 0: never
    limits: DeletionLimits = field(default_factory=DeletionLimits)
