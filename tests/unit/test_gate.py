"""The gate alone, over a real journal: what it says of rows and images that do not fit, since when, in which list."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from syncd.gate import ClosedTable, Gate
from syncd.journal import Journal
from syncd.journal.staging import Staged
from syncd.model import RowImage
from syncd.sources.tables.spool import Spool
from tests.support.observing import START, absent, present
from tests.support.table_versions import csv_version

WAIT = timedelta(seconds=600)
LIST = "tables/labels/_closure.json"
MINUTE = timedelta(minutes=1)


def table(name: str = "labels", *, holds: bool = False, wait: timedelta = WAIT) -> ClosedTable:
    return ClosedTable(name=name, holds=holds, wait=wait)


class Place:
    """A journal, what is staged by its word, and a gate."""

    def __init__(self, journal: Journal, spool_dir: Path) -> None:
        self.journal, self.spool_dir, self.now = journal, spool_dir, START
        self.gate = self.gate_over(table())

    def gate_over(self, *tables: ClosedTable) -> Gate:
        self.gate = Gate(journal=self.journal, tables=tables, spool=Spool(self.spool_dir), clock=lambda: self.now)
        return self.gate

    async def images(self, *names: str) -> None:
        """The folder holds just these."""
        held = {"images/" + name for name in names}
        gone = [absent(key) for key in self.journal.known_below("images/") if key not in held]
        await self.journal.record([present(key, b"1") for key in sorted(held)] + gone)

    async def rows(self, name: str = "labels", *, content: bytes = b"", **images: str | None) -> None:
        """A table is read: which image each row names."""
        await self.journal.begin_rows(name)
        laid_by = [RowImage(key, "p", image and "images/" + image) for key, image in images.items()]
        await self.journal.add_rows(name, laid_by)
        version = csv_version(name, content or repr(images).encode(), rows=len(images))
        await self.journal.record_table(version, changed_parts=["p"])

    async def stage(self) -> None:
        puts, deletes = await self.journal.due(self.now, 1000)
        if not puts and not deletes:
            return
        batch = (await self.journal.begin_batch((*puts, *deletes), self.now)).number
        sent = [(put.key, put.fingerprint.sha256, put.fingerprint.size_bytes) for put in puts]
        sent += [(delete.key, None, None) for delete in deletes]
        outcomes = [Staged(key=key, sha256=sha256, size_bytes=size, sent=True) for key, sha256, size in sent]
        await self.journal.finish_in_batch(outcomes, self.now)
        await self.journal.end_batch(batch, self.now)

    async def staged_at(self) -> int:
        return (await self.journal.standing(count_up_to=1)).staged_at

    async def believed(self) -> bool:
        """Whether the last comparison still holds, by the planner's rule."""
        return self.gate.facts is not None and self.gate.facts.staged_at == await self.staged_at()

    async def compare(self, *, after: timedelta = timedelta(0)) -> str:
        """Stage all there is and compare, after some time; return what is held."""
        self.now += after
        await self.stage()
        await self.gate.check(await self.staged_at())
        return self.gate.facts.held

    def told(self, name: str = "labels") -> dict:
        """What the list says that waits to be sent."""
        with self.gate.open(f"tables/{name}/_closure.json") as file:
            return json.load(file)

    @property
    def lists(self) -> set[str]:
        return {key for key in self.journal.known_below("tables/") if key.endswith("_closure.json")}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with Journal(tmp_path) as journal:
        yield Place(journal, tmp_path / "spool")


# Since when, and when a person is told.


async def test_what_fits_is_not_held(place):
    place.gate_over(table(holds=True))
    await place.images("a.png")
    await place.rows(one="a.png")
    assert await place.compare() == ""
    assert place.gate.facts.staged_at == await place.staged_at()


async def test_the_wait_counts_from_the_first_comparison_that_did_not_fit(place):
    """And goes on although what does not fit is something else by now."""
    place.gate_over(table(holds=True))
    await place.images("a.png")
    await place.rows(one="a.png", two="b.png")
    assert "1 row names an image that is not there" in await place.compare()
    assert place.gate.facts.alert_at == START + WAIT
    await place.rows(one="a.png", two="b.png", three="c.png")
    assert "2 rows name images that are not there" in await place.compare(after=MINUTE)
    assert place.gate.facts.alert_at == START + WAIT


