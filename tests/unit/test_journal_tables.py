"""Tables in the journal: versions of several objects, read piece by piece, known again after a restart."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.errors import RepeatedRowError
from syncd.journal import Journal, adoption, pictures, problems, snapshots, tables
from syncd.journal.staging import Staged
from syncd.model import KnownObject, Problem, ProblemCode, RowImage, TableVersion
from syncd.sources.base import Inventory
from tests.support.memory_inventory import MemoryInventory
from tests.support.observing import START, fingerprint, present
from tests.support.table_versions import csv_version, table_object, table_version
from tests.unit.test_journal import due_keys, publish_all, stage_all

LATER = START + timedelta(seconds=100)
PART_0, PART_1 = "tables/labels/part-0.parquet", "tables/labels/part-1.parquet"
SCHEMA, CLOSURE = "tables/labels/_schema.json", "tables/labels/_closure.json"


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["journal", "memory"])
async def inventory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Inventory]:
    """The real one and the tests' own: they must agree."""
    if request.param == "memory":
        yield MemoryInventory()
    else:
        async with Journal(tmp_path) as opened:
            yield opened


def parts(zero: bytes, one: bytes | None, *, rows: tuple[int, int] = (2, 3), at=START) -> TableVersion:
    objects = [table_object(PART_0, zero, rows=rows[0], rows_digest=b"d0"), table_object(SCHEMA, b"{}")]
    if one is not None:
        objects.append(table_object(PART_1, one, rows=rows[1], rows_digest=b"d1"))
    return table_version("labels", *objects, columns=4, schema="{}", at=at)


async def rows_of(inventory: Inventory, name: str = "labels") -> dict[str, tuple[str, str | None]]:
    if isinstance(inventory, MemoryInventory):
        return {key: (row.part, row.image) for key, row in inventory.rows.get(name, {}).items()}
    found = await inventory.read(
        lambda connection: connection.execute(
            "SELECT row_key, part, seen_image FROM table_row WHERE table_name = ? AND seen = 1", (name,)
        ).fetchall()
    )
    return {key: (part, image) for key, part, image in found}


async def read_rows(inventory: Inventory, version: TableVersion, *rows: RowImage, changed: list[str]) -> None:
    await inventory.begin_rows(version.name)
    for row in rows:
        await inventory.add_rows(version.name, [row])
    await inventory.record_table(version, changed_parts=changed)


async def test_a_table_is_known_as_it_was_last_accepted(inventory):
    """What a restart needs, so as to write and send only the pieces that differ."""
    assert inventory.known_table("labels") is None
    await inventory.record_table(parts(b"zero", b"one"), changed_parts=None)
    known = inventory.known_table("labels")
    assert (known.rows, known.columns, known.schema, known.read_at) == (5, 4, "{}", START)
    assert not known.keeps_rows
    assert known.objects == tuple(KnownObject(found, staged=False) for found in parts(b"zero", b"one").objects)
    assert inventory.known_table("label") is None


async def test_it_is_known_which_objects_are_staged(journal):
    """The body of one that is staged need not be kept any more."""
    await journal.record_table(parts(b"zero", b"one"), changed_parts=None)
    await stage_all(journal)
    await journal.record_table(parts(b"zero", b"one, again"), changed_parts=None)
    staged = {found.object.key: found.staged for found in journal.known_table("labels").objects}
    assert staged == {SCHEMA: True, PART_0: True, PART_1: False}


async def test_only_pieces_that_changed_are_due_and_what_is_gone_is_deleted(journal):
    """P7. `_closure.json` is not the source's, and other tables are other tables."""
    others = ["tables/labels2.csv", "tables/labels2/part-0", "tables/label/part-0", "tables/labels.csv.csv"]
    await journal.record([present(key, b"x") for key in (*others, CLOSURE, "tables/labels.csv", "tables/labels/x/y")])
    await journal.record_table(parts(b"zero", b"one"), changed_parts=None)
    assert await due_keys(journal) == ([*others, CLOSURE, SCHEMA, PART_0, PART_1], [])
    await stage_all(journal)
    revision = (await journal.standing(count_up_to=1)).revision

    await journal.record_table(parts(b"zero", b"one", at=LATER), changed_parts=None)
    assert (await journal.standing(count_up_to=1)).revision == revision
    await journal.record_table(parts(b"zero again", None), changed_parts=None)
    assert await due_keys(journal) == ([PART_0], [PART_1])
    assert (await journal.standing(count_up_to=1)).revision == revision + 2


