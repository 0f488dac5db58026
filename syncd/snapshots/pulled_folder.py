"""A folder that a pull made: what in it is not as it was pulled."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.snapshots import manifest
from syncd.snapshots.manifest import OWN_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Strange:
    """A file in a pulled folder that is not as it was pulled."""

    path: str
    why: str


def manifest_of(folder: Path) -> Path:
    """Return where a pulled folder has the list of its files."""
    return folder / OWN_DIRECTORY / "manifest"


def description_of(folder: Path) -> Path:
    """Return where a pulled folder says which snapshot it is; one that is still being built does not."""
    return folder / OWN_DIRECTORY / "snapshot.json"


def strange_in(folder: Path) -> Iterator[Strange]:
    """Yield the files of a pulled folder that are not as they were pulled; both are walked once, in order."""
    pulled_at_ns = manifest_of(folder).stat().st_mtime_ns
    known = manifest.read(manifest_of(folder))
    entry = next(known, None)
    for path, found in _walk(folder, ""):
        while entry is not None and os.fsencode(entry.path) < os.fsencode(path):
            entry = next(known, None)  # deleted there: nothing is lost
        if entry is None or entry.path != path:
            yield Strange(path, "no snapshot brought it")
        elif not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes or found.st_mtime_ns > pulled_at_ns:
            yield Strange(path, "it was changed after it was pulled")


def _walk(folder: Path, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything but folders, in the order of the keys; memory follows the largest folder."""
    entries = [
        (f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name, entry) for entry in os.scandir(folder)
    ]
    for name, entry in sorted(entries, key=lambda one: os.fsencode(one[0])):
        if not below and name == f"{OWN_DIRECTORY}/":
            continue
        if name.endswith("/"):
            yield from _walk(Path(entry.path), below + name)
        else:
            yield below + name, entry.stat(follow_symlinks=False)
