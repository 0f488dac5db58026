"""A CSV file cut into parts: checked like one that is published as it is, and sorted by its keys."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.sources.db_table import DbTable
from syncd.sources.file_watch import watch_file
from syncd.sources.settings import DatabaseTableSettings
from syncd.sources.tables.base import Kind, TableChangingError, TableFaultError, TableUnavailableError
from syncd.sources.tables.csv_database import CsvDatabase
from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import now


def database(path: Path, **more: Any) -> CsvDatabase:
    values = {"key": "id", "image_column": None, "settle_seconds": 0.0, "scratch_dir": path.parent / "scratch"}
    return CsvDatabase(path, **values | more)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
    os.utime(path, (1_000_000_000, 1_000_000_000))


def settled(reading: Callable[[], Any]) -> Any:
    """Do something once the file has settled: its ctime cannot be set back."""
    while True:
        with contextlib.suppress(TableChangingError):
            return reading()
        threading.Event().wait(0.005)


def rows(found: CsvDatabase) -> list[tuple[Any, ...]]:
    def read() -> list[tuple[Any, ...]]:
        with found.read() as reading:
            return [row for batch in reading.batches() for row in batch]

    return settled(read)


def test_rows_come_in_the_order_of_their_keys_bytes(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    write(path, 'image,id\nc.png,é\n"a, ""b"".png",b\n"x\ny",Z\nd.png,10\n,9\n')
    assert rows(database(path)) == [("d.png", "10"), ("", "9"), ("x\ny", "Z"), ('a, "b".png', "b"), ("c.png", "é")]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_every_column_is_text_as_the_file_says_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    write(path, "id,score\n1,0.5\n")

    def columns() -> Any:
        with database(path).read() as reading:
            return [(column.name, column.kind) for column in reading.columns], reading.key_position

    assert settled(columns) == ([("id", Kind.TEXT), ("score", Kind.TEXT)], 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [("id\n1\n1\n", "lines 2 and 3"), ("id,a\n1\n", "line 2 has 1 columns"), ("nr\n1\n", '"id" is not'), ("", "empty")],
)
def test_a_file_that_is_no_table_is_named_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "labels.csv"
    write(path, text)
    with pytest.raises(TableFaultError, match=said):
        rows(database(path))


def test_a_file_that_is_gone_is_no_empty_table(tmp_path: Path) -> None:
    """P5."""
    with pytest.raises(TableUnavailableError, match="cannot be opened"):
        database(tmp_path / "labels.csv").probe()


def test_a_file_that_has_just_changed_or_is_open_for_writing_is_waited_for(tmp_path: Path) -> None:
    """P2: nothing half-written is read."""
    path = tmp_path / "labels.csv"
    path.write_text("id\n1\n")
    with pytest.raises(TableChangingError, match="still changing"), database(path, settle_seconds=60).read():
        pass
    with path.open("a"), pytest.raises(TableChangingError), database(path).read():
        pass
    assert rows(database(path)) == [("1",)]


def test_a_change_is_probed(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    write(path, "id\n1\n")
    found = database(path)
    before = found.probe()
    assert found.probe() == before
    write(path, "id\n2\n")
    assert found.probe() != before


async def test_a_file_is_published_in_parts_and_again_when_it_changes(tmp_path: Path) -> None:
    """P1: a call waits for a file that is being written, and an event makes it looked at before the next poll."""
    path = tmp_path / "labels.csv"
    settings = DatabaseTableSettings(name="labels", key="id", spool_dir=tmp_path / "spool", poll_seconds=3600)
    inventory = MemoryInventory()
    source = DbTable(
        settings,
        database(path, settle_seconds=0.05),
        inventory,
        clock=now,
        rng=random.Random(1),
        listen=lambda on_hint: watch_file(path, on_hint),
    )
    path.write_text("id,label\n1,cat\n")
    running = asyncio.create_task(source.run())
    assert await source.barrier(now() + timedelta(seconds=30)) == []
    assert sorted(inventory.contents()) == ["tables/labels/_schema.json", "tables/labels/part-0.parquet"]
    with path.open("a") as file:
        file.write("2,dog\n")
    while inventory.known_table("labels").rows != 2:
        await asyncio.sleep(0.01)
    assert inventory.codes() == {}
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
