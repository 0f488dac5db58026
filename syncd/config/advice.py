"""What is allowed but likely not meant: said by `syncd config check`, never an error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from syncd.presence import is_file, is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syncd.config.load import Loaded
    from syncd.config.settings import Settings


def advice(loaded: Loaded) -> list[str]:
    """Return one sentence for each thing worth a look, each beginning with its key. Reads local folders only."""
    settings = loaded.settings
    return [*_root(settings.source.root), *_files(settings), *_triggers(settings), *_retention(settings)]


def _root(root: Path) -> Iterator[str]:
    if not os.path.lexists(root):
        yield f"source.root: {root} does not exist. Is the disk mounted?"
    elif not is_folder(root):
        yield f"source.root: {root} is not a folder"
    elif not os.access(root, os.R_OK | os.X_OK):
        yield f"source.root: {root} cannot be read by this user"


def _files(settings: Settings) -> Iterator[str]:
    for position, table in enumerate(settings.tables):
        if table.csv is not None and not is_file(table.csv):
            yield f"tables[{position}].csv: {table.csv} does not exist or is not a file"
    ca_file = settings.lakefs.ca_file
    if ca_file is not None and not is_file(ca_file):
        yield f"lakefs.ca_file: {ca_file} does not exist or is not a file"
    if settings.notify.command and not os.access(settings.notify.command[0], os.X_OK):
        yield f"notify.command: {settings.notify.command[0]} is not there, or cannot be executed by this user"


def _triggers(settings: Settings) -> Iterator[str]:
    snapshot = settings.snapshot
    quiet, max_wait = snapshot.quiet_seconds, snapshot.max_wait_seconds
    if not (quiet or max_wait or snapshot.max_changes or snapshot.schedule):
        yield "snapshot: nothing makes a snapshot by itself; only syncd snapshot does"
    if quiet and max_wait and max_wait < quiet:
        yield "snapshot.max_wait_seconds: is below quiet_seconds, which so never counts"


def _retention(settings: Settings) -> Iterator[str]:
    snapshot = settings.snapshot
    keeps = snapshot.keep_last or snapshot.keep_daily or snapshot.keep_weekly or snapshot.keep_monthly
    if snapshot.remove_tags and not keeps:
        yield "snapshot.remove_tags: never counts while no keep_ key is set: every snapshot is kept"
