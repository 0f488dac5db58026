"""Makes the sources that the settings name."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from syncd.service.tables import make_table
from syncd.sources.folder import FolderSource
from syncd.sources.settings import FolderSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from syncd.config import Settings
    from syncd.journal import Journal
    from syncd.sources.base import Source

COOKIES = "cookies"  # in the state directory: syncd's own files, by which it tells that its watcher is up to date


def make_sources(
    settings: Settings, journal: Journal, clock: Callable[[], datetime], *, state_dir: Path | None = None
) -> list[Source]:
    """Return the folder and the tables, not yet running.

    Args:
        settings: Names them.
        journal: Where observations go.
        clock: The time now, in UTC.
        state_dir: For syncd's own files; None: the configured one.
    """
    own = state_dir or settings.service.state_dir
    cookie_dir = own / COOKIES
    cookie_dir.mkdir(mode=0o700, exist_ok=True)
    folder = FolderSource(
        folder_settings(settings, cookie_dir),
        journal,
        clock=clock,
        rng=random.Random(),  # noqa: S311 - jitter, not a secret
    )
    tables = [make_table(settings, table, journal, clock, own) for table in settings.tables]
    return [folder, *tables]


def folder_settings(settings: Settings, cookie_dir: Path | None = None) -> FolderSettings:
    """Return what the folder source is told."""
    source = settings.source
    return FolderSettings(
        root=source.root,
        include=source.include,
        exclude=source.exclude,
        settle_seconds=source.settle_seconds,
        watch=source.watch,
        rescan_seconds=source.rescan_seconds,
        cookie_dir=cookie_dir,
        prefix=settings.lakefs.prefix,
        max_object_bytes=settings.upload.max_object_bytes,
    )
