"""Tables of a snapshot are read back as they were, whatever they were published as; over every store."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from syncd.errors import PermanentStoreError
from syncd.snapshots import arrow
from syncd.snapshots.arrow import MissingExtraError
from syncd.snapshots.reference import Pinned
from syncd.snapshots.tables import (
    BrokenTableError,
    TableInfo,
    UnknownTableError,
    image_path,
    read_table,
    table_batches,
    tables,
)
from syncd.sources.tables.base import Column, Kind
from syncd.sources.tables.images import ImageColumn
from tests.support.snapshot_tables import COLUMNS, ID, TableSnapshots
from tests.support.stores import Stores

IMAGES = ImageColumn(name="image", prefix="/srv/", pattern=r"https://[^/]+/(?P<path>.+)")
TYPED = (
    ID,
    Column(name="yes", kind=Kind.BOOLEAN, declared="boolean"),
    Column(name="price", kind=Kind.DECIMAL, declared="numeric(38,10)", precision=38, scale=10),
    Column(name="exact", kind=Kind.DECIMAL, declared="numeric"),
    Column(name="at", kind=Kind.TIMESTAMP_TZ, declared="timestamptz"),
    Column(name="day", kind=Kind.DATE, declared="date"),
    Column(name="hour", kind=Kind.TIME, declared="time"),
    Column(name="hash", kind=Kind.BYTES, declared="bytea"),
    Column(name="score", kind=Kind.FLOAT, declared="double precision"),
    Column(name="box", kind=Kind.ARRAY, declared="integer[]", element=Kind.INTEGER),
    Column(name="more", kind=Kind.JSON, declared="jsonb"),
)
VALUES = (
    True,
    Decimal("1.0000000001"),
    Decimal("1E+3"),
    datetime(2026, 11, 1, 12, 0, 0, 7, tzinfo=UTC),
    date(2026, 11, 1),
    time(12, 30, 0, 1),
    b"\x00\xff",
    0.1,
    [1, None],
    '{"a": 1}',
)


@pytest.fixture(params=["", "photos/"])
def snapshots(stores: Stores, tmp_path: Path, request: pytest.FixtureRequest) -> TableSnapshots:
    return TableSnapshots(stores, tmp_path, prefix=request.param)


async def read(snapshots: TableSnapshots, found: Pinned, name: str = "labels") -> pa.Table:
    where: dict[str, Any] = {"versions": snapshots.stores.versions, "prefix": snapshots.prefix}
    async with snapshots.objects_of(found) as objects:
        table = await read_table(found, name, objects=objects, **where)
        async with aclosing(table_batches(found, name, objects=objects, **where)) as batches:
            streamed = pa.Table.from_batches([batch async for batch in batches], schema=table.schema)
    assert streamed.equals(table, check_metadata=True)
    return table


async def infos(snapshots: TableSnapshots, found: Pinned, *, ask: bool = False) -> list[TableInfo]:
    async with snapshots.objects_of(found) as objects:
        asked = objects if ask else None
        return await tables(found, snapshots.stores.versions, snapshots.prefix, objects=asked)


async def test_a_table_in_parts_is_read_in_the_order_of_its_keys(snapshots: TableSnapshots) -> None:
    rows = [(key, f"{key}.png", f"label {key}") for key in range(-500, 500)]
    await snapshots.database("labels", rows, target_rows=100, image=IMAGES)
    found = await snapshots.take()
    table = await read(snapshots, found)
    assert list(zip(*table.to_pydict().values(), strict=True)) == rows
    (info,) = await infos(snapshots, found)
    assert info == TableInfo("labels", "id", "image", 1000, "parquet", IMAGES.prefix, IMAGES.pattern)


@pytest.mark.parametrize(("piece_bytes", "at_most"), [(4 << 20, 10_000), (16 << 10, 2_000), (1, 1)])
async def test_a_part_is_streamed_in_pieces_the_smaller_the_wider_its_rows_are(
    snapshots: TableSnapshots, monkeypatch: pytest.MonkeyPatch, piece_bytes: int, at_most: int
) -> None:
    monkeypatch.setattr(arrow, "PIECE_BYTES", piece_bytes)
    rows = [(key, f"{key}.png", None) for key in range(12_000 if at_most > 1 else 9)]
    await snapshots.database("labels", rows, target_rows=100_000, image=IMAGES)
    found = await snapshots.take()
    assert (await read(snapshots, found)).num_rows == len(rows)
    where: dict[str, Any] = {"versions": snapshots.stores.versions, "prefix": snapshots.prefix}
    async with (
        snapshots.objects_of(found) as objects,
        aclosing(table_batches(found, "labels", objects=objects, **where)) as batches,
    ):
        sizes = [len(batch) async for batch in batches]
    assert max(sizes) <= at_most
    assert len(sizes) > 1


async def test_types_and_values_are_exact(snapshots: TableSnapshots) -> None:
    await snapshots.database("labels", [(1, *VALUES), (2, *[None] * len(VALUES))], TYPED)
    await snapshots.database("none", [], TYPED)
    found = await snapshots.take()
    table = await read(snapshots, found)
    exact = [1, *VALUES]
    exact[3] = "1000"  # without limits: text
    assert [row[0] for row in table.to_pydict().values()] == exact
    assert table.schema.field("price").type == pa.decimal128(38, 10)
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert (await read(snapshots, found, "none")).schema.equals(table.schema, check_metadata=True)


async def test_a_csv_file_is_text_in_the_order_of_its_lines(snapshots: TableSnapshots) -> None:
    text = '\ufeffid,image,"a ""note"""\r\n2,b.png,"two\nlines, and a comma"\r\n\r\n010,,"\u00e4"\r\n'
    await snapshots.csv("labels", text, image=ImageColumn(name="image"))
    found = await snapshots.take()
    table = await read(snapshots, found)
    assert table.to_pydict() == {
        "id": ["2", "010"],
        "image": ["b.png", ""],
        'a "note"': ["two\nlines, and a comma", "\u00e4"],
    }
    assert {field.type for field in table.schema} == {pa.string()}
    (info,) = await infos(snapshots, found)
    assert (info.key, info.image_column, info.form) == ("id", "image", "csv")


