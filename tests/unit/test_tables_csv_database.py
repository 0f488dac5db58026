"""A CSV file cut into parts: checked like one that is published as it is, and sorted by its keys."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.config import Settings
from syncd.errors import JournalError
from syncd.journal import Journal
from syncd.service.tables import make_table
from syncd.sources.db_table import DbTable
from syncd.sources.file_watch import watch_file
from syncd.sources.settings import DatabaseTableSettings
from syncd.sources.tables.base import Kind, TableChangingError, TableFaultError, TableUnavailableError
from syncd.sources.tables.csv_database import CsvDatabase
from tests.support.memory_inventory import MemoryInventory
from tests.support.observing import present
from tests.support.watching import now
from tests.unit.test_journal import stage_all


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


def test_what_it_is_sorted_in_is_gone_however_the_reading_ends(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    write(path, "id\n" + "".join(f"{number}\n" for number in range(50_000)))

    def read() -> int:
        with database(path).read() as reading:
            assert list((tmp_path / "scratch").iterdir()) == []
            return sum(len(batch) for batch in reading.batches())

    assert settled(read) == 50_000


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


@pytest.mark.parametrize(
    ("header", "fact", "next_step"),
    [
        ("id,a,b,a", 'the column "a" is more than once in the header', "rename all but one"),
        ("id,a,,", "columns 3 and 4 of the header have no name", "name them, or delete them"),
        ("id,,,", "columns 2, 3 and 4 of the header have no name", "name them, or delete them"),
    ],
)
def test_columns_with_the_same_name_are_refused_where_a_reader_could_not_tell_them_apart(
    tmp_path: Path, header: str, fact: str, next_step: str
) -> None:
    """P8: Parquet takes them, and nothing could ever read it. A spreadsheet writes such commas for empty columns."""
    path = tmp_path / "labels.csv"
    write(path, f"{header}\n1,2,3,4\n")
    with pytest.raises(TableFaultError) as error:
        rows(database(path))
    assert error.value.fact == f"{path}: {fact}"
    assert error.value.next_step == f'{next_step}, or have the file published as it is: format = "csv"'
    assert rows(database(path, unique_columns=False)) == [("1", "2", "3", "4")]


def test_one_column_without_a_name_is_published(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    write(path, "id,\n1,2\n")
    assert rows(database(path)) == [("1", "2")]


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


@contextlib.contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_of_what_is_sorted_is_said(tmp_path: Path) -> None:
    """The source pauses, and its file is not said to be at fault."""
    path = tmp_path / "labels.csv"
    write(path, "id,text\n" + "".join(f"{number},{'x' * 10_000_000}\n" for number in range(5)))  # more than is cached
    found = database(path)
    with no_file_longer_than(10_000_000), pytest.raises(JournalError, match="cannot be written") as failure:
        rows(found)
    assert failure.value.next_step.startswith(f"df -h {tmp_path}")
    assert "disk under the state directory" in failure.value.cause
    assert list((tmp_path / "scratch").iterdir()) == []
    assert len(rows(found)) == 5


async def test_a_place_that_cannot_be_made_pauses_the_source_until_it_can(tmp_path: Path) -> None:
    path, state = tmp_path / "labels.csv", tmp_path / "state"
    path.write_text("id\n1\n")
    state.write_bytes(b"")  # where a directory is to be
    settings = DatabaseTableSettings(name="labels", key="id", spool_dir=tmp_path / "spool", poll_seconds=3600)
    inventory = MemoryInventory()
    found = database(path, scratch_dir=state / "tables" / "sorting")
    source = DbTable(settings, found, inventory, clock=now, rng=random.Random(1))
    with pytest.raises(JournalError, match="cannot be used") as failure:
        await source.barrier(now() + timedelta(seconds=30))
    assert str(state / "tables" / "sorting") in failure.value.fact
    state.unlink()
    assert await source.barrier(now() + timedelta(seconds=30)) == []
    assert inventory.known_table("labels").rows == 1


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


@pytest.mark.parametrize("published", ["csv", "parquet"])
async def test_under_exclude_a_file_published_as_text_may_have_columns_with_the_same_name(
    tmp_path: Path, published: str
) -> None:
    path = tmp_path / "labels.csv"
    write(path, "id,image,,\n1,a.png,,\n2,b.png,x,\n")
    told = {"name": "labels", "csv": path, "key": "id", "image_column": "image", "format": published}
    settings = Settings(source={"root": tmp_path / "images"}, tables=[told | {"closure": "exclude"}])
    async with Journal(tmp_path) as journal:
        await journal.record([present("images/a.png", b"a")])
        await stage_all(journal)
        source = make_table(settings, settings.tables[0], journal, now, tmp_path)
        for _ in range(2):  # the second version is the same
            left_out = await source.scan_once(now() + timedelta(seconds=30))
            source.read_again()
        known = journal.known_table("labels")
        if published == "csv":
            assert (left_out, known.rows) == ([], 2)
            with source.open("tables/labels.csv") as body:
                assert body.read() == b'id,image,"",""\n1,a.png,"",""\n'
        else:
            assert [f"{path}: columns 3 and 4" in one.reason for one in left_out] == [True]
            assert known is None


async def test_no_tables_place_for_sorting_is_another_ones_spool(tmp_path: Path) -> None:
    """What is removed from a spool is all that does not wait for its upload."""
    names = ["labels", "labels-sorting"]
    for name in names:
        write(tmp_path / f"{name}.csv", "id\n1\n")
    tables = [{"name": name, "csv": tmp_path / f"{name}.csv", "key": "id", "format": "parquet"} for name in names]
    settings = Settings(source={"root": tmp_path / "images"}, tables=tables)
    async with Journal(tmp_path) as journal:
        for table in settings.tables:
            before = set(tmp_path.glob("tables/*"))
            await make_table(settings, table, journal, now, tmp_path).scan_once(now() + timedelta(seconds=30))
            made = {path.name for path in set(tmp_path.glob("tables/*")) - before}
            assert made == {table.name, f"{table.name}.sorting"}
