"""Two snapshots are compared, files and rows; over every store, with the requests counted."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from syncd.snapshots.comparison import Comparison, compare
from syncd.snapshots.reference import Pinned
from syncd.snapshots.row_changes import RowChange
from syncd.snapshots.table_comparison import TableComparison
from syncd.sources.tables.base import Column, Kind, Row
from tests.support.snapshot_tables import ID, IMAGE, LABEL, CountedObjects, TableSnapshots
from tests.support.stores import Stores


@pytest.fixture
def snapshots(stores: Stores, tmp_path: Path) -> TableSnapshots:
    return TableSnapshots(stores, tmp_path, prefix="photos/")


class Compared:
    """A comparison, and what was read for it on each side."""

    def __init__(self, told: Comparison, read: list[CountedObjects]) -> None:
        self.told, self.read = told, [one.read for one in read]

    @property
    def paths(self) -> list[tuple[str, str, str | None]]:
        return [(one.kind, one.path, one.old_path) for one in self.told.changes()]

    def table(self, name: str = "labels") -> TableComparison:
        (found,) = (one for one in self.told.tables if one.name == name)
        return found

    def rows(self, name: str = "labels") -> list[RowChange]:
        return list(self.told.rows(self.table(name)))


@asynccontextmanager
async def compared(snapshots: TableSnapshots, left: Pinned, right: Pinned) -> AsyncIterator[Compared]:
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(snapshots.objects_of(one)) for one in (left, right)]
        told = await stack.enter_async_context(
            compare(
                left,
                right,
                versions=snapshots.stores.versions,
                left_objects=sides[0],
                right_objects=sides[1],
                prefix=snapshots.prefix,
            )
        )
        yield Compared(told, sides)


def rows(count: int, **changed: str) -> list[Row]:
    return [(key, f"{key}.png", changed.get(f"k{key}", f"label {key % 7}")) for key in range(count)]


async def test_files_that_came_went_changed_and_were_renamed(snapshots: TableSnapshots) -> None:
    """P7: what the differences themselves tell is enough, nothing is read or looked up."""
    for name, content in {"a": b"cat", "b": b"dog", "c": b"cow", "d": b"cat"}.items():
        await snapshots.put(f"images/{name}.png", content)
    await snapshots.stores.put("others/x.png", b"not below the prefix")
    left = await snapshots.take()
    await snapshots.delete("images/a.png", "images/c.png", "images/d.png")
    for name, content in {"b": b"bird!", "new/a": b"cat", "z": b"cat", "fresh": b"sheep"}.items():
        await snapshots.put(f"images/{name}.png", content)
    await snapshots.stores.put("others/y.png", b"cow")
    right = await snapshots.take()
    async with compared(snapshots, left, right) as found:
        assert found.paths == [
            ("changed", "images/b.png", None),
            ("removed", "images/c.png", None),
            ("added", "images/fresh.png", None),
            ("renamed", "images/new/a.png", "images/a.png"),
            ("renamed", "images/z.png", "images/d.png"),
        ]
        assert found.told.stat == {"added": (1, 5), "changed": (1, 5), "removed": (1, 3), "renamed": (2, 6)}
        assert found.read == [[], []]
    async with compared(snapshots, right, left) as found:
        assert ("renamed", "images/a.png", "images/new/a.png") in found.paths
    async with compared(snapshots, left, left) as found:
        assert (found.paths, list(found.told.tables)) == ([], [])


async def test_where_the_differences_tell_no_digests_they_are_looked_up(
    snapshots: TableSnapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a server that does not know to tell them; only where something of the same size came and went."""
    for name in ("a.png", "long name.png"):
        await snapshots.put(f"images/{name}", name.encode())
    await snapshots.csv("labels", "id,image\n1,a\n")
    left = await snapshots.take()
    await snapshots.delete("images/a.png", "images/long name.png")
    await snapshots.put("images/b.png", b"a.png")
    await snapshots.csv("labels", "id,image\n1,b\n")
    right = await snapshots.take()
    versions = snapshots.stores.versions
    told = versions.diff

    async def without_digests(*where: str) -> AsyncIterator[object]:
        async for one in told(*where):
            yield replace(one, sha256=None)

    monkeypatch.setattr(versions, "diff", without_digests)
    async with compared(snapshots, left, right) as found:
        assert ("renamed", "images/b.png", "images/a.png") in found.paths
        assert found.table().counts == (0, 1, 0)
        table = "photos/tables/labels.csv"
        assert found.read == [
            ["HEAD photos/images/a.png", f"HEAD {table}", table],
            ["HEAD photos/images/b.png", f"HEAD {table}", table],
        ]


