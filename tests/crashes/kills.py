"""A daemon that is killed at any moment, again and again, while the folder and the tables change all the time."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import lakefs

from tests.crashes.witness import CSV_KEY, Tables, Witness
from tests.support.comparing import Reader
from tests.support.crashing_daemon import ForkedDaemon
from tests.support.daemon import Dataset
from tests.support.labels import CsvLabels, Rows, SqliteLabels
from tests.support.writers import Writer

SHORTEST_LIFE_S, LONGEST_LIFE_S = 0.05, 2.5  # the first snapshot of a life comes after half a second
LONGEST_PAUSE_S = 0.3  # between two versions of the tables
MOST_ROWS = 40


class TableWriter(threading.Thread):
    """Writes one version of the tables after the other: all rows of a version name it."""

    def __init__(self, tables: Tables, seed: int) -> None:
        super().__init__(name="table-writer", daemon=True)
        self._tables, self._rng = tables, random.Random(seed)
        self._told_to_stop = threading.Event()
        self.versions: list[Rows] = []
        self.error: BaseException | None = None

    def write(self) -> None:
        """Write the next version."""
        number, count = len(self.versions), self._rng.randint(1, MOST_ROWS)
        self.versions.append({str(key): f"version-{number}/{key}.png" for key in range(count)})
        self._tables.write(self.versions[-1])

    def run(self) -> None:
        """Write until told to stop."""
        try:
            while not self._told_to_stop.wait(self._rng.uniform(0, LONGEST_PAUSE_S)):
                self.write()
        except BaseException as error:  # noqa: BLE001 - told to the test by stop()
            self.error = error

    def stop(self) -> None:
        """Finish the version under way and end."""
        self._told_to_stop.set()
        self.join()
        if self.error is not None:
            raise self.error


@contextmanager
def changing(*threads: Writer | TableWriter) -> Iterator[None]:
    """Let them change what they change inside."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stop()


def assert_whole(found: dict[str, bytes], writer: Writer, tables: TableWriter) -> None:
    """P2: every image is one that was written, every table is one of its versions."""
    torn = [
        key
        for key, body in found.items()
        if key.startswith("images/") and body not in {change.content for change in writer.history[key]}
    ]
    assert not torn, f"nobody wrote these so: {torn}"
    for kind in (CsvLabels, SqliteLabels):
        rows = kind.rows_of({key.replace(CSV_KEY, "tables/labels.csv"): body for key, body in found.items()})
        assert not rows or rows in tables.versions, f"{kind.__name__} is none of its versions: {rows}"


def configure(dataset: Dataset, tables: Tables) -> None:
    """Snapshots by themselves, as many as there can be; whatever goes is let go; rows name no images."""
    dataset.configure(
        snapshot={"quiet_seconds": 0.05, "max_wait_seconds": 0.2},
        source={"settle_seconds": 0.05},
        guard={"max_delete_percent": 100.0},
        lakefs={"lease_seconds": 2.0},
        tables=[{**table, "closure": "off"} for table in tables.settings],
    )


@dataclass(frozen=True)
class Course:
    """What came of a course of kills."""

    kills: int
    snapshots: int
    table_versions: int


def killed_again_and_again(
    dataset: Dataset, reader: Reader, versions: lakefs.Repository, rng: random.Random, kills: int
) -> Course:
    """P1, P2, P4, P6: nothing is lost, doubled or torn, and no tag moves; the last life is an ordinary one."""
    tables = Tables(dataset.directory)
    configure(dataset, tables)
    writer = Writer(dataset.root, 1, rng.getrandbits(32))
    table_writer = TableWriter(tables, rng.getrandbits(32))
    table_writer.write()
    witness, pause = Witness(reader, versions), threading.Event()
    with changing(writer, table_writer):
        for _ in range(kills):
            daemon = ForkedDaemon(dataset)
            pause.wait(rng.uniform(SHORTEST_LIFE_S, LONGEST_LIFE_S))
            assert daemon.exit_code is None, f"it ended by itself:\n{daemon.log()}"
            daemon.kill()
            witness.tags()
    dataset.start()
    answer = dataset.snapshot()
    assert answer["left_out"] == []
    witness.assert_exact(answer["tag"], dataset.root, tables)
    witness.assert_nothing_twice(answer["tag"])
    tags = witness.tags()
    for tag in tags:
        assert_whole(reader.objects(tag), writer, table_writer)
    dataset.daemons[-1].stop()
    return Course(kills, len(tags), len(table_writer.versions))