async def test_the_wait_begins_anew_once_they_fitted(place):
    place.gate_over(table(holds=True))
    await place.images("a.png")
    await place.rows()
    assert await place.compare()
    await place.images()
    assert await place.compare(after=MINUTE) == ""
    await place.images("b.png")
    assert await place.compare(after=MINUTE)
    assert place.gate.facts.alert_at == START + 2 * MINUTE + WAIT


async def test_the_table_that_has_waited_longest_decides_when_a_person_is_told(place):
    place.gate_over(table("boxes", holds=True, wait=MINUTE), table(holds=True), table("others", holds=False))
    await place.images("a.png")
    for name in ("boxes", "labels", "others"):
        await place.rows(name)
    held = await place.compare()
    assert held == (
        "boxes: 1 image has no row; syncd status --closure lists them;"
        " labels: 1 image has no row; syncd status --closure lists them"
    )
    assert place.gate.facts.alert_at == START + MINUTE
    await place.rows("boxes", one="a.png")
    assert "boxes" not in await place.compare(after=MINUTE)
    assert place.gate.facts.alert_at == START + WAIT


@pytest.mark.parametrize(
    ("rows", "images", "said"),
    [
        ({"1": "x", "2": None}, [], "2 rows name images that are not there"),
        ({}, ["a", "b"], "2 images have no row"),
        ({"1": "x"}, ["a"], "1 row names an image that is not there and 1 image has no row"),
        ({str(number): None for number in range(1234)}, [], "1,234 rows name images that are not there"),
    ],
)
async def test_it_is_said_in_words_and_with_the_next_step(place, rows, images, said):
    """P8."""
    place.gate_over(table(holds=True))
    await place.images(*images)
    await place.rows(**rows)
    assert await place.compare() == f"labels: {said}; syncd status --closure lists them"


async def test_it_is_logged_when_it_begins_and_not_with_every_comparison(place):
    place.gate_over(table(holds=True))
    with capture_logs() as logs:
        await place.rows(one="a.png")
        await place.compare()
        await place.compare()
        await place.images("a.png")
        await place.compare()
        await place.images()
        await place.compare()
    assert [log["event"] for log in logs] == ["rows_and_images_do_not_fit"] * 2


async def test_the_next_comparison_during_a_backlog_is_some_seconds_away(place):
    """P7."""
    await place.compare()
    assert place.gate.facts.recheck_at >= START + timedelta(seconds=5)


async def test_a_table_that_was_never_read_is_waited_for_where_it_holds(place):
    """P3: no image is published whose row nobody has looked for; it goes on once the table is read."""
    place.gate_over(table(holds=True))
    await place.images("a.png")
    assert "labels has not been read yet" in await place.compare()
    assert place.gate.facts.alert_at == START + WAIT
    await place.rows(one="a.png")
    assert await place.compare() == ""


async def test_a_table_that_was_never_read_holds_nothing_up_otherwise(place):
    await place.images("a.png")
    assert await place.compare() == ""
    assert place.gate.pairings == {}
    assert place.lists == set()


# What makes a comparison out of date.


async def test_a_comparison_holds_no_more_once_rows_name_other_images_though_no_object_changed(place):
    """As when image_prefix is set right: there is nothing to send, and it must not stay held for ever."""
    place.gate_over(table(holds=True))
    await place.images("a.png")
    await place.rows(one="/srv/a.png", content=b"the same")
    assert await place.compare()
    await place.rows(one="a.png", content=b"the same")
    assert (await place.journal.due(place.now, 10)) == ((), ())
    assert not await place.believed()
    assert await place.compare() == ""


async def test_a_comparison_holds_no_more_once_rows_are_kept_though_no_object_changed(place):
    """As when closure was off until now."""
    place.gate_over(table(holds=True))
    await place.images("a.png")
    await place.journal.record_table(csv_version("labels", b"id\n", rows=0), changed_parts=None)
    assert "has not been read yet" in await place.compare()
    await place.rows(content=b"id\n")
    assert not await place.believed()
    assert "1 image has no row" in await place.compare()


async def test_a_version_that_came_and_went_while_it_was_compared_is_not_taken_for_what_is_staged(place):
    """P3: what is staged does not fit, and what was compared did."""
    place.gate_over(table(holds=True))
    await place.images("a.png")
    await place.rows(one="b.png")
    await place.stage()
    planned_at = await place.staged_at()
    await place.rows(one="a.png")
    await place.gate.check(planned_at)
    await place.rows(one="b.png")
    assert not await place.believed()
    assert await place.compare()


