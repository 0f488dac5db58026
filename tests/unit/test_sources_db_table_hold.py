"""A database table that lost more than may go unasked, at once or little by little, is held until a person agrees."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.model import DeletionLimits
from syncd.sources.base import Rereadable
from syncd.sources.db_table import DbTable
from syncd.sources.tables.base import Row
from syncd.sources.tables.guard import Amounts, RecentLosses, why_held, why_unnamed, why_unpaired
from syncd.sources.tables.second_look import wake_once_it_fits
from tests.support.observing import START, absent, present
from tests.unit.test_sources_db_table import World

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Dataset(World):
    """A hundred rows, each with its image, at a time of its own."""

    def __init__(self, tmp_path: Path, rows: int = 100, **settings: Any) -> None:
        self.moment = START
        super().__init__(tmp_path, rows, **settings)

    def restarted(self, **_: Any) -> DbTable:
        self.source = DbTable(
            self.settings,
            self.database,
            self.inventory,
            clock=lambda: self.moment,
            rng=random.Random(1),
            sending_patience_s=0,
        )
        return self.source

    async def look(self, seconds: float = 0) -> list[str]:
        return [left.reason for left in await self.source.barrier(self.moment + timedelta(seconds=seconds))]

    async def images(self, *names: str) -> None:
        await self.inventory.record([present(f"images/{name}", b"1") for name in names])

    async def images_go(self, *names: str) -> None:
        """And the staging branch is without them, too; no snapshot was made of that yet."""
        self.inventory.going |= {f"images/{name}" for name in names}
        await self.inventory.record([absent(f"images/{name}") for name in names])

    @property
    def shown(self) -> int:
        known = self.inventory.known_table("labels")
        return known.rows - sum(one.object.hidden for one in known.objects)

    def update(self, prefix: str, begin: int = 0, end: int = 1000) -> None:
        """Set image = prefix || image."""
        rows = self.database.rows
        self.database.rows = [
            (key, prefix + image, label) if begin <= key < end else (key, image, label) for key, image, label in rows
        ]


@pytest.fixture(params=[False, True], ids=["parts", "csv"])
async def paired(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    """Of which only what fits together is published: all of it, as yet."""
    world = Dataset(tmp_path, excludes=True, as_csv=request.param)
    await world.images(*(image for _, image, _ in world.database.rows))
    assert await world.look() == []
    assert world.shown == 100
    return world


async def test_an_update_that_leaves_no_row_its_image_waits_for_a_person(paired: Dataset) -> None:
    """P5: as many rows as before, and the published dataset would be empty."""
    before = paired.inventory.contents()
    paired.update("new/")
    (why,) = await paired.look()
    assert "100 of 100 rows of labels would be left out (100 %), since they are gone or name no image" in why
    assert "syncd approve" in why
    assert paired.source.health().hold == why
    assert paired.inventory.contents() == before
    assert paired.inventory.codes() == {"labels": "held"}

    assert paired.source.approve() == why
    assert await paired.look() == []
    assert (paired.shown, paired.inventory.known_table("labels").rows) == (0, 100)
    assert paired.source.health().hold == ""
    assert await paired.look() == []


async def test_an_update_of_a_few_rows_goes_by_itself(paired: Dataset) -> None:
    paired.update("new/", 0, 25)
    assert await paired.look() == []
    assert paired.shown == 75


async def test_an_approval_is_for_the_rows_that_were_shown(paired: Dataset) -> None:
    paired.update("new/", 0, 40)
    assert "40 of 100 rows" in (await paired.look())[0]
    paired.update("new/", 40, 41)
    assert "40 of 100 rows" in paired.source.approve()
    assert "41 of 100 rows" in (await paired.look())[0]
    assert "41 of 100 rows" in paired.source.approve()
    assert await paired.look() == []


async def test_an_update_of_all_rows_to_one_image_waits_for_a_person(paired: Dataset) -> None:
    """Each row has its image, and all other images would be withheld."""
    paired.database.rows = [(key, "0.png", label) for key, _, label in paired.database.rows]
    (why,) = await paired.look()
    assert "99 of 100 images would be left out (99 %), since no row of labels names them any more" in why
    paired.source.approve()
    assert await paired.look() == []


async def test_rows_that_are_gone_with_their_images_are_one_question(paired: Dataset) -> None:
    paired.database.rows = paired.database.rows[:60]
    (why,) = await paired.look()
    assert why.startswith("40 of 100 rows of labels are gone (40 %)")
    assert why.count("syncd approve") == 1
    paired.source.approve()
    assert await paired.look() == []
    assert paired.shown == 60


async def test_two_losses_at_once_are_both_told(paired: Dataset) -> None:
    paired.database.rows = paired.database.rows[:70]
    paired.update("new/", 0, 35)
    (why,) = await paired.look()
    assert "30 of 100 rows of labels are gone" in why
    assert "65 of 100 rows of labels would be left out" in why


async def test_rows_whose_images_went_are_not_asked_about(paired: Dataset) -> None:
    """The person was asked about the images, or is being asked: not again about what follows from it."""
    await paired.images_go(*(f"{number}.png" for number in range(90)))
    assert await paired.look() == []
    assert paired.shown == 10
    await paired.images(*(f"{number}.png" for number in range(90)))
    assert await paired.look() == []
    assert paired.shown == 100


async def test_rows_that_come_before_their_images_are_no_loss(tmp_path: Path) -> None:
    world = Dataset(tmp_path, excludes=True)
    for count in (0, 10, 100):
        await world.images(*(f"{number}.png" for number in range(count)))
        assert await world.look() == []
        assert world.shown == count
    world.database.rows += [(number, f"{number}.png", "dog") for number in range(100, 1000)]
    assert await world.look() == []
    assert world.shown == 100


async def test_a_few_rows_that_lose_their_images_while_all_others_are_on_their_way_are_few(tmp_path: Path) -> None:
    """Nothing is shown as yet, of which the few would be more than all."""
    world = Dataset(tmp_path, excludes=True)
    world.inventory.staged_images = lambda _: set()
    assert await world.look() == []
    await world.images(*(image for _, image, _ in world.database.rows))
    world.update("new/", 0, 25)
    assert await world.look() == []
    assert world.shown == 0
    world.update("new/", 25, 45)
    assert "45 of 100 rows" in (await world.look())[0]


async def test_a_table_that_is_renamed_before_its_folder_goes_on_once_that_is_too(paired: Dataset) -> None:
    """The database is as it was: only the images that its rows name have come."""
    paired.database.token = 1
    assert await paired.look() == []
    names = [image for _, image, _ in paired.database.rows]
    paired.update("new/")
    paired.database.token = 2
    assert isinstance(paired.source, Rereadable)
    assert not await paired.source.fits_otherwise()
    for _ in range(2):
        assert "100 of 100 rows" in (await paired.look())[0]
        assert not await paired.source.fits_otherwise()
    reads = paired.database.reads
    await paired.images_go(*names)
    await paired.images(*(f"new/{name}" for name in names))
    assert await paired.source.fits_otherwise()
    assert await paired.look() == []
    assert paired.database.reads == reads + 1
    assert paired.shown == 100
    assert not await paired.source.fits_otherwise()


async def test_a_look_is_due_whenever_what_is_held_fits_otherwise() -> None:
    wake, answers = asyncio.Event(), iter([False, False, True])

    async def fits_otherwise() -> bool:
        return next(answers)

    task = asyncio.create_task(wake_once_it_fits(fits_otherwise, wake, every_s=0.001))
    async with asyncio.timeout(30):
        await wake.wait()
    task.cancel()
    assert list(answers) == []


async def test_pairs_alone_of_a_table_that_was_published_whole_are_asked_about(tmp_path: Path) -> None:
    """As when ``closure`` becomes "exclude" with an ``image_prefix`` that fits no image."""
    for keeps_rows in (True, False):
        directory = tmp_path / f"{keeps_rows}"
        world = Dataset(directory, keeps_rows=keeps_rows)
        await world.images(*(f"{number}.png" for number in range(60)))
        assert await world.look() == []
        other = Dataset(directory, excludes=True)
        other.inventory = world.inventory
        other.restarted()
        assert "40 of 100 rows of labels would be left out" in (await other.look())[0]
        other.source.approve()
        assert await other.look() == []
        assert other.shown == 60
        assert await other.look() == []


async def shrink(world: Dataset, *counts: int, rows: list[Row]) -> list[bool]:
    """Return of each count, one minute after the other, whether it was held."""
    held = []
    for count in counts:
        world.moment += MINUTE
        world.database.rows = rows[:count]
        held.append(bool(await world.look()))
    return held


async def test_a_delete_in_small_pieces_waits_for_a_person(tmp_path: Path) -> None:
    """P5: no poll sees a quarter of the rows go, and within the hour all of them would be gone."""
    world = Dataset(tmp_path, rows=1000)
    rows = world.database.rows
    assert await world.look() == []
    assert await shrink(world, 760, 750, 749, 1000, 751, 749, rows=rows) == [False, False, True, False, False, True]
    (why,) = await world.look()
    assert "251 of 1,000 rows of labels are gone (25 %, within an hour)" in why
    assert world.inventory.known_table("labels").rows == 751

    world.source.approve()
    assert await world.look() == []
    assert await shrink(world, 600, 562, 561, rows=rows) == [False, False, True]  # from the 749 on


async def test_an_update_in_small_pieces_waits_for_a_person(paired: Dataset) -> None:
    for begin, end in ((0, 20), (20, 25)):
        paired.update("new/", begin, end)
        paired.moment += MINUTE
        assert await paired.look() == []
    paired.update("new/", 25, 26)
    assert "26 of 100 rows of labels would be left out (26 %, within an hour)" in (await paired.look())[0]


async def test_what_went_more_than_an_hour_ago_does_not_count(tmp_path: Path) -> None:
    world = Dataset(tmp_path)
    rows = world.database.rows
    assert await world.look() == []
    world.moment += 48 * HOUR  # as many rows as ever, up to now
    assert await shrink(world, 80, rows=rows) == [False]
    world.moment += HOUR - 2 * MINUTE
    assert await shrink(world, 70, rows=rows) == [True]
    world.moment += 2 * MINUTE
    assert await world.look() == []


async def test_a_restart_in_between_does_not_make_it_smaller(tmp_path: Path) -> None:
    """The journal's snapshots say how many rows there were."""
    world = Dataset(tmp_path)
    rows = world.database.rows
    assert await world.look() == []
    assert await shrink(world, 80, rows=rows) == [False]
    world.inventory.published["labels"] = [(START - 3 * HOUR, 100), (world.moment, 80)]
    world.restarted()
    assert await shrink(world, 74, rows=rows) == [True]
    world.source.approve()
    assert await world.look() == []
    world.inventory.published["labels"] += [(world.moment, 74)]
    world.restarted()
    assert await shrink(world, 70, rows=rows) == [False]  # what goes beyond the limits was agreed to


