"""What tables say of images that differ: rows before and after, and columns to group them by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from syncd.snapshots.comparison import compare
from syncd.sources.tables.images import ImageColumn
from syncd.web import charts
from syncd.web import label_table as module
from syncd.web.changes import asked_of
from syncd.web.labels import Labels, read_labels
from syncd.web.render import environment
from tests.support.snapshot_tables import TableSnapshots
from tests.support.stores import MemoryServer

BEFORE = {"a.png": "cat", "b.png": "dog", "c.png": "dog", "gone.png": "cow"}
ROWS_UNSAID = {"syncd.rows.labels": ""}
AFTER = {"a.png": "cat", "b.png": "cat", "c.png": "dog", "new.png": "cow"}


def csv(labels: dict[str, str]) -> str:
    rows = [f"{number},{image},{label}" for number, (image, label) in enumerate(labels.items())]
    return "\n".join(["id,image,label", *rows, ""])


async def put(snapshots: TableSnapshots, labels: dict[str, str], *, in_parts: bool) -> None:
    if in_parts:
        rows = [(number, *row) for number, row in enumerate(labels.items())]
        await snapshots.database("labels", rows, image=ImageColumn(name="image"), target_rows=1)
    else:
        await snapshots.csv("labels", csv(labels), image=ImageColumn(name="image"))


@asynccontextmanager
async def told(
    tmp_path: Path,
    before: dict[str, str] | None = BEFORE,  # None: there is no such table
    after: dict[str, str] = AFTER,
    *,
    in_parts: bool = False,
    said: dict[str, str] | None = None,
    read: list[str] | None = None,
) -> AsyncIterator[Labels]:
    """Two snapshots with tables; in the second one the image b.png is another, gone.png is gone, new.png is new.

    Args:
        tmp_path: For what is not in memory.
        before: What the first one's table says of each image.
        after: The second one's.
        in_parts: As a database's table, else as CSV.
        said: What the commits say besides.
        read: Is told the objects that were read for this.
    """
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(MemoryServer().open("photos"))
        await stores.versions.ensure_repository("local://photos", "main")
        await stores.versions.ensure_branch("staging", "main")
        snapshots = TableSnapshots(stores, tmp_path)
        for name in ("a", "b", "c", "gone"):
            await snapshots.put(f"images/{name}.png", name.encode())
        await snapshots.csv("notes", csv({"b.png": "blurred"}), image=ImageColumn(name="image"))
        if before is not None:
            await put(snapshots, before, in_parts=in_parts)
        left = await snapshots.take(**said or {})
        await snapshots.put("images/b.png", b"another")
        await snapshots.put("images/new.png", b"new")
        await snapshots.delete("images/gone.png")
        await put(snapshots, after, in_parts=in_parts)
        right = await snapshots.take(**said or {})
        objects = [await stack.enter_async_context(snapshots.objects_of(one)) for one in (left, right)]
        compared = await stack.enter_async_context(
            compare(
                left,
                right,
                versions=stores.versions,
                left_objects=objects[0],
                right_objects=objects[1],
                prefix=snapshots.prefix,
            )
        )

        async def differing(keys: Sequence[str]) -> set[str]:
            return await asyncio.to_thread(compared.among, keys)

        for one in objects:
            one.read.clear()
        labels = await read_labels(
            stores.versions, snapshots.prefix, (left, objects[0]), (right, objects[1]), differing=differing
        )
        if read is not None:
            read += [*objects[0].read, *objects[1].read]
        yield labels


def shown(labels: Labels, *keys: str, table: str = "labels") -> list[list[tuple[str | None, str | None]]]:
    """What a table says of each image before and after."""
    found = labels.of([(key, key) for key in keys])
    return [
        [(one.old and one.old["label"], one.new and one.new["label"]) for one in rows if one.table == table]
        for rows in found
    ]


@pytest.mark.parametrize("in_parts", [False, True])
async def test_rows_are_kept_of_images_that_differ(tmp_path: Path, in_parts: bool) -> None:
    async with told(tmp_path, in_parts=in_parts) as labels:
        keys = ("images/b.png", "images/gone.png", "images/new.png", "images/a.png")
        assert shown(labels, *keys) == [[("dog", "cat")], [("cow", None)], [(None, "cow")], []]
        assert labels.values("labels", "label") == {
            "images/b.png": "cat",
            "images/gone.png": "cow",
            "images/new.png": "cow",
        }
        assert labels.why_not() == {}


@pytest.mark.parametrize("in_parts", [False, True])
async def test_of_rows_that_name_the_same_image_the_first_is_kept(tmp_path: Path, in_parts: bool) -> None:
    twice = {"b.png": "dog", "c.png": "dog", "./b.png": "cat"}
    async with told(tmp_path, before=twice, in_parts=in_parts) as labels:
        assert shown(labels, "images/b.png") == [[("dog", "cat")]]


@pytest.mark.parametrize("in_parts", [False, True])
async def test_columns_with_few_values_group_and_count_all_rows(tmp_path: Path, in_parts: bool) -> None:
    async with told(tmp_path, in_parts=in_parts) as labels:
        of_labels = [column for table, column in labels.columns() if table == "labels"]
        assert of_labels == ["image", "label"]  # not the key
        assert sorted(labels.counts("labels", "label")) == [("cat", 1, 2), ("cow", 1, 1), ("dog", 2, 1)]
        assert labels.counts("labels", "none") == labels.counts("none", "label") == []


@pytest.mark.parametrize("in_parts", [False, True])
async def test_a_column_with_many_values_on_either_side_does_not_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    monkeypatch.setattr(module, "MOST_DIFFERENT", 3)
    async with told(tmp_path, in_parts=in_parts) as labels:
        assert [column for table, column in labels.columns() if table == "labels"] == ["label"]


@pytest.mark.parametrize("in_parts", [False, True])
async def test_values_that_are_only_shown_alike_count_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    monkeypatch.setattr(module, "MOST_DIFFERENT", 3)
    long = {f"{number}.png": "a" * 100 + str(number) for number in range(4)}
    async with told(tmp_path, after=long, in_parts=in_parts) as labels:
        assert [column for table, column in labels.columns() if table == "labels"] == []


@pytest.mark.parametrize(
    ("most", "why"),
    [("MOST_KEPT", "more than 1 of its rows"), ("MOST_KEPT_BYTES", "its rows of images that differ have more than")],
)
@pytest.mark.parametrize("before", [BEFORE, {"b.png": "dog"}], ids=["both sides", "one side"])
@pytest.mark.parametrize("in_parts", [False, True])
async def test_where_too_many_rows_would_be_kept_none_of_either_side_are_and_counts_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str, why: str, before: dict[str, str], in_parts: bool
) -> None:
    monkeypatch.setattr(module, most, 1)
    async with told(tmp_path, before, in_parts=in_parts) as labels:
        assert why in labels.why_not()["labels"]
        assert shown(labels, "images/b.png", "images/new.png") == [[], []]
        assert labels.values("labels", "label") == {}
        assert sum(count for _, count, _ in labels.counts("labels", "label")) == len(before)
        assert sum(count for _, _, count in labels.counts("labels", "label")) == len(AFTER)


async def test_a_new_table_of_which_too_many_rows_would_be_kept_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 1)
    async with told(tmp_path, before=None) as labels:
        assert labels.why_not()["labels"]
        assert shown(labels, "images/b.png") == [[]]
        assert labels.counts("labels", "label") == [("cat", 0, 2), ("dog", 0, 1), ("cow", 0, 1)]


@pytest.mark.parametrize(
    ("most", "said", "in_parts", "why"),
    [
        ({"MOST_ROWS": 4}, {}, False, "it has more than 4 rows"),
        ({"MOST_BYTES": 70}, ROWS_UNSAID, False, "it has more than"),
        ({"MOST_PART_BYTES": 70, "MOST_TEXT_ROW_BYTES": 14}, {}, False, "its rows have more than"),
        ({"MOST_PART_BYTES": 70}, ROWS_UNSAID, False, "does not say in how many rows"),
        ({"MOST_BYTES": 3_000}, ROWS_UNSAID, True, "it has more than"),
        ({"MOST_PART_BYTES": 1_700}, ROWS_UNSAID, True, "a part of it has more than"),
    ],
)
async def test_a_table_that_is_too_large_on_one_side_is_read_of_neither(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: dict[str, int],
    said: dict[str, str],
    in_parts: bool,
    why: str,
) -> None:
    """Its rows would be shown as new, or as deleted, and so would the counts of its values."""
    for name, value in most.items():
        monkeypatch.setattr(module, name, value)
    larger, read = BEFORE | {"another.png": "cat" * 100}, list[str]()
    async with told(tmp_path, larger, {"b.png": "cat"}, in_parts=in_parts, said=said, read=read) as labels:
        assert why in labels.why_not()["labels"]
        assert labels.columns() == [("notes", "image"), ("notes", "label")]
        assert labels.counts("labels", "label") == []
        assert shown(labels, "images/b.png") == [[]]
        assert shown(labels, "images/b.png", table="notes") == [[("blurred", "blurred")]]
    assert sum("labels" in key for key in read) <= 1, "before it is fetched"


@pytest.mark.parametrize("in_parts", [False, True])
async def test_where_the_commit_does_not_say_how_many_rows_there_are_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    async with told(tmp_path / "all", in_parts=in_parts, said=ROWS_UNSAID) as labels:
        assert labels.why_not() == {}
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    async with told(tmp_path / "few", in_parts=in_parts, said=ROWS_UNSAID) as labels:
        assert labels.why_not() == {"labels": "it has more than 3 rows"}
        assert shown(labels, "images/b.png") == [[]]


async def test_a_table_that_is_broken_on_one_side_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    ragged = {"a.png": "cat,and a cell too many"}
    async with told(tmp_path, before=ragged) as labels:
        assert labels.why_not().keys() == {"labels"}
        assert shown(labels, "images/b.png") == [[]]
        assert labels.counts("labels", "label") == []
        assert shown(labels, "images/b.png", table="notes") == [[("blurred", "blurred")]]


async def test_changes_without_a_label_are_asked_for_by_a_name(tmp_path: Path) -> None:
    """A value that is that very word counts with them, as one that is "NULL" counts with those without value."""
    async with told(tmp_path, after=AFTER | {"b.png": "", "c.png": "(empty)"}) as labels:
        assert ("(empty)", 0, 2) in labels.counts("labels", "label")
        assert labels.values("labels", "label")["images/b.png"] == "(empty)"
        for name, _, _ in labels.counts("labels", "label"):
            address = environment().filters["query"]({"by": "labels.label", "value": name})
            assert asked_of(dict(parse_qsl(address))).wanted.value == name


@pytest.mark.parametrize("by_value", [True, False])
def test_a_value_is_a_link_where_changes_can_be_asked_for_by_it(by_value: bool) -> None:
    asked = asked_of({"by": "labels.label"})
    told: dict[str, Any] = {name: {} for name in ("stat", "tables", "not_read", "columns", "folders", "cards")}
    more = {"ends": {"from": "a", "to": "b"}, "asked": asked, "count": 0, "next": "", "by_value": by_value}
    comparison = SimpleNamespace(**told | more, chart=charts.bars([("cat", 1, 2)]))
    page = environment().get_template("_comparison.html").render(comparison=comparison)
    assert "<bdi>cat</bdi>" in page
    assert ("value=cat" in page) == by_value