async def test_a_table_may_go_from_one_file_to_many_and_back(inventory):
    await inventory.record_table(csv_version("labels", b"id", rows=1), changed_parts=None)
    await inventory.record_table(parts(b"zero", b"one"), changed_parts=None)
    assert set(inventory.known_below("tables/")) == {PART_0, PART_1, SCHEMA}
    await inventory.record_table(csv_version("labels", b"id", rows=1), changed_parts=None)
    assert set(inventory.known_below("tables/")) == {"tables/labels.csv"}


async def test_rows_of_a_half_staged_table_are_those_that_are_staged(journal):
    await journal.record_table(parts(b"zero", b"one"), changed_parts=None)
    await stage_all(journal)
    await journal.record_table(csv_version("boxes", b"id", rows=9), changed_parts=None)
    assert (await journal.read(snapshots.summarise)).rows == {"labels": 5}  # of boxes nothing is staged yet
    await stage_all(journal)
    await publish_all(journal)
    assert (await journal.read(snapshots.summarise)).rows == {"boxes": 9, "labels": 5}


async def test_what_objects_hold_is_forgotten_with_their_last_trace(journal):
    for number, content in enumerate((b"1", b"2", b"3")):
        await journal.record_table(csv_version("labels", content, rows=1), changed_parts=None)
        await stage_all(journal)
        await publish_all(journal, f"snap-{number}")
    count = "SELECT count(*) FROM table_object"
    assert await journal.read(lambda connection: connection.execute(count).fetchone()) == (1,)


async def test_rows_of_changed_pieces_replace_those_they_held(inventory):
    a, b = "images/a.png", "images/b.png"
    await read_rows(
        inventory,
        parts(b"zero", b"one"),
        *[RowImage("1", PART_0, a), RowImage("2", PART_0, None), RowImage("3", PART_1, b)],
        changed=[PART_0, PART_1],
    )
    assert inventory.known_table("labels").keeps_rows
    await read_rows(inventory, parts(b"zero", b"one"), changed=[])  # nothing changed
    assert await rows_of(inventory) == {"1": (PART_0, a), "2": (PART_0, None), "3": (PART_1, b)}

    await read_rows(inventory, parts(b"zero!", b"one"), RowImage("1", PART_0, b), changed=[PART_0])
    assert await rows_of(inventory) == {"1": (PART_0, b), "3": (PART_1, b)}


async def test_a_row_may_move_to_another_piece(inventory):
    await read_rows(inventory, parts(b"z", b"o"), RowImage("1", PART_0, "images/a.png"), changed=[PART_0, PART_1])
    moved = RowImage("1", PART_1, "images/a.png")
    await read_rows(inventory, parts(b"zz", b"oo"), moved, changed=[PART_0, PART_1])
    assert await rows_of(inventory) == {"1": (PART_1, "images/a.png")}


async def test_the_rows_of_a_piece_that_is_gone_go_with_it(inventory):
    rows = [RowImage("1", PART_0, None), RowImage("3", PART_1, None)]
    await read_rows(inventory, parts(b"z", b"o"), *rows, changed=[PART_0, PART_1])
    await read_rows(inventory, parts(b"z", None), changed=[])
    assert await rows_of(inventory) == {"1": (PART_0, None)}


async def test_without_closure_no_rows_are_kept(inventory):
    await read_rows(inventory, parts(b"z", b"o"), RowImage("1", PART_0, None), changed=[PART_0, PART_1])
    await inventory.record_table(parts(b"z", b"o"), changed_parts=None)
    assert await rows_of(inventory) == {}
    assert not inventory.known_table("labels").keeps_rows


async def test_rows_of_a_version_that_was_never_finished_are_forgotten(inventory):
    await inventory.add_rows("labels", [RowImage("left over", PART_0, None)])
    await inventory.add_rows("boxes", [RowImage("another table's", "p", None)])
    await read_rows(inventory, parts(b"z", b"o"), RowImage("1", PART_0, None), changed=[PART_0])
    assert await rows_of(inventory) == {"1": (PART_0, None)}


