"""A table file is accepted whole and sound, or its last good version stays and the wrong line is named."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import random
import threading
import tracemalloc
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.errors import RepeatedRowError
from syncd.fingerprint import ChangedDuringReadError, signature_of
from syncd.journal import Journal, problems
from syncd.model import RowImage
from syncd.sources.csv_check import BadTableError, TableReading, read_table
from syncd.sources.csv_file import CsvTable
from syncd.sources.settings import CsvTableSettings
from syncd.sources.tables.images import ImageColumn
from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import now, sha256

GOOD = b"id,image,label\n1,a.jpg,cat\n2,b.jpg,dog\n"
KEY = "tables/labels.csv"


def read(path: Path, key: str = "id", image_column: str | None = "image") -> TableReading:
    return read_table(path, signature_of(path.stat()), key=key, image_column=image_column)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (GOOD, 2),
        (b"\xef\xbb\xbf" + GOOD, 2),
        (GOOD.replace(b"\n", b"\r\n"), 2),
        (GOOD.rstrip(b"\n"), 2),
        (b"\n" + GOOD + b"\n\n", 2),
        (b"id,image\n", 0),
        (b'id,image\n1,"two\nlines"\n2,"a ""quote"" and, comma"\n', 2),
        ("id,image\nä,☃.jpg\n".encode(), 1),
        (b"id,image\n1," + b"x" * 1_000_000 + b"\n", 1),
        (b"id,image\n 1,a\n1,b\n", 2),  # a space makes another key
    ],
)
def test_a_sound_table_is_accepted_with_its_counts(tmp_path: Path, content: bytes, rows: int) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    reading = read(path)
    assert (reading.rows, reading.fingerprint.sha256) == (rows, sha256(content))
    assert reading.fingerprint.size_bytes == len(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"\xef\xbb\xbf", "it is empty"),
        (b"id,image\n1,a\n2\n3,c\n", "line 3 has 1 columns, the header has 2"),
        (b"id,image\n1,a\n2,b,c\n", "line 3 has 3 columns, the header has 2"),
        (b'id,image\n1,"a\nb"\n2\n', "line 4 has 1 columns"),
        (b"name,image\n1,a\n", 'line 1: the column "id" is not in the header: name, image'),
        (b"id,picture\n1,a\n", 'the column "image" is not in the header'),
        (b"id,image,id\n1,a,2\n", 'the column "id" is twice in the header'),
        (b"id;image\n1;a\n", "seem to be separated by semicolons; syncd reads commas"),
        (b"id\timage\n1\ta\n", "separated by tabs"),
        (b"id,image\n1,a\n,b\n", 'line 3: the key column "id" is empty'),
        (b"id,image\n1,a\n  ,b\n", 'line 3: the key column "id" is empty'),
        (b"id,image\n1,a\n2,b\n3,c\n2,d\n", 'lines 3 and 5 have the same value in the key column "id": 2'),
        (b'id,image\n1,"a\n\n"\n1,b\n', "lines 2 and 5 have the same value"),
        (b"id,image\n1,a\n2,caf\xe9\n", "line 3 is not UTF-8 (byte 6 of it)"),
        (b"\xff\xfei\x00d\x00", "line 1 "),
        (b"id,image\n1,a\x00b\n", "line 2 holds a NUL byte"),
        (b'id,image\n1,a\n2,"open\n3,c\n', "line 3 cannot be parsed: a quote is opened and never closed"),
        (b'id,image\n1,"a"b\n', "line 2 cannot be parsed"),
        (b"id,image\r1,a\r2,b\r", "cannot be parsed: it holds a carriage return outside of quotes"),
        (b"id,image\n1," + b"x" * (17 << 20) + b"\n", "line 2 is longer than 16,777,216 bytes"),
        (b'id,image\n1,"' + (b"x" * 1000 + b"\n") * 17_000 + b'"\n', "line 2 cannot be parsed: a field is larger than"),
    ],
)
def test_the_wrong_line_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """Fault 21."""
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(BadTableError) as caught:
        read(path)
    assert said in caught.value.fact


def test_a_file_replaced_while_it_is_read_is_not_accepted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(GOOD)
    before = signature_of(path.stat())
    (tmp_path / "new").write_bytes(GOOD)
    (tmp_path / "new").rename(path)
    with pytest.raises(ChangedDuringReadError):
        read_table(path, before, key="id", image_column=None)


def test_many_rows_cost_little_memory_and_a_double_key_among_them_is_found(tmp_path: Path) -> None:
    """P7: memory does not follow the size of the file, but for eight bytes a row."""
    path, rows = tmp_path / "t.csv", 100_000
    with path.open("w") as file:
        file.write("id,image\n")
        file.writelines(f"row-{number},images/{number}.jpg\n" for number in range(rows))
    tracemalloc.start()
    assert read(path).rows == rows
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 12 * rows + (8 << 20)

    with path.open("a") as file:
        file.write("row-77777,again.jpg\n")
    with pytest.raises(BadTableError, match=f"lines 77779 and {rows + 2} have the same value"):
        read(path)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(keys=st.lists(cells.filter(lambda cell: cell.strip()), unique=True, max_size=20), data=st.data())
def test_whatever_is_written_as_csv_is_accepted_and_a_repeated_key_is_not(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], data: st.DataObject
) -> None:
    rows = [(key, data.draw(cells)) for key in keys]
    path = tmp_path_factory.mktemp("csv") / "t.csv"

    def save(rows: list[tuple[str, str]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([("id", "image"), *rows])
        path.write_bytes(text.getvalue().encode())

    save(rows)
    assert read(path).rows == len(rows)
    if rows:
        save([*rows, (data.draw(st.sampled_from(keys)), "again")])
        with pytest.raises(BadTableError, match="have the same value"):
            read(path)


class Table:
    """A running table source."""

    def __init__(self, path: Path, inventory: MemoryInventory | Journal | None = None, **settings: Any) -> None:
        values: dict[str, Any] = {
            "name": "labels",
            "path": path,
            "key": "id",
            "image": ImageColumn(name="image"),
            "settle_seconds": 0.05,
            "poll_seconds": 0.05,
        }
        self.inventory: Any = inventory or MemoryInventory()
        self.source = CsvTable(CsvTableSettings(**(values | settings)), self.inventory, clock=now)

    async def barrier(self, seconds: float = 20) -> list[str]:
        return [left.reason for left in await self.source.barrier(now() + timedelta(seconds=seconds))]

    async def until_recorded(self, content: bytes) -> None:
        async with asyncio.timeout(20):
            while self.inventory.contents() != {KEY: sha256(content)}:
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(path: Path, inventory: Journal | None = None, **settings: Any) -> AsyncIterator[Table]:
    table = Table(path, inventory, **settings)
    task = asyncio.create_task(table.source.run())
    try:
        yield table
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(GOOD)
    return path


@pytest.mark.parametrize("settings", [{}, {"events": False}, {"poll_seconds": 3600.0}], ids=["both", "poll", "events"])
async def test_the_file_is_recorded_whole_and_again_when_it_changes(path: Path, settings: dict[str, Any]) -> None:
    async with running(path, **settings) as table:
        await table.until_recorded(GOOD)
        assert table.inventory.tables == {"labels": (sha256(GOOD), 2, 3)}
        facts = table.source.accepted
        assert facts is not None
        assert (facts.rows, facts.columns) == (2, 3)

        await table.barrier()
        path.write_bytes(GOOD + b"3,c.jpg,cow\n")
        await table.until_recorded(GOOD + b"3,c.jpg,cow\n")
        assert table.inventory.tables["labels"][1:] == (3, 3)

        (path.parent / "next").write_bytes(GOOD)
        (path.parent / "next").rename(path)
        await table.until_recorded(GOOD)


async def test_the_barrier_needs_no_running_source(path: Path) -> None:
    table = Table(path)
    assert await table.barrier() == []
    assert table.inventory.contents() == {KEY: sha256(GOOD)}
    reads = table.inventory.recorded
    assert list(await table.source.scan_once(now() + timedelta(seconds=20))) == []
    assert table.inventory.recorded == reads


async def test_a_bad_version_is_named_and_the_last_good_one_stays(path: Path) -> None:
    async with running(path) as table:
        await table.until_recorded(GOOD)
        path.write_bytes(GOOD + b"1,again.jpg,cat\n")
        assert await table.barrier() == ['lines 2 and 4 have the same value in the key column "id": 1']
        assert table.inventory.contents() == {KEY: sha256(GOOD)}
        assert table.inventory.codes() == {str(path): "bad-table"}
        health = table.source.health()
        assert health.available
        assert "lines 2 and 4" in health.reason
        assert health.skipped == {"bad-table": 1}

        path.write_bytes(GOOD + b"3,c.jpg,cow\n")
        assert await table.barrier() == []
        assert table.inventory.codes() == {}


async def test_a_file_that_is_gone_or_empty_is_never_an_absence(path: Path) -> None:
    """P5."""
    async with running(path) as table:
        await table.until_recorded(GOOD)
        path.unlink()
        assert await table.barrier() == ["it cannot be opened: No such file or directory"]
        assert table.inventory.codes() == {str(path): "source-unavailable"}
        assert not table.source.health().available

        path.write_bytes(b"")
        assert await table.barrier() == ["it is empty: there is no header"]
        assert table.inventory.codes() == {str(path): "bad-table"}
        assert table.inventory.contents() == {KEY: sha256(GOOD)}

        path.unlink()
        path.mkdir()
        assert await table.barrier() == ["it is not a file"]
        path.rmdir()
        path.write_bytes(GOOD)
        assert await table.barrier() == []


async def test_a_writer_that_stalls_is_waited_for(path: Path) -> None:
    """Fault 20: what is there while the writer pauses would pass for a whole table."""
    async with running(path) as table:
        await table.until_recorded(GOOD)
        with path.open("wb") as file:
            file.write(GOOD[:27])
            file.flush()
            assert await table.barrier(0.4) == ["open for writing in a program"]
            file.write(GOOD[27:] + b"3,c.jpg,cow\n")
        assert await table.barrier() == []
        assert table.inventory.contents() == {KEY: sha256(GOOD + b"3,c.jpg,cow\n")}


async def test_a_table_rewritten_in_place_all_the_time_is_never_accepted_torn(path: Path) -> None:
    """P2, fault 20."""
    versions = [b"id,image\n" + b"".join(b"%d,%d.jpg\n" % (n, v) for n in range(3000)) for v in range(4)]
    whole = {sha256(version) for version in versions} | {sha256(GOOD)}
    stop = threading.Event()

    def rewrite() -> None:
        rng = random.Random(5)
        while not stop.is_set():
            with path.open("wb") as file:
                version = rng.choice(versions)
                for start in range(0, len(version), 5000):
                    file.write(version[start : start + 5000])
                    file.flush()
            stop.wait(rng.choice([0.0, 0.03, 0.08]))

    async with running(path, settle_seconds=0.02, poll_seconds=0.01) as table:
        await table.until_recorded(GOOD)
        thread = threading.Thread(target=rewrite)
        thread.start()
        try:
            for _ in range(40):
                await table.barrier(0.05)
        finally:
            stop.set()
            thread.join()
        assert await table.barrier() == []
        found = [seen.fingerprint.sha256 for seen in table.inventory.history if seen.fingerprint]
        assert len(found) >= 2
        assert set(found) <= whole


async def test_a_changed_link_is_followed(path: Path) -> None:
    second = path.with_name("second.csv")
    second.write_bytes(GOOD + b"3,c.jpg,cow\n")
    link = path.with_name("current.csv")
    link.symlink_to(path)
    async with running(link) as table:
        await table.until_recorded(GOOD)
        link.with_name("swap").symlink_to(second)
        link.with_name("swap").rename(link)
        await table.until_recorded(second.read_bytes())
        with table.source.open(KEY) as file:
            assert file.read() == second.read_bytes()


async def test_what_did_not_hold_when_it_was_sent_is_read_again(path: Path) -> None:
    async with running(path) as table:
        await table.until_recorded(GOOD)
        recorded = table.inventory.recorded
        table.source.recheck(KEY)
        async with asyncio.timeout(20):
            while table.inventory.recorded == recorded:
                await asyncio.sleep(0.005)


def rows_kept(journal: Journal) -> Coroutine[Any, Any, dict[str, str]]:
    return journal.read(lambda connection: dict(connection.execute("SELECT row_key, seen_image FROM table_row")))


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    (tmp_path / "state").mkdir()
    async with Journal(tmp_path / "state") as opened:
        yield opened
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["journal.db"]  # and nothing was held against it


@pytest.mark.parametrize("apart", [0, 6_000], ids=["told-together", "told-apart"])
async def test_a_double_key_where_rows_are_compared_is_named_and_ends_nothing(
    path: Path, journal: Journal, apart: int
) -> None:
    """Fault 21: rows are laid by before the check knows that two have one key."""
    between = b"".join(b"n%d,,\n" % number for number in range(apart))
    path.write_bytes(GOOD + between + b"1,again.jpg,cat\n")
    async with running(path, journal, keeps_rows=True) as table:
        said = f'lines 2 and {apart + 4} have the same value in the key column "id": 1'
        assert await table.barrier() == [said]
        (problem,) = await journal.read(lambda connection: list(problems.standing(connection, limit=9)))
        assert (problem.path, problem.code) == (str(path), "bad-table")
        assert said.removeprefix("lines") in problem.detail
        assert journal.known_table("labels") is None

        path.write_bytes(GOOD)
        assert await table.barrier() == []
        assert journal.problem_paths("labels") == set()
        assert await rows_kept(journal) == {"1": "images/a.jpg", "2": "images/b.jpg"}


async def test_a_table_rewritten_while_its_rows_are_laid_by_is_read_again(path: Path, tmp_path: Path) -> None:
    """P2: what is read of two versions repeats keys that neither repeats."""
    header, filling = b"id,image,label\n", b"x" * 150
    halves = [
        b"".join(b"%d,%d.jpg,%s\n" % (n, n, filling) for n in range(start, start + 10_000))
        for start in (10_000, 20_000)
    ]  # each longer than what is read at once

    class Meddling(Journal):
        meddled = False

        async def add_rows(self, name: str, rows: Sequence[RowImage]) -> None:
            if not self.meddled:
                self.meddled = True
                path.write_bytes(header + halves[1] + halves[0])
            await super().add_rows(name, rows)

    path.write_bytes(header + halves[0] + halves[1])
    (tmp_path / "state").mkdir()
    async with Meddling(tmp_path / "state") as journal, running(path, journal, keeps_rows=True) as table:
        assert await table.barrier() == []
        assert journal.meddled
        assert journal.seen_sha256(KEY) == sha256(header + halves[1] + halves[0])
        assert await rows_kept(journal) == {str(n): f"images/{n}.jpg" for n in range(10_000, 30_000)}
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["journal.db"]


async def test_rows_that_repeat_a_key_where_the_check_finds_none_are_read_again(path: Path) -> None:
    """P2: they are of another version than the one that was checked, whatever the file's times say."""
    table = Table(path, keeps_rows=True)
    table.inventory.fail_next = RepeatedRowError("a row key came twice")
    while table.inventory.fail_next is not None:  # until it has settled
        assert await table.barrier(0) == ["still changing"]
    assert table.inventory.contents() == {}
    assert await table.barrier() == []
    assert table.inventory.calls["begin_rows"] == 2
    assert sorted(table.inventory.rows["labels"]) == ["1", "2"]