async def test_one_row_of_a_hundred_thousand_is_found_by_reading_two_parts(snapshots: TableSnapshots) -> None:
    """P7: the part as it was and as it is, and nothing else."""
    await snapshots.database("labels", rows(100_000), target_rows=5_000)
    left = await snapshots.take()
    await snapshots.database("labels", rows(100_000, k70000="a ship"), target_rows=5_000)
    right = await snapshots.take()
    async with compared(snapshots, left, right) as found:
        assert found.table() == TableComparison(
            name="labels", kind="changed", counts=(0, 1, 0), found=found.table().found
        )
        assert found.rows() == [
            RowChange(kind="changed", key=70_000, old={"label": "label 0"}, new={"label": "a ship"})
        ]
        ((path,), (same,)) = found.read
        assert path == same
        assert path.startswith("photos/tables/labels/part-")


async def test_rows_that_come_and_go_are_found_whichever_part_they_lie_in(snapshots: TableSnapshots) -> None:
    """A part that is full moves its boundaries: rows go from one to the next without any change."""
    before = rows(3_000)
    after = [(-1, "first.png", "new"), *before[1:1500], *before[1600:], (5_000, "last.png", "new")]
    await snapshots.database("labels", before, target_rows=20)
    left = await snapshots.take()
    await snapshots.database("labels", after, target_rows=20)
    right = await snapshots.take()
    async with compared(snapshots, left, right) as found:
        assert found.table().counts == (2, 0, 101)
        assert [one.key for one in found.rows()] == [-1, 0, *range(1500, 1600), 5000]
        assert found.rows()[0].new == {"id": -1, "image": "first.png", "label": "new"}
        assert found.rows()[1].old == {"id": 0, "image": "0.png", "label": "label 0"}


async def test_values_keep_their_types(snapshots: TableSnapshots) -> None:
    price = Column(name="price", kind=Kind.DECIMAL, declared="numeric(10,2)", precision=10, scale=2)
    await snapshots.database("prices", [("a", Decimal("1.10")), ("b", None)], (LABEL, price))
    left = await snapshots.take()
    await snapshots.database("prices", [("a", Decimal("1.20")), ("b", Decimal(0))], (LABEL, price))
    async with compared(snapshots, left, await snapshots.take()) as found:
        assert [(one.old, one.new) for one in found.rows("prices")] == [
            ({"price": Decimal("1.10")}, {"price": Decimal("1.20")}),
            ({"price": None}, {"price": Decimal("0.00")}),
        ]


async def test_a_csv_is_compared_by_its_key(snapshots: TableSnapshots) -> None:
    """Not by its lines: their order, the quotes and the order of its columns say nothing of the rows."""
    before = [f"{key},{key}.png,cat" for key in range(25_000)]
    await snapshots.csv("labels", "\n".join(["id,image,label", *before]))
    left = await snapshots.take()
    after = [f'dog,"{key}.png",{key}' for key in (7,)] + [f"cat,{key}.png,{key}" for key in range(24_999, 7, -1)]
    await snapshots.csv("labels", "\ufeff" + "\r\n".join(["label,image,id", *after, "cat,new.png,new"]))
    right = await snapshots.take()
    async with compared(snapshots, left, right) as found:
        assert found.table().counts == (1, 1, 7)
        assert [(one.kind, one.key) for one in found.rows()] == [
            *(("deleted", str(key)) for key in range(7)),
            ("changed", "7"),
            ("added", "new"),
        ]
        assert found.rows()[7].new == {"label": "dog"}


async def test_tables_that_came_and_went_are_named_with_their_rows(snapshots: TableSnapshots) -> None:
    await snapshots.csv("old", "id\n1\n2\n")
    await snapshots.database("gone", rows(3))
    left = await snapshots.take()
    for key in [row.key async for row in snapshots.stores.versions.objects("staging", "photos/tables/")]:
        await snapshots.stores.objects.delete([key])
    await snapshots.csv("new", "id\n1\n")
    await snapshots.database("come", rows(4))
    right = await snapshots.take()
    async with compared(snapshots, left, right) as found:
        assert [(one.name, one.kind, one.counts) for one in found.told.tables] == [
            ("come", "added", (4, 0, 0)),
            ("gone", "removed", (0, 0, 3)),
            ("new", "added", (1, 0, 0)),
            ("old", "removed", (0, 0, 2)),
        ]
        assert found.rows("gone") == []
        assert found.read == [[], []]


async def whys(snapshots: TableSnapshots, left: Pinned) -> dict[str, str]:
    """Why rows are not compared, by table."""
    async with compared(snapshots, left, await snapshots.take()) as found:
        assert all(one.counts is None and found.rows(one.name) == [] for one in found.told.tables)
        return {one.name: one.why for one in found.told.tables}