async def test_a_row_key_that_comes_twice_is_refused(inventory):
    await inventory.add_rows("labels", [RowImage("1", PART_0, None)])
    with pytest.raises(RepeatedRowError, match="a row key came twice"):
        await inventory.add_rows("labels", [RowImage("2", PART_0, None), RowImage("1", PART_1, None)])
    await inventory.record_table(parts(b"z", b"o"), changed_parts=[PART_0])
    assert await rows_of(inventory) == {"1": (PART_0, None)}


async def test_a_row_key_that_comes_twice_says_nothing_against_the_journal(tmp_path):
    """Whatever a file holds, the next start need not examine the journal for it."""
    async with Journal(tmp_path) as journal:
        with pytest.raises(RepeatedRowError):
            await journal.add_rows("labels", [RowImage("1", PART_0, None), RowImage("1", PART_0, None)])
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


async def test_rows_of_a_piece_that_did_not_change_are_refused_and_nothing_is_recorded(inventory):
    await inventory.begin_rows("labels")
    await inventory.add_rows("labels", [RowImage("1", PART_1, None)])
    with pytest.raises(ValueError, match=r"part-1\.parquet came, which is not among"):
        await inventory.record_table(parts(b"z", b"o"), changed_parts=[PART_0])
    assert inventory.known_table("labels") is None
    assert list(inventory.known_below("tables/")) == []


@pytest.mark.parametrize("key", ["tables/boxes.csv", "tables/labels", "tables/labels2/part-0", CLOSURE, "images/a.png"])
async def test_an_object_of_something_else_is_refused(journal, key):
    with pytest.raises(ValueError, match="is not one of its objects"):
        await journal.record_table(table_version("labels", table_object(key, b"x")), changed_parts=None)


async def test_an_older_encoding_of_the_same_rows_takes_the_newest_word(journal):
    """A journal of version 1 knew no digest of rows."""
    bare = csv_version("labels", b"id", rows=1)
    await journal.record_table(bare, changed_parts=None)
    told = replace(bare, objects=(replace(bare.objects[0], rows_digest=b"d"),))
    await journal.record_table(told, changed_parts=None)
    assert [found.object.rows_digest for found in journal.known_table("labels").objects] == [b"d"]


async def test_what_is_under_way_of_tables_is_counted(journal):
    """Nothing is committed meanwhile: a snapshot might hold half a table (P2)."""

    async def unstaged() -> int:
        return (await journal.standing(count_up_to=1)).unstaged_tables

    await journal.record([present("images/a.png", b"a")])
    assert await unstaged() == 0
    await journal.record_table(parts(b"zero", b"one"), changed_parts=None)
    assert await unstaged() == 3
    puts, _ = await journal.due(LATER, 1000)
    (first,) = [change for change in puts if change.key == PART_0]
    batch = (await journal.begin_batch([first], LATER)).number
    assert await unstaged() == 3
    done = Staged(key=PART_0, sha256=fingerprint(b"zero").sha256, size_bytes=4, sent=True)
    await journal.finish_in_batch([done], LATER)
    assert await unstaged() == 2
    assert (await journal.standing(count_up_to=1)).staged_at == batch
    await stage_all(journal)
    assert await unstaged() == 0
    await journal.record_table(parts(b"zero", None), changed_parts=None)
    assert await unstaged() == 1  # to be deleted


async def test_what_was_on_the_branch_before_is_under_way_only_if_it_belongs_to_a_table_read_here(journal):
    """Else a table that nobody configures any more would keep everything from being published."""
    found = [("tables/old.csv", b"o" * 32, 1), ("tables/labels/part-9.parquet", b"p" * 32, 1)]
    await journal.write(adoption.adopt_committed, found, START)
    await journal.write(adoption.finish_adoption, "head")
    assert (await journal.standing(count_up_to=1)).unstaged_tables == 0
    await journal.record_table(parts(b"zero", b"one"), changed_parts=None)
    assert (await journal.standing(count_up_to=1)).unstaged_tables == 4