async def test_a_call_that_goes_away_leaves_no_reading_beside_the_next_one(path: Path) -> None:
    """P2: rows of the version it read would be taken for rows of the next one."""

    class Held(MemoryInventory):
        def __init__(self) -> None:
            super().__init__()
            self.reached, self.release = asyncio.Event(), asyncio.Event()
            self.told_at_begin: list[int] = []
            self.told = 0

        async def begin_rows(self, name: str) -> None:
            self.told_at_begin.append(self.told)
            if len(self.told_at_begin) > 1:
                self.release.set()  # a reading that is still under way goes on here, if there is one
            await super().begin_rows(name)

        async def add_rows(self, name: str, rows: Sequence[RowImage]) -> None:
            self.reached.set()
            await self.release.wait()
            await super().add_rows(name, rows)
            self.told += 1

    table = Table(path, inventory := Held(), keeps_rows=True)
    first = asyncio.create_task(table.barrier())
    await inventory.reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    path.write_bytes(GOOD.replace(b"1,a.jpg", b"3,c.jpg"))
    second = asyncio.create_task(table.barrier())
    await asyncio.wait({second}, timeout=0.5)  # without regard for the first one it would have begun by then
    inventory.release.set()
    assert await second == []
    assert inventory.told_at_begin == [0, 1]
    assert sorted(inventory.rows["labels"]) == ["2", "3"]
