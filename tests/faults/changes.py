"""Random changes of a small folder."""

from __future__ import annotations

import random
from pathlib import Path

FILES = 30


class Changes:
    """Random changes of a folder of some thirty files."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self._root, self._rng, self._count = root, rng, 0

    def fill(self) -> None:
        for _ in range(FILES):
            self._create()

    def make(self) -> None:
        """Change one to five things."""
        for _ in range(self._rng.randint(1, 5)):
            files = sorted(path for path in self._root.rglob("*.png"))
            few, many = len(files) < FILES * 2 // 3, len(files) > FILES * 4 // 3
            if few or (not many and self._rng.random() < 0.3):
                self._create()
                continue
            path = self._rng.choice(files)
            how = self._rng.choice(["delete"] if many else ["delete", "rename", "replace", "replace"])
            if how == "delete":
                path.unlink()
            elif how == "rename":
                path.rename(self._new())
            else:
                path.write_bytes(self._content())

    def _new(self) -> Path:
        self._count += 1
        path = self._root / f"d{self._rng.randrange(4)}" / f"{self._count:04}.png"
        path.parent.mkdir(exist_ok=True)
        return path

    def _create(self) -> None:
        self._new().write_bytes(self._content())

    def _content(self) -> bytes:
        return self._rng.randbytes(self._rng.randrange(3000))
