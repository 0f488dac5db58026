"""What tables say of images that differ: rows before and after, and columns to group them by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from syncd.snapshots.comparison import compare
from syncd.sources.tables.images import ImageColumn
from syncd.web import labels as module
from syncd.web.labels import Labels, read_labels
from tests.support.snapshot_tables import TableSnapshots
from tests.support.stores import MemoryServer

BEFORE = {"a.png": "cat", "b.png": "dog", "c.png": "dog", "gone.png": "cow"}
AFTER = {"a.png": "cat", "b.png": "cat", "c.png": "dog", "new.png": "cow"}


def csv(labels: dict[str, str]) -> str:
    rows = [f"{number},{image},{label}" for number, (image, label) in enumerate(labels.items())]
    return "\n".join(["id,image,label", *rows, ""])


@asynccontextmanager
async def told(tmp_path: Path, before: dict[str, str] = BEFORE, after: dict[str, str] = AFTER) -> AsyncIterator[Labels]:
    """Two snapshots with tables; in the second one the image b.png is another, gone.png is gone, new.png is new."""
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(MemoryServer().open("photos"))
        await stores.versions.ensure_repository("local://photos", "main")
        await stores.versions.ensure_branch("staging", "main")
        snapshots = TableSnapshots(stores, tmp_path)
        for name in ("a", "b", "c", "gone"):
            await snapshots.put(f"images/{name}.png", name.encode())
        await snapshots.csv("labels", csv(before), image=ImageColumn(name="image"))
        left = await snapshots.take()
        await snapshots.put("images/b.png", b"another")
        await snapshots.put("images/new.png", b"new")
        await snapshots.delete("images/gone.png")
        await snapshots.csv("labels", csv(after), image=ImageColumn(name="image"))
        right = await snapshots.take()
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

        yield await read_labels(
            stores.versions, snapshots.prefix, (left, objects[0]), (right, objects[1]), differing=differing
        )


async def test_rows_are_kept_of_images_that_differ(tmp_path: Path) -> None:
    async with told(tmp_path) as labels:
        found = labels.of([(key, key) for key in ("images/b.png", "images/gone.png", "images/new.png", "images/a.png")])
        shown = [[(one.old and one.old["label"], one.new and one.new["label"]) for one in rows] for rows in found]
        assert shown == [[("dog", "cat")], [("cow", None)], [(None, "cow")], []]
        assert labels.values("labels", "label") == {
            "images/b.png": "cat",
            "images/gone.png": "cow",
            "images/new.png": "cow",
        }
        assert labels.why_not() == {}


async def test_columns_with_few_values_group_and_count_all_rows(tmp_path: Path) -> None:
    async with told(tmp_path) as labels:
        assert labels.columns() == [("labels", "image"), ("labels", "label")]  # not the key
        assert labels.counts("labels", "label") == [("cat", 1, 2), ("dog", 2, 1), ("cow", 1, 1)]
        assert labels.counts("labels", "none") == labels.counts("none", "label") == []


async def test_a_column_with_many_values_on_either_side_does_not_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_DIFFERENT", 3)
    async with told(tmp_path) as labels:
        assert labels.columns() == [("labels", "label")]


async def test_where_too_many_rows_would_be_kept_none_are_and_counts_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 1)
    async with told(tmp_path) as labels:
        assert "more than 1 of its rows" in labels.why_not()["labels"]
        assert labels.of([("images/b.png", "images/b.png")]) == [[]]
        assert labels.counts("labels", "label")


async def test_a_broken_table_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    ragged = {"a.png": "cat,and a cell too many"}
    async with told(tmp_path, before=ragged) as labels:
        assert labels.why_not()["labels"]
        (new,) = labels.of([("images/b.png", "images/b.png")])[0]
        assert (new.old, new.new and new.new["label"]) == (None, "cat")
