"""What a version of a table would take out of what fits together, by its rows alone (P5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.journal import absence, closure, observations, table_rows, tables
from syncd.journal.paired_loss import paired_loss
from syncd.model import DeletionLimits, KnownObject, KnownTable, PairedLoss, RowImage
from syncd.sources.tables.agreement import Agreement
from tests.support.memory_inventory import MemoryInventory
from tests.support.observing import START, absent, present
from tests.support.table_versions import table_object, table_version
from tests.unit.test_closure import commit, images, new_journal, stage

Rows = dict[str, tuple[str, str | None]]  # by key: the part, and the image it names


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(new_journal()) as opened:
        closure.configure(opened, ["labels"])
        yield opened


def shown(connection: sqlite3.Connection, image: str | None) -> bool:
    """As a row is shown under ``exclude``."""
    query = "SELECT count(*) FROM entry WHERE directory || name = ? AND staged_sha256 IS NOT NULL"
    return image is not None and connection.execute(query, (image,)).fetchone()[0] == 1


def lay_by(connection: sqlite3.Connection, rows: Rows, *, excludes: bool = True) -> None:
    table_rows.begin(connection, "labels")
    told = [RowImage(key, part, image, not excludes or shown(connection, image)) for key, (part, image) in rows.items()]
    table_rows.add(connection, "labels", told)


def accept(connection: sqlite3.Connection, rows: Rows, *changed: str, excludes: bool = True) -> None:
    lay_by(connection, rows, excludes=excludes)
    version = table_version("labels", table_object("tables/labels.csv", repr(rows).encode(), rows=len(rows)))
    tables.record(connection, version, changed_parts=list(changed or {part for part, _ in rows.values()}))


def named(*names: str | None, part: str = "p") -> Rows:
    return {f"{number}": (part, name and f"images/{name}") for number, name in enumerate(names)}


def lost(connection: sqlite3.Connection, rows: Rows, *changed: str) -> tuple[int, int]:
    lay_by(connection, rows)
    found = paired_loss(connection, "labels", changed or ["p"])
    return found.rows, found.images


def paired_rows(connection: sqlite3.Connection) -> int | None:
    return paired_loss(connection, "labels", [], counts_all=True).of_rows


@pytest.fixture
def three(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Three rows, each with its image, published."""
    images(connection, "a", "b", "c")
    accept(connection, named("a", "b", "c"))
    stage(connection)
    accept(connection, named("a", "b", "c"))
    commit(connection)
    return connection


def test_a_first_version_and_rows_before_their_images_lose_nothing(connection):
    assert lost(connection, named("a", "b", None)) == (0, 0)
    accept(connection, named("a", "b", None))
    assert lost(connection, named("a", "b", None, "c")) == (0, 0)
    images(connection, "a")
    assert lost(connection, named("a", "b", None, "c")) == (0, 0)
    assert paired_rows(connection) == 1


@pytest.mark.parametrize(
    ("why", "rows", "expected"),
    [
        ("nothing changed", named("a", "b", "c"), (0, 0)),
        ("all rows name what is not there", named("new/a", "new/b", "new/c"), (3, 3)),
        ("no row names anything", named(None, None, None), (3, 3)),
        ("all rows name one image", named("a", "a", "a"), (0, 2)),
        ("rows are gone", named("a"), (2, 2)),
        ("all rows are gone", {}, (3, 3)),
        ("rows come before their images", named("a", "b", "c", "d", "e"), (0, 0)),
        ("rows are named otherwise", {f"new {key}": row for key, row in named("a", "b", "c").items()}, (0, 0)),
        ("other rows without images took their places", {"x": ("p", "images/x"), "y": ("p", None)}, (3, 3)),
        ("images are exchanged", named("b", "c", "a"), (0, 0)),
    ],
)
def test_what_rows_take_away(three, why, rows, expected):
    assert lost(three, rows) == expected, why


def test_images_of_the_source_that_are_not_sent_yet_are_there(three):
    """As after a folder was renamed, and the table with it: they come to the branch once rows name them."""
    images(three, "new/a", "new/b", "new/c")
    assert lost(three, named("new/a", "new/b", "new/c")) == (0, 0)
    lay_by(three, named("new/a", "new/b", "new/c"))
    assert paired_loss(three, "labels", ["p"]) == PairedLoss(0, 0, 3)  # three of six are withheld as yet