async def test_a_csv_without_rows_has_its_columns(snapshots: TableSnapshots) -> None:
    await snapshots.csv("labels", "id,image\n")
    table = await read(snapshots, await snapshots.take())
    assert (table.column_names, table.num_rows) == (["id", "image"], 0)


async def test_a_long_csv_is_read_in_pieces(snapshots: TableSnapshots) -> None:
    lines = [f"{key},{key}.png" for key in range(25_000)]
    await snapshots.csv("labels", "\n".join(["id,image", *lines]))
    table = await read(snapshots, await snapshots.take())
    assert [f"{row['id']},{row['image']}" for row in table.to_pylist()] == lines
    assert table.column("id").num_chunks > 2


async def test_a_database_table_that_was_published_as_csv_is_text(snapshots: TableSnapshots) -> None:
    await snapshots.database("labels", [(1, "a.png", None), (2, "b.png", 'b"')], COLUMNS, as_csv=True)
    table = await read(snapshots, await snapshots.take())
    assert table.to_pydict() == {"id": ["1", "2"], "image": ["a.png", "b.png"], "label": ["", 'b"']}


async def test_tables_are_told_apart_from_what_lies_beside_them(snapshots: TableSnapshots) -> None:
    await snapshots.csv("labels", "id\n1\n")
    await snapshots.csv("labels2", "id\n1\n", key=None)
    await snapshots.database("boxes", [(1, "a", "b")])
    for key in ("labels/_closure.json", "notes.txt", "boxes/readme.md", "sub/folder/x.csv"):
        await snapshots.put(f"tables/{key}", b"{}")
    await snapshots.stores.put("tables.csv", b"not a table")
    found = await snapshots.take()
    assert [(info.name, info.key) for info in await infos(snapshots, found)] == [
        ("boxes", "id"),
        ("labels", "id"),
        ("labels2", None),
    ]
    with pytest.raises(UnknownTableError, match="no table 'label'") as refused:
        await read(snapshots, found, "label")
    assert "boxes, labels, labels2" in str(refused.value)


