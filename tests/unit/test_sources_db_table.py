"""A database table as a source: when it is read, what is believed, what stays when something is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import traceback
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.config import Settings
from syncd.errors import SyncdError
from syncd.model import DeletionLimits, TableVersion
from syncd.service.tables import make_table
from syncd.sources.db_table import DbTable
from syncd.sources.settings import DatabaseTableSettings
from syncd.sources.tables.base import Column, Kind, Row, TableFaultError, TableUnavailableError
from syncd.sources.tables.guard import why_held
from syncd.sources.tables.images import ImageColumn
from syncd.sources.tables.pace import Pace
from syncd.sources.tables.reader import HeldVersionError, TableReader
from tests.support.memory_inventory import MemoryInventory
from tests.support.observing import present
from tests.support.watching import now

ID = Column(name="id", kind=Kind.INTEGER, declared="bigint")
IMAGE = Column(name="image", kind=Kind.TEXT, declared="text")
LABEL = Column(name="label", kind=Kind.TEXT, declared="text")


class PretendedReading:
    key_position = 0

    def __init__(self, database: PretendedDatabase) -> None:
        self.columns: Sequence[Column] = database.columns
        self._rows = sorted(database.rows)
        self._database = database

    def batches(self) -> Iterator[Sequence[Row]]:
        for start in range(0, len(self._rows), 100):
            self._database.at_batch()
            yield self._rows[start : start + 100]


class PretendedDatabase:
    """A table in memory, that counts its reads and can fail."""

    def __init__(self, rows: int = 0) -> None:
        self.columns = [ID, IMAGE, LABEL]
        self.rows: list[Row] = [(number, f"{number}.png", "cat") for number in range(rows)]
        self.token: Hashable | None = None
        self.error: SyncdError | None = None
        self.reads = 0
        self.closed = False
        self.held = threading.Event()
        self.reached = threading.Event()
        self.held.set()

    def probe(self) -> Hashable | None:
        if isinstance(self.error, TableUnavailableError):
            raise self.error
        return self.token

    @contextlib.contextmanager
    def read(self) -> Iterator[PretendedReading]:
        if self.error is not None:
            raise self.error
        self.reads += 1
        yield PretendedReading(self)

    def at_batch(self) -> None:
        self.reached.set()
        assert self.held.wait(30)

    def close(self) -> None:
        self.closed = True


class World:
    def __init__(self, tmp_path: Path, rows: int = 100, **settings: Any) -> None:
        self.database, self.inventory = PretendedDatabase(rows), MemoryInventory()
        values = {
            "name": "labels",
            "key": "id",
            "spool_dir": tmp_path / "spool",
            "image": ImageColumn(name="image"),
            "keeps_rows": True,
            "poll_seconds": 3600,
        }
        self.settings = DatabaseTableSettings(**values | settings)
        self.source = self.restarted()

    def restarted(self, *, sending_patience_s: float = 0, grace_s: float = 60) -> DbTable:
        self.source = DbTable(
            self.settings,
            self.database,
            self.inventory,
            clock=now,
            rng=random.Random(1),
            sending_patience_s=sending_patience_s,
            grace_s=grace_s,
        )
        return self.source

    async def look(self, seconds: float = 0) -> list[str]:
        return [left.reason for left in await self.source.barrier(now() + timedelta(seconds=seconds))]

    @property
    def keys(self) -> list[str]:
        return sorted(self.inventory.contents())

    def body(self, key: str) -> bytes:
        with self.source.open(key) as body:
            return body.read()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_table_is_published_in_parts_with_its_schema(world: World) -> None:
    assert await world.look() == []
    assert world.keys == ["tables/labels/_schema.json", "tables/labels/part-0.parquet"]
    assert world.body("tables/labels/part-0.parquet")[:4] == b"PAR1"
    assert world.source.health().complete
    assert world.inventory.known_table("labels").rows == 100


@pytest.mark.parametrize("as_csv", [False, True], ids=["parts", "csv"])
async def test_a_database_that_repeats_a_row_all_the_same_ends_nothing(tmp_path: Path, *, as_csv: bool) -> None:
    """P8. A reading checks the order of its keys, so none is to come twice."""
    world = World(tmp_path, as_csv=as_csv)
    await world.look()
    before = world.inventory.contents()
    world.database.rows.append((7, "again.png", "dog"))
    assert ["a row key came twice" in said for said in await world.look()] == [True]
    assert world.inventory.codes() == {"labels": "bad-table"}
    assert world.inventory.contents() == before
    world.database.rows.pop()
    assert await world.look() == []
    assert world.inventory.codes() == {}


async def test_it_is_read_only_when_the_database_may_have_changed(world: World) -> None:
    """P7: a probe that says nothing has changed spares the read; one that cannot tell does not."""
    world.database.token = "t1"
    await world.look()
    await world.look()
    assert world.database.reads == 1
    world.database.token = "t2"
    await world.look()
    assert world.database.reads == 2
    world.database.token = None
    await world.look()
    await world.look()
    assert world.database.reads == 4


async def test_a_row_that_changed_rewrites_the_part_that_holds_it(tmp_path: Path) -> None:
    """P7: and no other one."""
    world = World(tmp_path, rows=100_000)
    await world.look()
    before = world.inventory.contents()
    assert len(before) > 3
    world.database.rows[50_000] = (50_000, "50000.png", "dog")
    await world.look()
    after = world.inventory.contents()
    assert before.keys() == after.keys()
    assert len([key for key in after if after[key] != before[key]]) == 1


async def test_a_database_that_does_not_answer_is_no_empty_table(world: World) -> None:
    """P5: what was published stays, and status says why nothing new comes."""
    await world.look()
    before = world.inventory.contents()
    world.database.error = TableUnavailableError("the database does not answer")
    assert await world.look() == ["the database does not answer"]
    assert world.inventory.contents() == before
    assert world.inventory.codes() == {"labels": "source-unavailable"}
    assert not world.source.health().available
    assert world.source.health().complete
    world.database.error = None
    assert await world.look() == []
    assert world.inventory.codes() == {}


async def test_a_call_waits_for_a_database_that_comes_back(world: World) -> None:
    world.database.error = TableUnavailableError("the database does not answer")
    looking = asyncio.create_task(world.look(seconds=30))
    while not world.inventory.codes():
        await asyncio.sleep(0.01)
    world.database.error = None
    assert await looking == []
    assert world.keys


async def test_what_cannot_be_published_is_named_and_the_last_version_stays(world: World) -> None:
    """P8: the fact, and the next step."""
    await world.look()
    before = world.inventory.contents()
    world.database.error = TableFaultError('the key column "id" holds 7 twice', next_step="make it unique")
    assert await world.look() == ['the key column "id" holds 7 twice']
    assert world.inventory.contents() == before
    assert world.inventory.codes() == {"labels": "bad-table"}
    assert "make it unique" in world.inventory.problems["labels", "labels"].detail


async def test_many_rows_that_are_gone_wait_for_a_person(world: World) -> None:
    """P5: a TRUNCATE is held; an approval takes what was shown, and nothing more that goes later."""
    await world.look()
    before = world.inventory.contents()
    rows = world.database.rows
    world.database.rows = rows[:60]
    assert "40 of 100 rows of labels are gone (40 %)" in (await world.look())[0]
    assert world.inventory.contents() == before
    assert world.inventory.codes() == {"labels": "held"}
    assert "syncd approve" in world.source.health().hold

    world.database.rows = rows[:50]
    assert "40 of 100" in world.source.approve()
    assert "50 of 100 rows" in (await world.look())[0]
    assert world.inventory.contents() == before

    assert "50 of 100" in world.source.approve()
    assert await world.look() == []
    assert world.inventory.known_table("labels").rows == 50
    assert world.source.health().hold == ""
    assert world.source.approve() == ""


async def test_rows_that_come_back_end_the_hold_by_themselves(world: World) -> None:
    await world.look()
    rows, world.database.rows = world.database.rows, []
    assert "100 of 100 rows" in (await world.look())[0]
    world.database.rows = rows
    assert await world.look() == []
    assert world.source.health().hold == ""


async def test_a_held_version_is_not_read_again_while_the_database_is_as_it_was(world: World) -> None:
    world.database.token = 1
    await world.look()
    world.database.rows, world.database.token = [], 2
    await world.look()
    await world.look()
    assert world.database.reads == 2
    world.source.approve()
    assert await world.look() == []


async def test_looks_at_a_held_version_leave_nothing_in_memory(world: World) -> None:
    """Each frame that an error has passed keeps what it had in hand: a whole version of the table."""
    world.database.token = 1
    reader = TableReader(world.settings, world.database, world.inventory, stopped=lambda: False)
    await reader.read(now(), "poll")
    world.database.rows, world.database.token = [], 2
    said, frames = set(), []
    for _ in range(5):
        with pytest.raises(HeldVersionError) as failure:
            await reader.read(now(), "poll")
        said.add(str(failure.value))
        frames.append(len(list(traceback.walk_tb(failure.value.__traceback__))))
    assert len(said) == 1
    assert frames[2:] == frames[1:2] * 3
    assert world.database.reads == 2


async def test_a_column_that_is_new_flows_and_one_that_is_gone_is_held(world: World) -> None:
    await world.look()
    world.database.columns = [*world.database.columns, Column(name="score", kind=Kind.FLOAT, declared="float8")]
    world.database.rows = [(*row, 0.5) for row in world.database.rows]
    assert await world.look() == []

    world.database.columns = [ID, IMAGE, LABEL]
    world.database.rows = [row[:3] for row in world.database.rows]
    assert 'column "score" is gone' in (await world.look())[0]
    assert "score" in world.inventory.known_table("labels").schema
    world.source.approve()
    assert await world.look() == []
    assert "score" not in world.inventory.known_table("labels").schema


async def test_a_body_that_is_lost_is_written_again(world: World) -> None:
    """P4: as after a crash that took the state directory's files with it."""
    await world.look()
    key = "tables/labels/part-0.parquet"
    body = world.body(key)
    for path in (world.settings.spool_dir).iterdir():
        path.unlink()
    world.restarted()
    with pytest.raises(FileNotFoundError):
        world.body(key)
    world.source.recheck(key)
    await world.look()
    assert world.body(key) == body


