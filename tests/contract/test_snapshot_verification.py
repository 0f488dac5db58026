"""A snapshot is held against its commit; over the real store as over the pretended one."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from syncd.fingerprint import SetDigest
from syncd.snapshots.fit import TableFit
from syncd.snapshots.reference import Pinned, find
from syncd.snapshots.verification import MOST_NAMED, Verification, verify
from syncd.sources.tables.images import ImageColumn
from syncd.store.base import INTENT_METADATA
from tests.support.snapshot_tables import TableSnapshots
from tests.support.stores import Stores

IMAGES = {f"images/{number:03}.jpg": b"image %d" % number for number in range(30)}
TABLES = {"tables/labels.csv": b"id,image\n"}


async def publish(stores: Stores, *, prefix: str = "", **other: str) -> Pinned:
    """A snapshot as syncd makes it, but for what its commit is made to say otherwise."""
    contents, digest = IMAGES | TABLES, SetDigest()
    for key, content in contents.items():
        await stores.put(prefix + key, content)
        digest.add(key, stores.fingerprint(content).sha256)
    said = {"images": len(IMAGES), "bytes": sum(map(len, contents.values())), "digest": digest.hexdigest(), **other}
    metadata = {INTENT_METADATA: "one", **{f"syncd.{name}": str(value) for name, value in said.items()}}
    commit = await stores.versions.commit("staging", "a snapshot", metadata)
    return await find(stores.versions, commit.id, publish="main")


async def verified(
    stores: Stores, found: Pinned, *, prefix: str = "", share: float = 0.0, tables: bool = False
) -> Verification:
    async with stores.server.open(stores.repository, found.commit.id) as of_the_commit:
        return await verify(
            found,
            versions=stores.versions,
            objects=of_the_commit.objects,
            prefix=prefix,
            share=share,
            rng=random.Random(1),
            tables=tables,
        )


@pytest.mark.parametrize("prefix", ["", "photos/"])
async def test_a_snapshot_is_what_its_commit_says(stores: Stores, prefix: str) -> None:
    if prefix:
        await stores.put("someone/elses.txt", b"not ours")
    found = await publish(stores, prefix=prefix)
    await stores.put(f"{prefix}images/later.jpg", b"not committed")
    told = await verified(stores, found, prefix=prefix, share=1.0)
    assert told.faults == []
    assert (told.objects, told.images) == (31, 30)
    assert (told.read_objects, told.read_bytes) == (31, told.size_bytes)
    assert told.digest == found.commit.metadata["syncd.digest"]


async def test_what_lies_below_the_prefix_and_does_not_belong_there_shows(stores: Stores) -> None:
    await stores.put("images/strange.jpg", b"not of this snapshot")
    told = await verified(stores, await publish(stores))
    assert [fault.why.partition(" for ")[2].partition(";")[0] for fault in told.faults] == ["images", "bytes", "digest"]


@pytest.mark.parametrize(("said", "name"), [("31", "images"), ("1", "bytes"), ("0" * 64, "digest")])
async def test_what_the_commit_says_otherwise_is_named(stores: Stores, said: str, name: str) -> None:
    told = await verified(stores, await publish(stores, **{name: said}))
    (fault,) = told.faults
    assert fault.why.startswith(f"its commit says {said} for {name}; listed are ")
    assert told.read_objects == 0


async def test_a_commit_of_someone_else_is_named_as_such(stores: Stores) -> None:
    await stores.put("images/a.jpg", b"a")
    found = await find(stores.versions, await stores.commit("by someone else"), publish="main")
    (fault,) = (await verified(stores, found)).faults
    assert "syncd did not make it" in fault.why


async def test_a_sample_is_read(stores: Stores) -> None:
    told = await verified(stores, await publish(stores), share=0.3)
    assert 0 < told.read_objects < 31


def test_faults_beyond_a_hundred_are_counted() -> None:
    told = Verification()
    for number in range(MOST_NAMED + 5):
        told.note(f"{number}", "why")
    assert (told.fault_count, len(told.faults)) == (MOST_NAMED + 5, MOST_NAMED)


ROWS = [(1, "a.png", "cat"), (2, "b.png", "dog"), (3, "", "no image"), (4, None, "none"), (5, "gone.png", "cow")]
FORMS = ["csv", "text", "parts"]


async def with_table(snapshots: TableSnapshots, form: str, **said: str) -> TableFit:
    """A snapshot with three images and five rows, in one of the forms a table can have."""
    for name in ("a", "b", "c"):
        await snapshots.put(f"images/{name}.png", name.encode())
    if form == "csv":
        lines = "".join(f"{key},{image or ''},{label}\n" for key, image, label in ROWS)
        await snapshots.csv("labels", f"id,image,label\n{lines}", image=ImageColumn(name="image"))
    else:
        image = ImageColumn(name="image")
        await snapshots.database("labels", ROWS, as_csv=form == "text", image=image, target_rows=2)
    told = await verified(snapshots.stores, await snapshots.take(**said), prefix=snapshots.prefix, tables=True)
    assert [fault.why for fault in told.faults] == list(told.tables[0].faults)
    return told.tables[0]


@pytest.fixture
def snapshots(stores: Stores, tmp_path: Path) -> TableSnapshots:
    return TableSnapshots(stores, tmp_path, prefix="photos/")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("closure", ["warn", "hold", "off"])
async def test_rows_are_held_against_images(snapshots: TableSnapshots, form: str, closure: str) -> None:
    """P3, from the listing and the table alone: a row that names none is one without its image."""
    said = {"syncd.missing.labels": "3", "syncd.orphaned.labels": "1"} if closure != "off" else {}
    fit = await with_table(snapshots, form, **said, **{"syncd.closure.labels": closure})
    assert fit == TableFit(name="labels", rows=5, missing=3, orphaned=1)


async def test_what_the_commit_says_otherwise_of_rows_is_named(snapshots: TableSnapshots) -> None:
    said = {"syncd.missing.labels": "0", "syncd.orphaned.labels": "4", "syncd.rows.labels": "6"}
    fit = await with_table(snapshots, "parts", **said, **{"syncd.closure.labels": "warn"})
    some = "row 3: no image; row 4: no image; row 5: images/gone.png"
    assert fit.faults == (
        "its commit says 6 rows; found are 5",
        f"its commit says 0 rows without image; found are 3, as {some}",
        "its commit says 4 images without row; found are 1, as images/c.png",
    )


@pytest.mark.parametrize(("closure", "faults"), [({"syncd.closure.labels": "exclude"}, 2), ({}, 0)])
async def test_what_was_left_out_is_not_there(snapshots: TableSnapshots, closure: dict[str, str], faults: int) -> None:
    """Under exclude nothing that does not fit is there; of an older syncd it is not known whether it was so."""
    said = {"syncd.missing.labels": "3", "syncd.orphaned.labels": "1"}
    assert len((await with_table(snapshots, "csv", **said, **closure)).faults) == faults
    await snapshots.csv("labels", "id,image,label\n1,a.png,\n2,b.png,\n3,c.png,\n", image=ImageColumn(name="image"))
    found = await snapshots.take(**said, **closure)
    told = await verified(snapshots.stores, found, prefix=snapshots.prefix, tables=True)
    assert told.faults == []
    assert (told.tables[0].missing, told.tables[0].orphaned) == (0, 0)


async def test_a_table_without_images_is_counted(snapshots: TableSnapshots) -> None:
    await snapshots.csv("labels", "id,image\n1,a.png\n")
    await snapshots.database("boxes", ROWS)
    told = await verified(snapshots.stores, await snapshots.take(), prefix=snapshots.prefix, tables=True)
    assert told.tables == [
        TableFit(name="boxes", rows=5, unknown="its rows name no images"),
        TableFit(name="labels", rows=1, unknown="its rows name no images"),
    ]


async def test_a_table_that_is_none_is_a_fault_and_one_that_cannot_be_read_here_is_not(
    snapshots: TableSnapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    await snapshots.csv("labels", 'id,image\n1,"a"b\n')
    await snapshots.database("boxes", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    told = await verified(snapshots.stores, await snapshots.take(), prefix=snapshots.prefix, tables=True)
    boxes, _ = told.tables
    assert "pip install 'syncd[parquet]'" in boxes.unknown
    (fault,) = told.faults
    assert fault.key == "tables/labels"
    assert "cannot be read as a table" in fault.why
