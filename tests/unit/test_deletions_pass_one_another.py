"""A batch looks at so many deletions: those that wait for a person or for a table stand in nobody's way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from syncd.journal import absence
from syncd.model import DeletionLimits
from tests.support.world import Row, World

LIMITS = DeletionLimits(max_delete_count=1)


async def held(world: World, count: int) -> None:
    """Publish some images, then lose more of them than may go unasked."""
    world.files |= {f"images/{number}.png": b"%d" % number for number in range(count)}
    await world.settle()
    for number in range(count - 1):
        del world.files[f"images/{number}.png"]
        await world.look()  # in this order
    await world.settle()
    assert world.tree("main").keys() >= {f"images/{number}.png" for number in range(count)}


async def test_what_was_agreed_on_goes_though_more_was_gone_before_it(tmp_path: Path) -> None:
    async with World(tmp_path, batch_objects=1, limits=LIMITS) as world:
        await held(world, 5)
        shown = await world.journal.read(absence.gone, 100)
        await world.journal.write(absence.answer, shown.revision, lambda path: path == "3.png", keep=False)
        await world.settle()
        assert world.tree("main").keys() == {f"images/{number}.png" for number in (0, 1, 2, 4)}


async def test_a_table_is_published_though_deletions_of_images_wait_for_a_person(tmp_path: Path) -> None:
    """Additions flow: else half a table would keep everything from being published."""
    async with World(tmp_path, batch_objects=1, limits=LIMITS, tables={"labels": "off"}) as world:
        world.tables["labels"].rows |= {"1": Row("images/0.png"), "2": Row("images/1.png", part=1)}
        await held(world, 5)
        del world.tables["labels"].rows["2"]
        world.files["images/new.png"] = b"new"
        await world.settle()
        assert "images/new.png" in world.tree("main")
        assert world.tree("main").items() >= world.tables["labels"].bodies().items()


async def test_what_no_row_names_goes_though_deletions_wait_for_a_person(tmp_path: Path) -> None:
    async with World(tmp_path, batch_objects=1, limits=LIMITS, tables={"labels": "exclude"}) as world:
        rows = {str(number): Row(f"images/{number}.png") for number in range(6)}
        world.tables["labels"].rows |= rows
        await held(world, 5)
        world.files["images/5.png"] = b"5"
        await world.settle()
        assert "images/5.png" in world.tree("main")
        del world.tables["labels"].rows["5"]
        await world.settle()
        assert "images/5.png" not in world.tree("staging")


async def test_a_list_goes_though_images_stay_for_a_table(tmp_path: Path) -> None:
    """P8: an image that is gone waits while a table is read again; the deletions of tables do not wait for it."""
    tables = {"labels": "exclude", "boxes": "warn"}
    async with World(tmp_path, batch_objects=1, max_changes=1, max_wait=None, tables=tables) as world:
        labels, boxes = (world.tables[name].rows for name in ("labels", "boxes"))
        for image in ("images/a.png", "images/b.png", "images/c.png"):
            world.files[image] = image.encode()
            labels[image] = boxes[image] = Row(image)
        boxes["later"] = labels["later"] = Row("images/later.png")
        await world.settle()
        assert "tables/boxes/_closure.json" in world.tree("main")
        began = world.now
        del world.files["images/c.png"]
        world.files["images/later.png"] = b"later"
        await world.see_all()
        del boxes["images/c.png"]
        await world.read("boxes")
        await world.rest()
        bodies = world.tables["labels"].bodies(world.files) | world.tables["boxes"].bodies()
        published = world.tree("main")
        del published["tables/labels/_closure.json"]
        assert published == world.files | bodies
        assert world.now - began < timedelta(seconds=5)
