"""The folder the demo happens in: given, or temporary and removed afterwards."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = ".syncd-demo"  # tells that a folder is ours to empty

CONFIG = """\
# Short times, so that there is something to see; the defaults suit real data.
[source]
root = "images"
settle_seconds = 0.3

[[tables]]
name = "labels"
csv = "labels.csv"
key = "id"
image_column = "image"
poll_seconds = 1.0

[lakefs]
endpoint = "embedded"
repository = "digits"

[snapshot]
quiet_seconds = 2.0

[service]
state_dir = "state"
"""


class Place:
    """Where everything of one demo lies."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.images = directory / "images"
        self.table = directory / "labels.csv"
        self.config = directory / "syncd.toml"
        self.state = directory / "state"
        self.log = directory / "syncd.log"

    def prepare(self) -> None:
        """Empty the folder and write the configuration.

        Raises:
            UsageError: It holds something that no demo put there.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if any(self.directory.iterdir()) and not (self.directory / MARK).exists():
            raise UsageError(
                f"{self.directory} is not empty, and no earlier demo made it",
                next_step="name a new folder with --dir",
            )
        for item in self.directory.iterdir():
            shutil.rmtree(item) if item.is_dir() else item.unlink()
        (self.directory / MARK).touch()
        self.images.mkdir()
        self.config.write_text(CONFIG, encoding="utf-8")

    def contents(self) -> dict[str, bytes]:
        """Return what the folder and the table hold now, by the path that a snapshot gives it."""
        found = {
            f"images/{path.relative_to(self.images).as_posix()}": path.read_bytes()
            for path in self.images.rglob("*")
            if path.is_file()
        }
        return found | {"tables/labels.csv": self.table.read_bytes()}


@contextmanager
def open_place(directory: Path | None) -> Iterator[Place]:
    """Yield a prepared place; without a directory, a temporary one that is removed at the end.

    Raises:
        UsageError: The directory is not ours.
    """
    if directory is not None:
        place = Place(directory.absolute())
        place.prepare()
        yield place
        return
    temporary = Path(tempfile.mkdtemp(prefix="syncd-demo-"))
    try:
        place = Place(temporary)
        place.prepare()
        yield place
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