async def test_a_version_can_be_sent_from_the_moment_it_is_recorded(world: World) -> None:
    """Else the loop, quicker than the thread that read it, would give all of it up for a second."""
    record, sent = world.inventory.record_table, []

    async def record_and_send(version: TableVersion, *, changed_parts: Sequence[str] | None) -> None:
        await record(version, changed_parts=changed_parts)
        sent.extend(await asyncio.to_thread(lambda: [world.body(found.key) for found in version.objects]))

    world.inventory.record_table = record_and_send
    await world.look()
    assert len(sent) == 2
    world.database.rows = world.database.rows[:-1]
    await world.look()
    assert len(sent) == 4


async def test_a_version_is_sent_before_the_next_one_takes_its_place(world: World) -> None:
    """P8: else calls in close order would keep every version from being published."""
    world.restarted(sending_patience_s=60)
    await world.look()
    staged: set[str] = set()
    world.inventory.is_staged = lambda found: found.key in staged
    world.database.rows = world.database.rows[:-1]

    call = asyncio.create_task(world.look(60))
    for key in world.keys:
        await asyncio.sleep(0.2)
        assert world.database.reads == 1
        staged.add(key)
    assert await call == []
    assert world.inventory.known_table("labels").rows == 99


async def test_a_version_that_cannot_be_sent_keeps_no_call_waiting(world: World) -> None:
    world.restarted(sending_patience_s=0.2)
    await world.look()
    world.database.rows = world.database.rows[:-1]
    assert await asyncio.wait_for(world.look(60), 30) == []
    world.restarted(sending_patience_s=60)
    world.database.rows = world.database.rows[:-1]
    assert await asyncio.wait_for(world.look(0.1), 30) == []
    assert world.inventory.known_table("labels").rows == 98


