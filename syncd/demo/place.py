"""The folder the demo happens in: given, or temporary and removed afterwards."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.demo.rows import ROWS, as_bytes
from syncd.embedded.locks import FileLock
from syncd.errors import AlreadyRunningError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = ".syncd-demo"  # tells that a folder is a demo's; locked as long as one runs in it
REPOSITORY = "digits"

CONFIG = f"""\
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

# The same rows in a database. No snapshot in which one of them names an image that is not there.
[[tables]]
name = "digits"
url = "sqlite:///digits.db"
table = "digits"
key = "id"
image_column = "image"
closure = "hold"
poll_seconds = 0.5

[lakefs]
endpoint = "embedded"
repository = "{REPOSITORY}"

[snapshot]
quiet_seconds = 1.5

[service]
state_dir = "state"
listen = ""
"""


class Place:
    """Where everything of one demo lies."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.images = directory / "images"
        self.table = directory / "labels.csv"
        self.database = directory / "digits.db"
        self.config = directory / "syncd.toml"
        self.state = directory / "state"
        self.log = directory / "syncd.log"
        self.lock = FileLock(directory / MARK)

    def contents(self) -> dict[str, bytes]:
        """Return what the folder and the tables hold now, by the path that a snapshot gives it."""
        found = {
            f"images/{path.relative_to(self.images).as_posix()}": path.read_bytes()
            for path in self.images.rglob("*")
            if path.is_file()
        }
        return found | {"tables/labels.csv": self.table.read_bytes(), ROWS: self._database_rows()}

    def _database_rows(self) -> bytes:
        with closing(sqlite3.connect(self.database)) as connection:
            return as_bytes(connection.execute("SELECT id, image, label FROM digits"))

    def _clear(self) -> None:
        """Remove what an earlier demo made, and nothing else."""
        for folder in (self.images, self.state):
            if folder.exists():
                shutil.rmtree(folder)
        for file in (self.table, self.database, self.config, self.log):
            file.unlink(missing_ok=True)

    @contextmanager
    def prepared(self) -> Iterator[Place]:
        """Hold the folder; what an earlier demo left in it is gone and the configuration is written.

        Raises:
            UsageError: It holds something that no demo put there, or cannot be written.
            AlreadyRunningError: Another demo uses it.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if any(self.directory.iterdir()) and not self.lock.path.is_file():
                raise UsageError(
                    f"{self.directory} is not empty, and no earlier demo made it",
                    next_step="name a new folder with --dir",
                )
            if not self.lock.try_acquire():
                raise AlreadyRunningError(
                    f"a demo runs in {self.directory} already",
                    next_step="end it with Ctrl-C, or name another folder with --dir",
                )
        except OSError as error:
            raise UsageError(
                f"{self.directory} cannot be used: {error.strerror}",
                next_step="name a folder with --dir that you may write",
            ) from error
        try:
            self._clear()
            self.images.mkdir()
            self.config.write_text(CONFIG, encoding="utf-8")
            yield self
        finally:
            self.lock.release()


@contextmanager
def open_place(directory: Path | None) -> Iterator[Place]:
    """Yield a prepared place; without a directory, a temporary one that is removed at the end.

    Raises:
        UsageError: The directory is not ours.
        AlreadyRunningError: Another demo uses it.
    """
    if directory is not None:
        with Place(directory.absolute()).prepared() as place:
            yield place
        return
    temporary = Path(tempfile.mkdtemp(prefix="syncd-demo-"))
    try:
        with Place(temporary).prepared() as place:
            yield place
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