async def test_counting_what_is_under_way_does_not_walk_the_images(journal):
    def plan(connection: sqlite3.Connection) -> list[str]:
        return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + pictures._UNSTAGED_TABLES)]

    assert not [line for line in await journal.read(plan) if line.startswith("SCAN entry") and "unstaged" not in line]


async def test_a_table_that_is_not_configured_any_more_is_forgotten(journal):
    await read_rows(journal, parts(b"z", b"o"), RowImage("1", PART_0, None), changed=[PART_0, PART_1])
    await journal.record_table(csv_version("boxes", b"id", rows=9), changed_parts=None)
    await journal.write(tables.forget, ["boxes"])
    assert journal.known_table("labels") is None
    assert await rows_of(journal) == {}
    assert journal.known_table("boxes") is not None


async def test_a_version_that_is_half_staged_is_finished_before_its_table_is_forgotten(journal):
    """P2: else the next snapshot would hold parts of two versions."""
    await read_rows(journal, parts(b"z", b"o"), RowImage("1", PART_0, None), changed=[PART_0, PART_1])
    await stage_one(journal, PART_0)
    assert await journal.write(tables.forget, []) == ["labels"]
    assert (await journal.standing(count_up_to=1)).unstaged_tables == 2
    assert await rows_of(journal) == {}
    assert journal.known_table("labels") is not None
    assert await due_keys(journal) == ([SCHEMA, PART_1], [])
    await stage_all(journal)
    assert (await journal.standing(count_up_to=1)).unstaged_tables == 0
    assert await journal.write(tables.forget, []) == []
    assert journal.known_table("labels") is None
    await publish_all(journal)
    assert (await journal.read(snapshots.summarise)).rows == {"labels": 5}


async def test_a_version_of_which_nothing_was_sent_comes_to_nothing_with_its_table(journal):
    """What is published of the table stays, and a table that was never published is not published now."""
    await journal.record_table(parts(b"z", b"o"), changed_parts=None)
    await stage_all(journal)
    await publish_all(journal)
    await journal.record_table(parts(b"z", None), changed_parts=None)
    await journal.record_table(parts(b"zz", None), changed_parts=None)
    new = table_object("tables/boxes/part-0.parquet", b"b")
    await journal.record_table(table_version("boxes", new, schema="{}"), changed_parts=None)
    assert await due_keys(journal) == ([PART_0, "tables/boxes/part-0.parquet"], [PART_1])
    await journal.write(tables.forget, [])
    assert await due_keys(journal) == ([], [])
    assert await journal.read(pictures.entry, "tables/boxes/part-0.parquet") is None
    assert (journal.known_table("labels"), journal.known_table("boxes")) == (None, None)
    standing = await journal.standing(count_up_to=1)
    assert (standing.uncommitted, standing.unstaged_tables, standing.waiting_since) == (0, 0, None)
    assert (await journal.read(snapshots.summarise)).rows == {"labels": 5}

    await journal.record_table(parts(b"zzz", None), changed_parts=None)  # the table is configured again
    assert await due_keys(journal) == ([PART_0], [PART_1])


async def test_what_a_forgotten_table_held_is_not_sent_to_another_branch(journal):
    """The branch was made anew: nobody has the bodies any more."""
    await journal.record_table(parts(b"z", b"o"), changed_parts=None)
    await stage_all(journal)
    await publish_all(journal)
    await journal.write(tables.forget, [])
    await journal.write(adoption.forget_branch)
    assert await due_keys(journal) == ([SCHEMA, PART_0, PART_1], [])
    await journal.write(tables.forget, [])
    assert await due_keys(journal) == ([], [])


async def test_deletions_are_finished_too(journal):
    await journal.record_table(parts(b"z", b"o"), changed_parts=None)
    await stage_all(journal)
    await journal.record_table(parts(b"z", None), changed_parts=None)
    await journal.write(tables.forget, [])
    assert (await journal.standing(count_up_to=1)).unstaged_tables == 1
    assert await due_keys(journal) == ([], [PART_1])


