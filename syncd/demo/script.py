"""What happens to the data in the demo: a folder of images and their table, changed as people change them."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from syncd.demo.digits import png

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from syncd.demo.digits import Digit

COLUMNS = ("id", "image", "label")
BATCH, BATCH_RENAMED = "incoming", "train-rotated"

# one in so many: 200, 150 and 40 of the 1,797
_ROTATED_EVERY, _REPLACED_EVERY, _MISLABELLED_EVERY = 9, 12, 45
_MISLABELLED_FROM = 7
_DEGREES, _CONTRAST = 15.0, 1.8


class Row(NamedTuple):
    """One row of the table, named as its columns are."""

    id: int
    image: str  # relative to the folder of images
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One turn of the story."""

    title: str
    detail: str
    change: Callable[[], None]
    asked: bool = False  # somebody asks for the snapshot; otherwise it comes by itself


class Dataset:
    """The folder and its table on disk, as a CSV file and in a database. syncd is not told of anything."""

    def __init__(self, images: Path, table: Path, database: Path, digits: Sequence[Digit]) -> None:
        self._images, self._table, self._database, self._digits = images, table, database, digits
        self._rows: list[Row] = []

    def steps(self) -> list[Step]:
        """Return the story, to be played in this order."""
        count = len(self._digits)
        rotated, replaced = len(range(0, count, _ROTATED_EVERY)), len(range(0, count, _REPLACED_EVERY))
        mislabelled = len(range(_MISLABELLED_FROM, count, _MISLABELLED_EVERY))
        return [
            Step(
                title="A folder of images and its table",
                detail=f"{count:,} handwritten digits in train/ and test/, one PNG file and one row each",
                change=self.write_all,
            ),
            Step(
                title="A new batch arrives",
                detail=f"{rotated} rotated digits in {BATCH}/, {rotated} rows appended to the table",
                change=self.add_batch,
            ),
            Step(
                title="Images are replaced, a folder is renamed",
                detail=f"{replaced} images get more contrast under their old names;"
                f" {BATCH}/ becomes {BATCH_RENAMED}/, in the table too",
                change=self.improve,
            ),
            Step(
                title="Mislabelled images go, and somebody cannot wait",
                detail=f"{mislabelled} images and their rows are deleted, then: syncd snapshot",
                change=self.remove_mislabelled,
                asked=True,
            ),
        ]

    def write_all(self) -> None:
        """Write every digit, and the table."""
        first_test = len(self._digits) * 5 // 6
        for number, digit in enumerate(self._digits):
            part = "train" if number < first_test else "test"
            row = Row(number, f"{part}/{digit.label}/{number:04}.png", digit.label)
            self._write_image(row, png(digit))
            self._rows.append(row)
        self._rewrite_table()

    def add_batch(self) -> None:
        """Write rotated digits into a folder of their own, then append their rows."""
        batch: list[Row] = []
        for number in range(0, len(self._digits), _ROTATED_EVERY):
            digit, identity = self._digits[number], len(self._rows) + len(batch)
            row = Row(identity, f"{BATCH}/{digit.label}/{identity:04}.png", digit.label)
            self._write_image(row, png(digit, degrees=_DEGREES))
            batch.append(row)
        with self._table.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(batch)
        self._rows += batch
        self._write_database()

    def improve(self) -> None:
        """Replace some images where they are, and rename the batch's folder."""
        for number in range(0, len(self._digits), _REPLACED_EVERY):
            self._write_image(self._rows[number], png(self._digits[number], contrast=_CONTRAST))
        (self._images / BATCH).rename(self._images / BATCH_RENAMED)
        self._rows = [row._replace(image=_renamed(row.image)) for row in self._rows]
        self._rewrite_table()

    def remove_mislabelled(self) -> None:
        """Delete some images with their rows."""
        doomed = set(self._rows[_MISLABELLED_FROM : len(self._digits) : _MISLABELLED_EVERY])
        for row in doomed:
            (self._images / row.image).unlink()
        self._rows = [row for row in self._rows if row not in doomed]
        self._rewrite_table()

    def _write_image(self, row: Row, data: bytes) -> None:
        path = self._images / row.image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def _rewrite_table(self) -> None:
        """Replace the table in one step, as careful writers do."""
        fresh = self._table.with_suffix(".new")
        with fresh.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *self._rows])
        fresh.replace(self._table)
        self._write_database()

    def _write_database(self) -> None:
        """Let the database's table hold the same rows, in one transaction."""
        with closing(sqlite3.connect(self._database)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS digits (id INTEGER PRIMARY KEY, image TEXT, label INTEGER)")
            connection.execute("BEGIN")
            connection.execute("DELETE FROM digits")
            connection.executemany("INSERT INTO digits VALUES (?, ?, ?)", self._rows)


def _renamed(image: str) -> str:
    folder, _, rest = image.partition("/")
    return f"{BATCH_RENAMED}/{rest}" if folder == BATCH else image