async def test_every_rows_image_is_told_and_told_again_when_it_is_found_in_another_way(world: World) -> None:
    world.database.rows[3] = (3, None, "cat")
    world.database.token = 1
    await world.look()
    assert world.inventory.rows["labels"]["2"].image == "images/2.png"
    assert world.inventory.rows["labels"]["3"].image is None

    world.settings = replace(world.settings, image=ImageColumn(name="image", pattern=r"(\d)\.png"))
    world.restarted()
    await world.look()
    assert world.inventory.rows["labels"]["2"].image == "images/2"


async def test_a_table_is_read_again_for_its_images_although_the_database_is_as_it_was(tmp_path: Path) -> None:
    world = World(tmp_path, excludes=True)
    world.database.token = 1
    await world.look()
    assert {row.shown for row in world.inventory.rows["labels"].values()} == {False}
    await world.inventory.record([present(f"images/{number}.png", b"1") for number in range(99)])
    await world.look()
    assert world.database.reads == 1
    world.source.read_again()
    await world.look()
    assert world.database.reads == 2
    assert [row.row_key for row in world.inventory.rows["labels"].values() if not row.shown] == ["99"]
    await world.look()
    assert world.database.reads == 2


async def test_a_table_can_be_published_as_text(tmp_path: Path) -> None:
    world = World(tmp_path, rows=3, as_csv=True)
    await world.look()
    assert world.keys == ["tables/labels.csv"]
    assert world.body("tables/labels.csv") == b"id,image,label\n0,0.png,cat\n1,1.png,cat\n2,2.png,cat\n"
    await world.look()
    assert world.inventory.recorded == 2
    assert len(world.inventory.history) == 1