async def test_a_snapshot_of_an_older_syncd_says_less(snapshots: TableSnapshots) -> None:
    """Its commit names no columns; of a table in parts, what lies beside them does."""
    await snapshots.database("boxes", [(1, "a", "b")], image=IMAGES)
    await snapshots.csv("labels", "id\n1\n")
    snapshots.roles, snapshots.rows = {}, {}
    found = await snapshots.take()
    assert await infos(snapshots, found) == [
        TableInfo("boxes", None, None, None, "parquet"),
        TableInfo("labels", None, None, None, "csv"),
    ]
    boxes, labels = await infos(snapshots, found, ask=True)
    assert boxes == TableInfo("boxes", "id", "image", None, "parquet", IMAGES.prefix, IMAGES.pattern)
    assert labels.key is None
    assert (await read(snapshots, found, "boxes")).num_rows == 1


async def test_without_tables_there_are_none(snapshots: TableSnapshots) -> None:
    await snapshots.put("images/a.png", b"a")
    found = await snapshots.take()
    assert await infos(snapshots, found) == []
    with pytest.raises(UnknownTableError, match="it has no tables"):
        await read(snapshots, found)


async def test_what_is_no_table_of_syncds_is_named(snapshots: TableSnapshots) -> None:
    await snapshots.database("boxes", [(1, "a", "b")])
    await snapshots.put("tables/boxes/part-0.parquet", b"no parquet")
    await snapshots.csv("labels", 'id,image\n1,"a"b\n')
    await snapshots.csv("uneven", "id,image\n1\n")
    found = await snapshots.take()
    for name, key in (("boxes", "boxes/part-0.parquet"), ("labels", "labels.csv"), ("uneven", "uneven.csv")):
        with pytest.raises(BrokenTableError, match=f"tables/{key} cannot be read as a table"):
            await read(snapshots, found, name)


async def test_bytes_that_are_not_those_of_the_digest_are_refused(snapshots: TableSnapshots) -> None:
    await snapshots.csv("labels", "id,image\n1,a.png\n")
    found = await snapshots.take()
    async with snapshots.objects_of(found) as objects:
        fetch = objects.fetch

        async def damaged(key: str, sink: Any) -> None:
            async def take(chunk: bytes) -> None:
                await sink(chunk.replace(b"a.png", b"b.png"))

            await fetch(key, take)

        objects.fetch = damaged  # type: ignore[method-assign]
        with pytest.raises(PermanentStoreError, match=r"labels\.csv: its bytes are not those of its digest"):
            await read_table(
                found, "labels", versions=snapshots.stores.versions, objects=objects, prefix=snapshots.prefix
            )


async def test_without_pyarrow_the_extra_is_named(snapshots: TableSnapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    await snapshots.csv("labels", "id\n1\n")
    found = await snapshots.take()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match="pyarrow") as refused:
        await read(snapshots, found)
    assert refused.value.next_step == "pip install 'syncd[parquet]'"
    assert len(await infos(snapshots, found)) == 1


@pytest.mark.parametrize(
    ("column", "value", "path"),
    [
        (IMAGES, "/srv/cats/1.png", "cats/1.png"),
        (IMAGES, "https://cdn/cats/1.png", "cats/1.png"),
        (ImageColumn(name="image"), "./1.png", "1.png"),
        (ImageColumn(name="image"), "", None),
        (None, "1.png", None),
    ],
)
def test_a_value_names_a_path_below_the_images(column: ImageColumn | None, value: str, path: str | None) -> None:
    column = column or ImageColumn(name="")
    info = TableInfo("labels", "id", column.name or None, 1, "csv", column.prefix, column.pattern)
    assert image_path(info, value) == path
