"""Changes files at full speed, in a process of its own: ``python -m tests.torture.storm ROOT FILES CHANGES SEED``."""

from __future__ import annotations

import random
import sys
from pathlib import Path

FOLDERS = 40


def path_of(root: Path, number: int) -> Path:
    return root / f"d{number % FOLDERS}" / f"{number}.png"


def fill(root: Path, files: int) -> None:
    """Create all of them."""
    for number in range(FOLDERS):
        (root / f"d{number}").mkdir()
    for number in range(files):
        path_of(root, number).write_bytes(b"%d first" % number)


def storm(root: Path, files: int, changes: int, seed: int) -> None:
    """Rewrite one, delete one, or create one that was deleted."""
    rng = random.Random(seed)
    for change in range(changes):
        path = path_of(root, rng.randrange(files))
        if rng.random() < 0.15:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(b"%d" % change)


if __name__ == "__main__":
    storm(Path(sys.argv[1]), *map(int, sys.argv[2:]))