async def test_a_look_that_began_before_a_call_does_not_answer_it(world: World) -> None:
    """P1: rows that came while the table was being read are in the next read, and that one is waited for."""
    world.database.held.clear()
    first = asyncio.create_task(world.look())
    await asyncio.to_thread(world.database.reached.wait, 30)
    world.database.rows = [*world.database.rows, (1000, "1000.png", "dog")]
    second, third = (asyncio.create_task(world.look()) for _ in range(2))
    await asyncio.sleep(0)
    world.database.held.set()
    await asyncio.gather(first, second, third)
    assert world.inventory.known_table("labels").rows == 101
    assert world.database.reads == 2  # the third call shares the second's look


async def test_a_source_that_stops_ends_its_read_and_closes_the_database(world: World) -> None:
    running = asyncio.create_task(world.source.run())
    while not world.keys:
        await asyncio.sleep(0.01)
    world.database.held.clear()
    world.database.reached.clear()
    world.source.recheck("tables/labels/part-0.parquet")
    await asyncio.to_thread(world.database.reached.wait, 30)
    running.cancel()
    await asyncio.sleep(0)
    world.database.held.set()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert world.database.closed


async def test_a_call_waits_no_longer_than_it_may_for_a_database_that_is_slow(world: World) -> None:
    """P8: the table is left out, by name; what was read for the call is recorded all the same."""
    world.restarted(grace_s=0)
    world.database.held.clear()
    assert await world.look(0.1) == ["it has not been read in time"]
    assert world.database.reads == 1
    assert await world.look(0.1) == ["it has not been read in time"]  # also where another one's read is in the way
    world.database.held.set()
    while not world.keys:
        await asyncio.sleep(0.01)
    world.restarted(grace_s=60)
    assert await world.look() == []
    assert world.database.reads == 2


async def test_a_call_whose_time_is_up_gets_what_is_at_hand(world: World) -> None:
    """As when it was spent on the version before."""
    assert [one.reason for one in await world.source.barrier(now() - timedelta(seconds=5))] == []
    assert world.inventory.known_table("labels").rows == 100


async def test_a_source_that_stops_waits_for_a_read_that_its_caller_gave_up(world: World) -> None:
    """One call at a time to the database: the close comes after it, whatever was to be read next."""
    world.database.held.clear()
    call = asyncio.create_task(world.look(20))
    await asyncio.to_thread(world.database.reached.wait, 30)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    running = asyncio.create_task(world.source.run())
    while not world.source.health().scanning:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running}, timeout=0.2)
    assert not world.database.closed
    world.database.held.set()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert world.database.closed
    assert world.database.reads == 1


async def test_a_database_that_neither_answers_nor_fails_is_named_until_it_does(tmp_path: Path) -> None:
    """P8: its limit on statements is not kept, as behind a proxy that has lost the connection."""
    world = World(tmp_path, silence_seconds=0.2)
    world.database.held.clear()
    running = asyncio.create_task(world.source.run())
    while not world.inventory.problems:
        await asyncio.sleep(0.01)
    health = world.source.health()
    assert world.inventory.codes() == {"labels": "source-unavailable"}
    assert "next: " in world.inventory.problems["labels", "labels"].detail
    assert (health.available, health.reason) == (False, "the database has not answered for more than 0.2 s")
    assert world.database.reads == 1
    world.database.held.set()
    while world.inventory.problems:
        await asyncio.sleep(0.01)
    assert (world.source.health().available, world.source.health().reason) == (True, "")
    assert world.keys
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_a_database_may_be_silent_for_as_long_as_it_may_work_on_a_statement(tmp_path: Path) -> None:
    told = {"name": "labels", "key": "id"}
    tables = [
        told | {"url": "sqlite:////no/such.db", "table": "t", "statement_timeout_seconds": 7},
        told | {"name": "boxes", "csv": tmp_path / "boxes.csv", "format": "parquet"},
    ]
    settings = Settings(source={"root": tmp_path / "images"}, tables=tables)
    made = [make_table(settings, table, MemoryInventory(), now, tmp_path) for table in settings.tables]
    assert [source._settings.silence_seconds for source in made] == [67, None]