def test_recent_losses_are_few_facts_however_many_versions_there_are() -> None:
    recent = RecentLosses()
    for number in range(10_000):
        recent.add(START + timedelta(seconds=number), Amounts(rows=1, images=-1))
    end = START + timedelta(seconds=9_999)
    assert 3_600 <= recent.until(end).rows <= 3_660
    assert recent.until(end).images == 0
    assert len(recent._most) <= 61
    assert recent.until(end + HOUR + MINUTE) == Amounts()


def test_a_clock_that_was_set_back_makes_no_loss_last_longer() -> None:
    recent = RecentLosses()
    recent.add(START + 1000 * HOUR, Amounts(rows=5))
    assert recent.until(START).rows == 5
    assert recent.until(START + HOUR + MINUTE) == Amounts()


@pytest.mark.parametrize("why", [why_held, why_unpaired, why_unnamed])
def test_nothing_is_held_for_what_was_lost_before_alone(why: Any) -> None:
    """As when the limit was lowered since."""

    def said(lost: int, recent: int) -> str:
        return why("labels", 100, 100 - lost if why is why_held else lost, DeletionLimits(), recent=recent)

    assert said(0, 90) == said(-5, 90) == said(25, 0) == said(1, 0) == ""
    assert "91 of 190" in said(1, 90)
    assert "26 of 100" in said(26, 0)
    assert "within" not in said(26, 0)
