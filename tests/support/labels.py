"""A table that names images, as a CSV file or in SQLite, and pairs of the two that change with no regard for order."""

from __future__ import annotations

import csv
import io
import random
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lakefs
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.daemon import Dataset
from tests.tables.conftest import SqliteFile

LONG_S = 600.0
LONGEST_PAUSE_S = 0.15  # between two changes; a file settles in 0.1 s
Rows = Mapping[str, str | None]  # key of a row -> path of the image it names


class CsvLabels:
    """The table as a CSV file, which is replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "labels.csv"
        self.settings = {"csv": str(self._path)}

    def write(self, rows: Rows) -> None:
        text = io.StringIO()
        lines = csv.writer(text)
        lines.writerows([("id", "image"), *((key, image or "") for key, image in rows.items())])
        new = self._path.with_suffix(".new")
        new.write_text(text.getvalue())
        new.replace(self._path)

    @staticmethod
    def rows_of(objects: Mapping[str, bytes]) -> dict[str, str | None]:
        lines = csv.DictReader(io.StringIO(objects.get("tables/labels.csv", b"").decode()))
        return {line["id"]: line["image"] or None for line in lines}


class SqliteLabels:
    """The table in a database, which changes in transactions and is published in parts."""

    def __init__(self, directory: Path) -> None:
        self._file = SqliteFile(directory / "labels.db")
        self._file.execute("CREATE TABLE labels (id INTEGER PRIMARY KEY, image TEXT)")
        self.settings = {"url": self._file.url, "table": "labels"}

    def write(self, rows: Rows) -> None:
        images = [("NULL" if image is None else f"'{image}'") for image in rows.values()]
        values = ", ".join(f"({key}, {image})" for key, image in zip(rows, images, strict=True))
        self._file.execute("BEGIN IMMEDIATE", "DELETE FROM labels", f"INSERT INTO labels VALUES {values}", "COMMIT")

    @staticmethod
    def rows_of(objects: Mapping[str, bytes]) -> dict[str, str | None]:
        parts = [body for key, body in sorted(objects.items()) if key.startswith("tables/labels/part-")]
        tables = [pq.read_table(io.BytesIO(part)) for part in parts]
        return {str(row["id"]): row["image"] for row in pa.concat_tables(tables).to_pylist()} if tables else {}


Labels = CsvLabels | SqliteLabels


def configure(dataset: Dataset, labels: Labels, closure: str, *, wait_s: float = LONG_S, **more: Any) -> None:
    table = {"name": "labels", "key": "id", "image_column": "image", "poll_seconds": 0.1, "closure": closure}
    dataset.configure(tables=[{**table, **labels.settings, "closure_wait_seconds": wait_s, **more}])


def put(dataset: Dataset, *paths: str, content: bytes = b"image") -> None:
    for path in paths:
        file = dataset.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def unfit(labels: Labels, objects: Mapping[str, bytes]) -> tuple[dict[str, str | None], list[str]]:
    """Compare all of a snapshot: the rows without their image, and the images without a row."""
    rows = labels.rows_of(objects)
    there = {key.removeprefix("images/") for key in objects if key.startswith("images/")}
    missing = {key: image for key, image in rows.items() if image not in there}
    return missing, sorted(there - set(rows.values()))


def tags(versions: lakefs.Repository) -> list[str]:
    """Every tag there is."""
    return sorted(tag.id for tag in versions.tags())


class Pairs:
    """Images and their rows, changed by two threads that know nothing of each other.

    Args:
        dataset: Its folder gets the images.
        labels: Get the rows.
        rng: Decides what changes, and when.
        staying: Keys of rows that stay as they are, with their images: where no pair is left, a person is asked.
    """

    def __init__(self, dataset: Dataset, labels: Labels, rng: random.Random, staying: Collection[str] = ()) -> None:
        self._dataset, self._labels, self._rng, self._staying = dataset, labels, rng, staying
        self._pause, self._count = threading.Event(), 0
        self.rows: dict[str, str] = {}

    def change(self, meanwhile: Callable[[], None]) -> None:
        """Let some pairs come, go, and change; return once both halves of all are done."""
        free = sorted(self.rows.keys() - self._staying)
        most = max(0, len(self.rows) - 1)
        gone = self._rng.sample(free, self._rng.randint(0, min(most, len(free))))
        moved = [key for key in free if key not in gone and self._rng.random() < 0.3]
        old = {self.rows[key] for key in (*gone, *moved)}
        after = {key: image for key, image in self.rows.items() if key not in gone}
        after |= {key: self._new_image() for key in moved}
        for _ in range(self._rng.randint(1, 4)):
            image = self._new_image()
            after[str(self._count)] = image
        new = set(after.values()) - set(self.rows.values())
        steps = [(self._replace, self._row_steps(after)), (self._touch, self._shuffled([*new, *old]))]
        with ThreadPoolExecutor(len(steps)) as pool:
            running = [pool.submit(self._do, act, todo, self._pauses(todo)) for act, todo in steps]
            meanwhile()
            for one in running:
                one.result()
        self.rows = after

    def _new_image(self) -> str:
        self._count += 1
        return f"{self._rng.choice(['', 'a/', 'a/b/'])}{self._count}.png"

    def _shuffled(self, items: list[str]) -> list[str]:
        return self._rng.sample(sorted(items), len(items))

    def _pauses(self, todo: list[Any]) -> list[float]:
        return [self._rng.uniform(0, LONGEST_PAUSE_S) for _ in todo]

    def _row_steps(self, after: Mapping[str, str]) -> list[dict[str, str]]:
        """Change the rows one after the other, in any order."""
        rows, steps = dict(self.rows), []
        for key in self._shuffled([*{*rows, *after}]):
            if rows.get(key) == after.get(key):
                continue
            if key in after:
                rows[key] = after[key]
            else:
                del rows[key]
            steps.append(dict(rows))
        return [step for step in steps if step]  # an empty table is asked about; that is another test

    def _do(self, act: Callable[[Any], None], todo: list[Any], pauses: list[float]) -> None:
        for one, pause_s in zip(todo, pauses, strict=True):
            self._pause.wait(pause_s)
            act(one)

    def _replace(self, rows: Mapping[str, str]) -> None:
        self._labels.write(rows)

    def _touch(self, image: str) -> None:
        """Let an image come, or go if it is there."""
        file = self._dataset.root / image
        if file.exists():
            file.unlink()
        else:
            put(self._dataset, image, content=image.encode())
