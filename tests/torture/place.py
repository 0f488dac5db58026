"""The folder and the table of one history: what is done to them, and what a snapshot must and may hold of them.

Each image tells by its last bytes whether it is whole, each row of the table which version of it it belongs to.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from syncd.model import IMAGES
from tests.support.comparing import folder

ALWAYS = "always.png"  # nothing is done to it, so that folder and table are never empty
FOLDERS = ("", "a", "a/b", "c d", "ünï")
SIZES = (0, 10, 3000, 150_000)
PIECES = 3  # in which a file that is written in place grows
COLUMNS = ("id", "image", "version", "rows")
TABLE_KEY, LIST_KEY = "tables/labels.csv", "tables/labels/_closure.json"


def is_whole(body: bytes) -> bool:
    """Tell whether an image is one that was written, from its begin to its end."""
    return hashlib.sha256(body[:-64]).hexdigest().encode() == body[-64:]


def rows_of(table: bytes) -> dict[str, str | None]:
    """Return which image each row names; fails unless the rows are of one version."""
    lines = list(csv.DictReader(io.StringIO(table.decode())))
    assert len({(line["version"], line["rows"]) for line in lines}) <= 1, "rows of several versions in one table"
    return {line["id"]: line["image"] or None for line in lines}


def unfit(rows: Mapping[str, str | None], images: Mapping[str, bytes]) -> tuple[set[str], set[str]]:
    """Return the rows without their image, and the images without a row."""
    there = {key.removeprefix(IMAGES) for key in images}
    return {key for key, image in rows.items() if image not in there}, there - set(rows.values())


class Place:
    """Changes are told by numbers, which stand for one of the files, folders or contents there are."""

    def __init__(self, root: Path, table: Path) -> None:
        self._root, self._table, self._aside = root, table, root.with_name("aside")
        self._count = 0
        self.hidden: dict[str, int] = {}  # a file or folder that nobody may read -> its mode before
        self.lived: dict[str, set[bytes]] = defaultdict(set)  # key -> each content it has ever had
        self.removed: set[str] = set()  # the keys that were ever deleted or moved
        self.versions: set[bytes] = set()  # of the table
        self.rows: dict[str, str | None] = {}
        self._write(ALWAYS, 1)
        self.edit_table(0, fit=True)

    @property
    def here(self) -> Path:
        """The folder, wherever it is now."""
        return self._aside if self._aside.exists() else self._root

    @property
    def is_away(self) -> bool:
        return self._aside.exists()

    def go_away(self) -> None:
        """At one moment, as an unmount does it."""
        self._root.rename(self._aside)

    def come_back(self) -> None:
        self._aside.rename(self._root)

    def flood(self) -> None:
        """Make more events than the kernel keeps for a watcher, and nothing that lasts."""
        kept = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        passing = self._root / "flood.png"
        for _ in range(kept):  # each makes several
            passing.write_bytes(b"")
            passing.unlink()

    # What is in it.

    def files(self) -> list[str]:
        """The files that anything may be done to."""
        found = (path.relative_to(self.here).as_posix() for path in self.here.rglob("*") if path.is_file())
        return sorted(path for path in found if path != ALWAYS and self._is_free(path))

    def folders(self) -> list[str]:
        found = (path.relative_to(self.here).as_posix() for path in self.here.rglob("*") if path.is_dir())
        return sorted(path for path in found if self._is_free(path))

    def images(self, published: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return what a snapshot must hold of the folder: what nobody may read as it was published."""
        seen = {key: body for key, body in folder(self.here).items() if not self._is_hidden(key)}
        return seen | {key: body for key, body in published.items() if key.startswith(IMAGES) and self._is_hidden(key)}

    @property
    def table(self) -> bytes:
        return self._table.read_bytes()

    def _is_hidden(self, key: str) -> bool:
        return any(_is_at_or_below(key.removeprefix(IMAGES), one) for one in self.hidden)

    def _is_free(self, path: str) -> bool:
        return not any(_is_at_or_below(path, one) or _is_at_or_below(one, path) for one in self.hidden)

    # What is done to it; each returns what it did, in words.

    def create(self, choice: int) -> str:
        self._count += 1
        path = f"{FOLDERS[choice % len(FOLDERS)]}/{self._count}.png".lstrip("/")
        if not self._is_free(path):
            return "nothing"
        self._write(path, choice)
        return path

    def rewrite(self, choice: int) -> str:
        return self._with_one_of(self.files(), choice, lambda path: self._write(path, choice + 1))

    def replace(self, choice: int) -> str:
        return self._with_one_of(self.files(), choice, lambda path: self._write(path, choice + 1, rename=True))

    def rename(self, choice: int) -> str:
        self._count += 1
        target = f"{FOLDERS[choice % len(FOLDERS)]}/{self._count}-renamed.png".lstrip("/")
        return self._with_one_of(self.files() if self._is_free(target) else [], choice, lambda p: self._move(p, target))

    def move_folder(self, choice: int) -> str:
        self._count += 1
        return self._with_one_of(self.folders(), choice, lambda path: self._move(path, f"moved-{self._count}"))

    def delete(self, choice: int) -> str:
        def act(path: str) -> None:
            self.removed.add(IMAGES + path)
            (self.here / path).unlink()

        return self._with_one_of(self.files(), choice, act)

    def delete_folder(self, choice: int) -> str:
        def act(path: str) -> None:
            self.removed |= self._keys_below(path)
            shutil.rmtree(self.here / path)

        return self._with_one_of(self.folders(), choice, act)

    def hide(self, choice: int) -> str:
        """Take away the right to read; who is root, as this test may be, still can."""

        def act(path: str) -> None:
            self.hidden[path] = (self.here / path).stat().st_mode
            (self.here / path).chmod(0)

        return self._with_one_of([*self.files(), *self.folders()], choice, act)

    def change_hidden(self, choice: int) -> str:
        """Change what nobody may read; that nobody can know of."""

        def act(path: str) -> None:
            if (self.here / path).is_file():
                self._write(path, choice)
                return
            below = [file for file in (self.here / path).rglob("*") if file.is_file()]
            for file in below[:1]:
                self.removed.add(IMAGES + file.relative_to(self.here).as_posix())
                file.unlink()
            self._count += 1
            self._write(f"{path}/{self._count}-hidden.png", choice)

        return self._with_one_of(list(self.hidden), choice, act)

    def reveal(self) -> str:
        for path, mode in self.hidden.items():
            (self.here / path).chmod(mode)
        revealed, self.hidden = sorted(self.hidden), {}
        return ", ".join(revealed)

    def edit_table(self, choice: int, *, fit: bool) -> str:
        """Write a version that fits the images there are, or one that does not; in place or by a rename."""
        paths = sorted(key.removeprefix(IMAGES) for key in folder(self.here))
        rows: dict[str, str | None] = {path: path for path in paths}
        if not fit:
            rng = random.Random(choice)
            for path in rng.sample(paths, rng.randint(0, len(paths) // 2)):
                rows[path] = rng.choice([None, f"nowhere/{choice}.png", "../outside.png"])
            for path in rng.sample(paths, rng.randint(0, len(paths) // 2)):
                rows.pop(path)
            rows["of nothing"] = "not/there.png"
        self._count += 1
        self.rows = rows
        text = io.StringIO()
        lines = csv.writer(text)
        lines.writerow(COLUMNS)
        lines.writerows((key, image or "", self._count, len(rows)) for key, image in rows.items())
        content = text.getvalue().encode()
        self.versions.add(content)
        if choice % 2:
            _write_in_pieces(self._table, content)
        else:
            new = self._table.with_suffix(".new")
            new.write_bytes(content)
            new.replace(self._table)
        return f"{len(rows)} rows, {'in place' if choice % 2 else 'by a rename'}"

    def _with_one_of(self, paths: list[str], choice: int, act: Callable[[str], None]) -> str:
        if not paths:
            return "nothing"
        path = paths[choice % len(paths)]
        act(path)
        return path

    def _write(self, path: str, choice: int, *, rename: bool = False) -> None:
        self._count += 1
        start = b"%d " % self._count + random.Random(choice).randbytes(SIZES[choice % len(SIZES)])
        content = start + hashlib.sha256(start).hexdigest().encode()
        file = self.here / path
        self.lived[IMAGES + path].add(content)
        if rename:
            new = self._table.with_name("new image")
            new.write_bytes(content)
            new.replace(file)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_in_pieces(file, content)

    def _move(self, path: str, target: str) -> None:
        """A file or a folder."""
        source = self.here / path
        for key in self._keys_below(path) if source.is_dir() else {IMAGES + path}:
            moved = IMAGES + target + key.removeprefix(IMAGES + path)
            self.lived[moved].add((self.here / key.removeprefix(IMAGES)).read_bytes())
            self.removed.add(key)
        (self.here / target).parent.mkdir(parents=True, exist_ok=True)
        source.rename(self.here / target)

    def _keys_below(self, path: str) -> set[str]:
        found = (file.relative_to(self.here).as_posix() for file in (self.here / path).rglob("*") if file.is_file())
        return {IMAGES + file for file in found}


def _is_at_or_below(path: str, other: str) -> bool:
    return path == other or path.startswith(other + "/")


def _write_in_pieces(path: Path, content: bytes) -> None:
    step = len(content) // PIECES + 1
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), step):
            file.write(content[start : start + step])
            os.sched_yield()