async def stage_one(journal: Journal, key: str) -> None:
    (change,) = [one for kind in await journal.due(LATER, 1000) for one in kind if one.key == key]
    begun = await journal.begin_batch([change], LATER)
    found = change.fingerprint
    done = Staged(key=key, sha256=found and found.sha256, size_bytes=found and found.size_bytes, sent=True)
    await journal.end_batch(begun.number, LATER, [done])


async def tried_in_vain(journal: Journal) -> None:
    """As when its file is not what was seen: it is to be tried again."""
    puts, _ = await journal.due(LATER, 1000)
    begun = await journal.begin_batch(puts, LATER)
    more = {"sent": False, "refused": True, "changing": True, "retry_at": LATER + timedelta(seconds=1)}
    outcomes = [Staged(key=one.key, sha256=one.staged, size_bytes=one.staged_bytes, **more) for one in puts]
    await journal.end_batch(begun.number, LATER, outcomes)
    assert (await journal.standing(count_up_to=1)).changing_revision is not None


@pytest.mark.parametrize("tried", [False, True])
async def test_a_file_that_was_never_sent_is_forgotten_with_its_table(journal, tried):
    """P1: nobody reads it any more, so no call is to wait for it."""
    await journal.record_table(csv_version("labels", b"id", rows=1), changed_parts=None)
    if tried:
        await tried_in_vain(journal)
    await journal.write(tables.forget, ["boxes"])
    assert await journal.read(pictures.entry, "tables/labels.csv") is None
    assert journal.known_table("labels") is None
    standing = await journal.standing(count_up_to=1)
    assert (standing.waiting_since, standing.changing_revision, standing.uncommitted) == (None, None, 0)


@pytest.mark.parametrize("tried", [False, True])
async def test_a_newer_file_of_a_table_that_is_not_configured_any_more_is_not_waited_for(journal, tried):
    """What is published of the table stays."""
    await journal.record_table(csv_version("labels", b"v1", rows=1), changed_parts=None)
    await stage_all(journal)
    await publish_all(journal)
    await journal.record_table(csv_version("labels", b"v2", rows=2), changed_parts=None)
    if tried:
        await tried_in_vain(journal)
    await journal.write(tables.forget, [])
    standing = await journal.standing(count_up_to=1)
    assert (standing.waiting_since, standing.changing_revision, standing.uncommitted) == (None, None, 0)
    assert await due_keys(journal) == ([], [])
    entry = await journal.read(pictures.entry, "tables/labels.csv")
    assert entry.staged == entry.committed == fingerprint(b"v1").sha256
    assert (entry.kept, entry.not_before, entry.attempts) == (True, None, 0)
    assert (await journal.read(snapshots.summarise)).rows == {"labels": 1}
    assert journal.known_table("labels") is None


async def test_what_was_staged_of_it_before_is_published_and_then_stays(journal):
    await journal.record_table(csv_version("labels", b"v1", rows=1), changed_parts=None)
    await stage_all(journal)
    await journal.record_table(csv_version("labels", b"v2", rows=2), changed_parts=None)
    await journal.write(tables.forget, [])
    assert (await journal.standing(count_up_to=1)).unstaged_tables == 0  # one file is not half a table
    await publish_all(journal)
    await journal.write(tables.forget, [])
    standing = await journal.standing(count_up_to=1)
    assert (standing.waiting_since, standing.uncommitted) == (None, 0)
    entry = await journal.read(pictures.entry, "tables/labels.csv")
    assert entry.committed == entry.staged == fingerprint(b"v1").sha256
    assert journal.known_table("labels") is None


@pytest.mark.parametrize("published", [False, True])
async def test_a_file_that_was_under_way_is_left_to_be_found_out(journal, published):
    """P4: whether it came to the branch is not known."""
    if published:
        await journal.record_table(csv_version("labels", b"v1", rows=1), changed_parts=None)
        await stage_all(journal)
        await publish_all(journal)
    await journal.record_table(csv_version("labels", b"v2", rows=2), changed_parts=None)
    puts, _ = await journal.due(LATER, 1000)
    await journal.begin_batch(puts, LATER)
    await journal.write(tables.forget, [])
    assert await due_keys(journal) == (["tables/labels.csv"], [])
    assert journal.known_table("labels") is not None


