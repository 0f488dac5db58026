"""What a folder source is told; plain values, so that the configuration's models stay outside."""

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
