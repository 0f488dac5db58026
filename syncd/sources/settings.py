"""What a source is told; plain values, so that the configuration's models stay outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
    cookie_dir: Path | None = None  # an existing directory of syncd's own; None: barriers list everything
    prefix: str = ""  # of the keys on the branch
    max_object_bytes: int = 5 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """One table in a CSV file."""

    name: str  # its key is tables/NAME.csv
    path: Path
    key: str  # the column whose value names a row
    image_column: str | None = None  # a further column that must be there
    settle_seconds: float = 2.0
    poll_seconds: float = 10.0  # how often the file is looked at without an event
    events: bool = True  # whether to watch its folder, so that changes are seen before the next poll