async def test_a_table_read_again_as_it_was_leaves_a_comparison_as_it_is(place):
    """P7."""
    await place.images("a.png")
    await place.rows(one="a.png")
    await place.compare()
    await place.rows(one="a.png")
    assert await place.believed()


async def test_nothing_is_believed_of_a_branch_that_may_be_another(place):
    await place.compare()
    assert await place.believed()
    await place.gate.begin()
    assert not await place.believed()


# The list.


async def test_what_does_not_fit_is_recorded_as_an_object_of_the_table(place):
    await place.images("b.png", "a.png", "c.png")
    await place.rows(one="c.png", two="x.png", three=None)
    assert await place.compare() == ""
    assert place.told() == {
        "table": "labels",
        "missing": {
            "count": 2,
            "rows": [{"key": "three", "image": None}, {"key": "two", "image": "images/x.png"}],
            "more": False,
        },
        "orphaned": {"count": 2, "images": ["images/a.png", "images/b.png"], "more": False},
    }
    assert (place.gate.pairings["labels"].missing, place.gate.pairings["labels"].orphaned) == (2, 2)


async def test_a_list_that_says_the_same_is_not_sent_again(place):
    """P7."""
    await place.images("a.png")
    await place.rows()
    await place.compare()
    await place.stage()
    await place.compare(after=MINUTE)
    assert await place.journal.due(place.now, 10) == ((), ())


async def test_a_list_is_withdrawn_once_rows_and_images_fit(place):
    await place.images("a.png")
    await place.rows()
    await place.compare()
    await place.stage()
    assert place.lists == {LIST}
    await place.rows(one="a.png")
    await place.compare()
    assert place.lists == set()
    _, deletes = await place.journal.due(place.now, 10)
    assert [change.key for change in deletes] == [LIST]


async def test_a_table_that_holds_has_no_list_and_gives_up_the_one_it_had(place):
    """Its policy was another one when the daemon was last started."""
    await place.images("a.png")
    await place.rows()
    await place.compare()
    assert place.lists == {LIST}
    place.gate_over(table(holds=True))
    assert await place.compare()
    assert place.lists == set()


async def test_each_table_has_its_own_list(place):
    place.gate_over(table(), table("boxes"), table("fitting"))
    await place.images("a.png")
    await place.rows(one="a.png", two="b.png")
    await place.rows("boxes")
    await place.rows("fitting", one="a.png")
    await place.compare()
    assert place.lists == {LIST, "tables/boxes/_closure.json"}
    assert place.told()["missing"]["count"] == 1
    assert place.told("boxes")["orphaned"]["count"] == 1


# Its body.


async def test_a_list_there_is_not_cannot_be_opened(place):
    with pytest.raises(FileNotFoundError):
        place.gate.open(LIST)


async def test_a_lost_body_is_made_anew(place):
    """The state directory was restored without it, say: the next comparison makes it, with no human."""
    await place.images("a.png")
    await place.rows()
    await place.compare()
    for file in place.spool_dir.iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError):
        place.gate.open(LIST)
    place.gate.recheck(LIST)
    await place.gate.mend()
    assert place.gate.facts is None  # so that it is compared again
    assert place.lists == set()
    await place.compare()
    assert place.told()["orphaned"]["count"] == 1


async def test_without_a_loss_there_is_nothing_to_mend(place):
    await place.images("a.png")
    await place.rows()
    await place.compare()
    facts = place.gate.facts
    await place.gate.mend()
    assert place.gate.facts is facts
    assert place.lists == {LIST}


async def test_bodies_that_are_not_needed_any_more_are_swept_away(place):
    """Those of lists that say something else by now, and what a crash left behind."""
    await place.images("a.png")
    await place.rows()
    await place.compare()
    (first,) = place.spool_dir.iterdir()
    (place.spool_dir / "new-half-written").write_bytes(b"{")
    await place.images("a.png", "b.png")
    await place.compare()
    (second,) = place.spool_dir.iterdir()
    assert second.name != first.name
    await place.rows(one="a.png", two="b.png")
    await place.compare()
    assert list(place.spool_dir.iterdir()) == []