async def test_a_read_that_hangs_is_named_though_its_caller_has_given_up(tmp_path: Path) -> None:
    world = World(tmp_path, silence_seconds=0.2)
    running = asyncio.create_task(world.source.run())
    while not world.keys:
        await asyncio.sleep(0.01)
    world.database.held.clear()
    call = asyncio.create_task(world.look(60))
    while world.database.reads < 2:
        await asyncio.sleep(0.01)
    call.cancel()
    while not world.inventory.problems:
        await asyncio.sleep(0.01)
    assert not world.source.health().available
    world.database.held.set()
    while world.inventory.problems:
        await asyncio.sleep(0.01)
    assert world.source.health().available
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_long_read_that_goes_on_is_not_named(tmp_path: Path) -> None:
    """The limit is for each batch, of which there may be many."""
    world = World(tmp_path, rows=3_000, silence_seconds=2)
    at_batch, named = world.database.at_batch, []

    def slowly() -> None:
        threading.Event().wait(0.1)
        named.extend(world.inventory.problems)
        at_batch()

    world.database.at_batch = slowly
    running = asyncio.create_task(world.source.run())
    while not world.keys:
        await asyncio.sleep(0.01)
    assert named == []
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_call_waits_for_a_source_that_is_paused(world: World) -> None:
    """P1: as after a full disk, when it runs again some seconds later. Nothing is left out that can still be read."""
    running = asyncio.create_task(world.source.run())
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    calling = asyncio.create_task(world.source.barrier(now() + timedelta(seconds=20)))
    while world.database.reads < 2 and not calling.done():
        await asyncio.sleep(0.01)
    assert not calling.done(), "it was told that the table is left out"
    running = asyncio.create_task(world.source.run())
    assert await calling == []
    assert world.inventory.known_table("labels").rows == 100
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_notification_makes_it_looked_at_before_the_next_poll(tmp_path: Path) -> None:
    world = World(tmp_path)
    told: list[Any] = []
    stopped = threading.Event()

    def listen(on_hint):
        told.append(on_hint)
        return stopped.set

    world.source = DbTable(
        world.settings, world.database, world.inventory, clock=now, rng=random.Random(1), listen=listen
    )
    running = asyncio.create_task(world.source.run())
    while not world.keys:
        await asyncio.sleep(0.01)
    world.database.rows = world.database.rows[:-1]
    await asyncio.to_thread(told[0])
    while world.inventory.known_table("labels").rows != 99:
        await asyncio.sleep(0.01)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert stopped.is_set()


@pytest.mark.parametrize(
    ("before", "after", "limits", "held"),
    [
        (0, 0, {}, False),
        (100, 100, {}, False),
        (100, 75, {}, False),
        (100, 74, {}, True),
        (19, 1, {}, False),
        (19, 0, {}, True),
        (100, 0, {"max_delete_percent": 100.0}, True),
        (1000, 989, {"max_delete_count": 10}, True),
        (1000, 990, {"max_delete_count": 10}, False),
        (10, 200, {}, False),
    ],
)
def test_how_many_rows_may_go(before, after, limits, held):
    assert bool(why_held("labels", before, after, DeletionLimits(**limits))) is held


def test_a_database_is_left_alone_longer_the_longer_it_fails_or_a_read_takes():
    pace = Pace(10, random.Random(1))
    assert pace.pause_s() == 10
    pace.worked(5)
    assert pace.pause_s() == 20
    pauses = []
    for _ in range(12):
        pace.failed()
        pauses.append(pace.pause_s())
    assert 0.25 <= pauses[0] <= 0.5
    assert 30 <= pauses[-1] <= 60
