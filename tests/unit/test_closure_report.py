"""Why a row's image is not there: one reason for each row, and it is the one a person can act on (P8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.config import Settings, load
from syncd.errors import JournalError, SourceUnavailableError
from syncd.journal import Journal, closure
from syncd.journal.staging import Staged
from syncd.model import RowImage
from syncd.service.closure_report import NO_IMAGE, NOT_THERE, NOT_YET, closure_report
from tests.support.observing import START, absent, present
from tests.support.table_versions import csv_version

ALL = 1000


class Place:
    """A folder, its configuration, and a journal that a daemon has written to."""

    def __init__(self, directory: Path, journal: Journal) -> None:
        self._directory, self.journal = directory, journal
        self.root = directory / "images"
        self.root.mkdir()

    def settings(self, *tables: str, source: str = "") -> Settings:
        """Some tables compare rows and images: NAME, or NAME=POLICY."""
        lines = ["[source]", 'root = "images"', source, "[service]", 'state_dir = "state"']
        for table in tables:
            name, _, closure = table.partition("=")
            lines += ["[[tables]]", f'name = "{name}"', f'csv = "{name}.csv"', 'key = "id"', 'image_column = "image"']
            lines += [f'closure = "{closure or "warn"}"']
        path = self._directory / "syncd.toml"
        path.write_text("\n".join(lines))
        return load(path, environ={"HOME": str(self._directory)}, cwd=self._directory).settings

    async def images(self, *paths: str, staged: bool = True) -> None:
        await self.journal.record([present("images/" + path, b"1") for path in paths])
        if staged:
            await self.stage()

    async def stage(self) -> None:
        puts, deletes = await self.journal.due(START, ALL)
        await self.journal.begin_batch((*puts, *deletes), START)
        outcomes = [Staged(key=put.key, sha256=put.fingerprint.sha256, size_bytes=1, sent=True) for put in puts]
        outcomes += [Staged(key=delete.key, sha256=None, size_bytes=None, sent=True) for delete in deletes]
        await self.journal.finish_in_batch(outcomes, START)

    async def rows(self, images: dict[str, str | None], name: str = "labels") -> None:
        await self.journal.begin_rows(name)
        laid_by = [RowImage(key, "p", None if image is None else "images/" + image) for key, image in images.items()]
        await self.journal.add_rows(name, laid_by)
        version = csv_version(name, repr(images).encode(), rows=len(images))
        await self.journal.record_table(version, changed_parts=["p"])

    async def reason(self, image: str | None, **source: Any) -> str:
        """Return what is said of the one row there is."""
        await self.rows({"1": image})
        (table,) = closure_report(self.settings("labels", **source), limit=ALL)
        (row,) = table["rows"]
        assert (row["key"], row["image"]) == ("1", image)
        return str(row["reason"])


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    (tmp_path / "state").mkdir()
    async with Journal(tmp_path / "state") as journal:
        yield Place(tmp_path, journal)


# The reasons.


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (None, NO_IMAGE),
        ("gone.png", NOT_THERE),
        ("/srv/a.png", "it is an absolute path; set image_prefix to what comes before the path below source.root"),
        ("../a.png", "it leads out of source.root"),
        ("a/../../b.png", "it leads out of source.root"),
        ("https://cdn/a.png", "it is a URL; set image_prefix or image_pattern to find the path in it"),
        ("a\\b.png", "it is written with backslashes; syncd's paths have /"),
        ("notes.txt", "it is left out: not included by source.include"),
        ("a.png.part", "it is left out: not included by source.include"),
        (".git/a.png", "it is left out: built-in: "),
    ],
)
async def test_each_reason(place, image, reason):
    said = await place.reason(image)
    assert said.startswith(reason) if reason.endswith(": ") else said == reason


async def test_an_excluded_image_is_named_with_the_pattern(place):
    said = await place.reason("drafts/a.png", source='exclude = ["*.bmp", "drafts/"]')
    assert said == 'it is left out: exclude pattern "drafts/"'


async def test_an_ignored_image_is_named_with_the_line(place):
    (place.root / ".syncdignore").write_text("# not these\nold/\n")
    assert await place.reason("old/a.png") == 'it is left out: .syncdignore line 2: "old/"'


async def test_an_image_that_differs_in_case_is_named(place):
    await place.images("sub/Cat.PNG")
    said = await place.reason("sub/cat.png")
    assert said == f"{NOT_THERE}, but sub/Cat.PNG: upper and lower case are told apart"


async def test_an_image_of_the_same_name_in_another_folder_is_no_other_spelling(place):
    await place.images("other/cat.png", "sub/cats.png")
    assert await place.reason("sub/cat.png") == NOT_THERE


async def test_an_image_that_is_seen_and_not_staged_is_on_its_way(place):
    await place.images("a.png", staged=False)
    assert await place.reason("a.png") == NOT_YET


async def test_an_image_that_went_is_not_on_its_way(place):
    """Nor is it a spelling of another one."""
    await place.images("a.png")
    await place.journal.record([absent("images/a.png")])
    await place.images("B.png", staged=False)
    await place.journal.record([absent("images/B.png")])
    assert await place.reason("b.png") == NOT_THERE


# What is reported.


async def test_rows_and_images_that_fit_are_no_news(place):
    await place.images("a.png")
    await place.rows({"1": "a.png"})
    report = {"table": "labels", "read": True, "left_out": False, "missing": 0, "orphaned": 0, "rows": [], "images": []}
    assert closure_report(place.settings("labels"), limit=ALL) == [report]


async def test_rows_and_images_are_sorted_and_named_by_their_paths(place):
    await place.images("b.png", "a/c.png", "fits.png")
    await place.rows({"b": "y.png", "a": "z.png", "10": "fits.png"})
    (report,) = closure_report(place.settings("labels=hold"), limit=ALL)
    assert [(row["key"], row["image"]) for row in report["rows"]] == [("a", "z.png"), ("b", "y.png")]
    assert report["images"] == ["a/c.png", "b.png"]


async def test_what_one_table_leaves_out_is_missing_to_the_other(place):
    await place.journal.write(closure.configure, ["labels"])
    await place.images("a.png", "b.png")
    await place.rows({"1": "a.png"})
    await place.rows({"1": "b.png", "2": "a.png"}, "boxes")
    await place.stage()
    labels, boxes = closure_report(place.settings("labels=exclude", "boxes"), limit=ALL)
    assert (labels["left_out"], labels["missing"], labels["images"]) == (True, 0, ["b.png"])
    (row,) = boxes["rows"]
    assert row["reason"] == "the image is left out, since no row of labels names it"


@pytest.mark.parametrize("limit", [0, 1, 3, 4])
async def test_no_more_are_listed_than_asked_for_and_all_are_counted(place, limit):
    """P7."""
    await place.images(*(f"{number}.png" for number in range(4)))
    await place.rows({str(number): "x.png" for number in range(3)})
    (report,) = closure_report(place.settings("labels"), limit=limit)
    assert (report["missing"], report["orphaned"]) == (3, 4)
    assert (len(report["rows"]), len(report["images"])) == (min(3, limit), limit)


async def test_only_tables_that_are_compared_are_reported(place):
    await place.images("a.png")
    for name in ("labels", "boxes", "others"):
        await place.rows({"1": "x.png"}, name)
    found = closure_report(place.settings("labels", "boxes=hold", "others=off"), limit=ALL)
    assert [(report["table"], report["missing"]) for report in found] == [("labels", 1), ("boxes", 1)]


async def test_a_table_that_was_never_read_has_nothing_to_report(place):
    await place.images("a.png")
    (report,) = closure_report(place.settings("labels"), limit=ALL)
    assert (report["missing"], report["orphaned"]) == (0, 0)


async def test_without_a_journal_there_is_nothing_to_compare(place, tmp_path):
    settings = place.settings("labels")
    elsewhere = settings.service.model_copy(update={"state_dir": tmp_path / "elsewhere"})
    with pytest.raises(JournalError):
        closure_report(settings.model_copy(update={"service": elsewhere}), limit=ALL)


async def test_without_the_folder_it_cannot_be_said_what_is_left_out(place):
    settings = place.settings("labels")
    place.root.rmdir()
    with pytest.raises(SourceUnavailableError):
        closure_report(settings, limit=ALL)