async def publish_and_remove(journal: Journal) -> None:
    await journal.record_table(csv_version("labels", b"v1", rows=1), changed_parts=None)
    await stage_all(journal)
    await publish_all(journal)
    await journal.record_table(csv_version("labels", b"v2", rows=2), changed_parts=None)
    await journal.write(tables.forget, [])


async def test_a_table_that_comes_back_is_taken_up_where_it_was(journal):
    await publish_and_remove(journal)
    await journal.record_table(csv_version("labels", b"v2", rows=2), changed_parts=None)
    assert await due_keys(journal) == (["tables/labels.csv"], [])
    assert not (await journal.read(pictures.entry, "tables/labels.csv")).kept
    await journal.record_table(csv_version("labels", b"v1", rows=1), changed_parts=None)
    assert await due_keys(journal) == ([], [])


async def test_a_table_that_comes_back_in_parts_takes_the_place_of_its_file(journal):
    """Else the snapshot would hold it twice."""
    await publish_and_remove(journal)
    before = await journal.standing(count_up_to=1)
    await journal.record_table(parts(b"zero", None, at=LATER), changed_parts=None)
    assert await due_keys(journal) == ([SCHEMA, PART_0], ["tables/labels.csv"])
    after = await journal.standing(count_up_to=1)
    assert (after.revision, after.last_change_at) == (before.revision + 3, LATER)
    await stage_all(journal)
    await publish_all(journal, "snap-2")
    assert await journal.read(pictures.entry, "tables/labels.csv") is None


async def test_parts_that_a_file_was_to_take_the_place_of_stay_if_it_never_comes(journal):
    await journal.record_table(parts(b"zero", b"one"), changed_parts=None)
    await stage_all(journal)
    await publish_all(journal)
    await journal.record_table(csv_version("labels", b"v2", rows=2), changed_parts=None)
    assert await due_keys(journal) == (["tables/labels.csv"], [SCHEMA, PART_0, PART_1])
    await journal.write(tables.forget, [])
    assert await due_keys(journal) == ([], [])
    assert (await journal.standing(count_up_to=1)).waiting_since is None
    assert (await journal.read(snapshots.summarise)).rows == {"labels": 5}


async def test_problems_of_tables_that_are_not_configured_any_more_are_forgotten(journal):
    """P8: nobody would ever take them back."""
    for source in ("images", "labels", "boxes"):
        problem = Problem(source=source, path="p", code=ProblemCode.BAD_TABLE, detail="d", since=START)
        await journal.set_problems(source, [problem])
    await journal.write(tables.forget, ["boxes"])
    assert sorted(await journal.read(problems.counts)) == ["boxes", "images"]


async def test_what_is_known_of_each_table_is_shown(journal):
    """P8: how many rows, and how many of them and of the images do not fit, once they were compared."""
    assert await journal.read(tables.pictures) == []
    await journal.record_table(parts(b"zero", b"one"), changed_parts=None)
    (shown,) = await journal.read(tables.pictures)
    assert (shown.name, shown.missing, shown.orphaned) == ("labels", None, None)
    assert shown.rows == parts(b"zero", b"one").rows


async def snapshot_of(journal: Journal, moment, **rows: int) -> None:
    await publish_all(journal, tag=f"snap-{moment}")
    metadata = json.dumps({f"syncd.rows.{table}": str(count) for table, count in rows.items()})
    change = "UPDATE snapshot SET begun_at = ?, metadata = ? WHERE sequence = (SELECT max(sequence) FROM snapshot)"
    await journal.write(lambda connection: connection.execute(change, (moment.timestamp(), metadata)))


async def test_snapshots_tell_how_many_rows_a_table_had_lately(journal):
    """P5: a large loss may come in small pieces, and a restart between two of them. The one before counts, too."""
    assert journal.published_rows("labels", START) == []
    moments = [START + timedelta(minutes=number) for number in range(5)]
    for moment, rows in zip(moments, (50, 40, 30, None, 20), strict=True):
        await snapshot_of(journal, moment, boxes=7, **({} if rows is None else {"labels": rows}))
    found = journal.published_rows("labels", moments[1] + timedelta(seconds=30))
    assert found == [(moments[1], 40), (moments[2], 30), (moments[4], 20)]
    assert journal.published_rows("label", START) == []