async def test_another_key_or_other_columns_are_said_and_nothing_is_guessed(snapshots: TableSnapshots) -> None:
    await snapshots.csv("labels", "id,image\n1,a\n")
    await snapshots.database("boxes", rows(9))
    left = await snapshots.take()
    await snapshots.csv("labels", "id,image\n1,b\n", key="image")
    await snapshots.database("boxes", rows(9), key_position=1)
    assert await whys(snapshots, left) == {
        "labels": 'its key was column "id" and is column "image" now',
        "boxes": 'the key was column "id" and is column "image" now',
    }
    await snapshots.csv("labels", "id,label\n1,a\n")
    await snapshots.database("boxes", [row[:2] for row in rows(9)], (ID, IMAGE))
    assert await whys(snapshots, left) == {
        "labels": 'column "image" is gone; column "label" is new',
        "boxes": 'column "label" is gone',
    }
    await snapshots.csv("labels", "id,id\n1,2\n")
    await snapshots.database("boxes", rows(9), (ID, IMAGE, replace(LABEL, kind=Kind.JSON)))
    assert await whys(snapshots, left) == {
        "labels": 'column "image" is gone',
        "boxes": 'column "label" was text and is json now',
    }


async def test_a_key_that_is_in_neither_file_is_said(snapshots: TableSnapshots) -> None:
    await snapshots.csv("labels", "id,image\n1,a\n", key="uuid")
    left = await snapshots.take()
    await snapshots.csv("labels", "id,image\n1,b\n", key="uuid")
    assert await whys(snapshots, left) == {"labels": 'its key, column "uuid", is not in it'}


async def test_another_form_and_keys_that_are_not_unique_are_said(snapshots: TableSnapshots) -> None:
    await snapshots.database("form", rows(9))
    for name in ("twice", "uneven", "broken"):
        await snapshots.csv(name, "id,image\n1,a\n")
    left = await snapshots.take()
    await snapshots.delete("tables/form/part-0.parquet", "tables/form/_schema.json")
    await snapshots.csv("form", "id,image,label\n1,1.png,cat\n")
    await snapshots.csv("twice", "id,image\n1,a\n1,b\n")
    await snapshots.csv("uneven", "id,image\n1,a,2\n")
    await snapshots.csv("broken", 'id,image\n1,"a"b\n')
    said = await whys(snapshots, left)
    assert said["form"] == "it was published as Parquet and is published as CSV now"
    assert said["twice"] == "rows of the table twice have the same key"
    assert "another number of columns" in said["uneven"]
    assert "cannot be read as a table" in said["broken"]


async def test_snapshots_of_an_older_syncd_are_compared_as_far_as_they_tell(snapshots: TableSnapshots) -> None:
    """Of a table in parts its schema says the key, of a CSV a newer commit does."""
    await snapshots.csv("labels", "id,image\n1,a\n")
    await snapshots.database("boxes", rows(9))
    roles, snapshots.roles = snapshots.roles, {}
    left = await snapshots.take()
    await snapshots.csv("labels", "id,image\n1,b\n")
    await snapshots.database("boxes", rows(9, k3="new"))
    newer_roles, snapshots.roles = roles, {}
    older = await snapshots.take()
    async with compared(snapshots, left, older) as found:
        assert "of an older syncd" in found.table("labels").why
        assert found.table("boxes").counts == (0, 1, 0)
    snapshots.roles = newer_roles
    await snapshots.put("images/new.png", b"new")
    async with compared(snapshots, left, await snapshots.take()) as found:
        assert found.table("labels").counts == (0, 1, 0)


async def test_without_pyarrow_it_is_said_and_a_csv_is_compared_all_the_same(
    snapshots: TableSnapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    await snapshots.csv("labels", "id,image\n1,a\n")
    await snapshots.database("boxes", rows(9))
    left = await snapshots.take()
    await snapshots.csv("labels", "id,image\n2,a\n")
    await snapshots.database("boxes", rows(9, k3="new"))
    right = await snapshots.take()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    async with compared(snapshots, left, right) as found:
        assert found.table("labels").counts == (1, 0, 1)
        assert "pip install 'syncd[parquet]'" in found.table("boxes").why


async def test_what_lies_beside_a_table_is_no_change_of_its_rows(snapshots: TableSnapshots) -> None:
    await snapshots.csv("labels", "id,image\n1,a\n")
    left = await snapshots.take()
    await snapshots.put("tables/labels/_closure.json", b"{}")
    async with compared(snapshots, left, await snapshots.take()) as found:
        assert found.paths == [("added", "tables/labels/_closure.json", None)]
        assert list(found.told.tables) == []