def test_rows_of_images_that_went_are_no_loss_of_the_table(three):
    """The person who let the images go need not be asked again; nor while they are being asked."""
    observations.record(three, [absent(f"images/{name}") for name in "ab"])
    assert paired_rows(three) == 1
    assert lost(three, named("a", "b", "c")) == (0, 0)
    stage(three)
    assert lost(three, named("a", "b", "c")) == (0, 0)
    accept(three, named("a", "b", "c"))
    commit(three)
    assert lost(three, named("a", "b", "c")) == (0, 0)
    assert lost(three, named("a", "b", "new/c")) == (1, 1)


def test_an_image_that_a_person_keeps_published_is_there(three):
    observations.record(three, [absent("images/a")])
    (revision,) = three.execute("SELECT revision FROM state").fetchone()
    absence.answer(three, revision, keep=True)
    assert lost(three, named("x", "b", "c")) == (1, 0)


def test_rows_that_are_published_without_an_image_are_lost_once_only_pairs_are(connection):
    """As when ``closure`` becomes "exclude" with a prefix that fits no image: nothing would be left."""
    images(connection, "a")
    accept(connection, named("a", "b", None), excludes=False)
    commit(connection)
    assert paired_rows(connection) == 3
    assert lost(connection, named("a", "b", None)) == (2, 0)
    accept(connection, named("a", "b", None))
    assert lost(connection, named("a", "b", None)) == (0, 0)


def test_only_the_pieces_that_changed_are_looked_at(three):
    accept(three, named("a", "b", "c") | {"9": ("q", "images/a")}, "p", "q")
    assert lost(three, {"9": ("q", None)}, "q") == (1, 0)
    assert lost(three, {"9": ("q", None), "0": ("q", None)}, "q") == (2, 1)  # it moved there
    assert lost(three, {}, "q") == (1, 0)
    assert lost(three, {}, "p", "q") == (4, 3)


NAMES = ["images/a", "images/b/a", "images/b/é", "images/b/c/d"]
ROWS = st.dictionaries(
    st.sampled_from("123456"), st.tuples(st.sampled_from("pqr"), st.none() | st.sampled_from(NAMES)), max_size=6
)


@settings(deadline=None)
@given(
    before=ROWS,
    after=ROWS,
    parts=st.sets(st.sampled_from("pqr")),
    first=st.sets(st.sampled_from(NAMES)),
    then=st.sets(st.sampled_from(NAMES)),
)
def test_it_is_as_if_all_rows_were_compared(before: Rows, after: Rows, parts: set[str], first: set, then: set) -> None:
    """Both versions against the images that are there in the end; what goes has been published, here."""
    with closing(new_journal()) as connection:
        closure.configure(connection, ["labels"])
        observations.record(connection, [present(name, b"1") for name in sorted(first)])
        accept(connection, before, "p", "q", "r")
        stage(connection)
        accept(connection, before, "p", "q", "r")
        commit(connection)
        observations.record(connection, [present(name, b"1") for name in sorted(then - first)])
        observations.record(connection, [absent(name) for name in sorted(first - then)])
        laid_by = {key: row for key, row in after.items() if row[0] in parts}
        now = {key: row for key, row in before.items() if row[0] not in parts} | laid_by
        lay_by(connection, laid_by)
        found = paired_loss(connection, "labels", sorted(parts))
        paired = [[image for _, image in rows.values() if image in then] for rows in (before, now)]
        assert found.rows == len(paired[0]) - len(paired[1])
        assert found.images == len(set(paired[0])) - len(set(paired[1]))
        assert paired_rows(connection) == len(paired[0])


def test_an_image_that_goes_while_it_is_counted_does_not_make_one_row_all_there_are() -> None:
    """What is lost and of how much are of one moment: else the last row with an image would be held as if all went."""
    of_a_row_that_went = [PairedLoss(1, 0, 2), PairedLoss(0, 0, 1, 1)]  # before and after its image went, too

    class Inventory(MemoryInventory):
        def paired_loss(self, *_: object, counts_all: bool = False) -> PairedLoss:
            found = of_a_row_that_went.pop(0)
            assert counts_all == (found.of_rows is not None)
            return found

    part = table_object("tables/labels/part-0.parquet", b"p", rows=2, hidden=1)
    known = KnownTable(
        name="labels",
        objects=(KnownObject(object=part, staged=True),),
        rows=2,
        columns=2,
        schema="",
        keeps_rows=True,
        read_at=START,
    )
    limits = DeletionLimits(max_delete_percent=100)
    assert Agreement("labels", Inventory()).why_held(known, 1, limits=limits, now=START, changed_parts=["p"]) == ""
    assert of_a_row_that_went == []
