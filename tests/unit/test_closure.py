"""Closure: what does not fit is named, and finding it costs what changed, not how much there is (P3, P7)."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncd.journal import closure, closure_sql, exclusion, migrate, observations, snapshots, staging, table_rows, tables
from syncd.journal.closure import Listed, Pairing
from syncd.journal.staging import Staged
from syncd.model import RowImage, Trigger
from tests.support.observing import START, absent, present
from tests.support.table_versions import table_object, table_version

BY_CHANGE = [
    *["COUNT", "LIST_MISSING", "LIST_ORPHANED", "KEEP_ROWS", "FORGET_ROWS"],
    *["FORGET_MISSING", "ADD_MISSING", "FORGET_ORPHANED", "ADD_ORPHANED", "MISSHOWN"],
]


def new_journal() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate.bring_up_to_date(connection, Path("journal.db"))
    return connection


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(new_journal()) as opened:
        yield opened


def images(connection: sqlite3.Connection, *names: str, content: bytes = b"1") -> None:
    observations.record(connection, [present(f"images/{name}", content) for name in names])


def read_table(connection: sqlite3.Connection, rows: dict[str, str | None], name: str = "labels") -> None:
    """One more version, in one part, of a table that names these images."""
    table_rows.begin(connection, name)
    table_rows.add(connection, name, [RowImage(key, "p", image and f"images/{image}") for key, image in rows.items()])
    version = table_version(name, table_object(f"tables/{name}.csv", repr(rows).encode(), rows=len(rows)))
    tables.record(connection, version, changed_parts=["p"])


def stage(connection: sqlite3.Connection) -> None:
    puts, deletes = staging.due(connection, START, 1_000_000)
    staging.begin(connection, (*puts, *deletes), START)
    staging.finish(
        connection,
        [Staged(key=put.key, sha256=put.fingerprint.sha256, size_bytes=1, sent=True) for put in puts]
        + [Staged(key=delete.key, sha256=None, size_bytes=None, sent=True) for delete in deletes],
        START,
    )


def commit(connection: sqlite3.Connection) -> None:
    stage(connection)
    begun = {"intent": f"{connection.total_changes}", "trigger": Trigger.QUIET, "tag": "t", "message": ""}
    snapshots.begin(connection, snapshots.summarise(connection), metadata={}, now=START, **begun)
    opened = snapshots.open_snapshot(connection)
    snapshots.committed(connection, opened.sequence, "c")
    snapshots.merged(connection, opened.sequence, "m", START)
    snapshots.tagged(connection, opened.sequence)


def labels(connection: sqlite3.Connection) -> Pairing:
    return closure.check(connection, ["labels"])["labels"]


def test_rows_and_images_that_fit(connection):
    images(connection, "a.png", "b.png")
    read_table(connection, {"1": "a.png", "2": "b.png", "3": "a.png"})
    stage(connection)
    assert labels(connection) == Pairing(0, 0)
    assert not labels(connection)


def test_an_image_counts_once_it_is_staged_and_a_row_once_it_is_read(connection):
    images(connection, "a.png", "b.png")
    read_table(connection, {"1": "a.png", "2": None, "3": "c.png"})
    assert labels(connection) == Pairing(3, 0)
    stage(connection)
    assert labels(connection) == Pairing(2, 1)
    assert closure.listed(connection, "labels", 10) == Listed(
        pairing=Pairing(2, 1), rows=(("2", None), ("3", "images/c.png")), images=("images/b.png",)
    )


@pytest.mark.parametrize("committed", [False, True])
def test_a_name_is_a_name_byte_for_byte(connection, committed):
    images(connection, "Cat.png", "ä.png", "a/b.png")
    read_table(connection, {"1": "cat.png", "2": "a\u0308.png", "3": "a//b.png", "4": "./a/b.png", "5": "a/b.png"})
    commit(connection) if committed else stage(connection)
    assert labels(connection) == Pairing(4, 2)


def test_only_images_count_as_images(connection):
    """A table's own file is no image, whatever a row says; nor is a name cut short at a NUL."""

    def read(keys: str) -> None:
        names = ["images/../tables/labels.csv", "images/a.png\0", "tables/labels.csv", ""]
        rows = [RowImage(key + name, "p", name) for key in keys for name in names]
        table_rows.add(connection, "labels", rows)
        found = table_object("tables/labels.csv", keys.encode(), rows=len(rows))
        tables.record(connection, table_version("labels", found), changed_parts=["p"])

    images(connection, "a.png")
    read("x")
    stage(connection)
    assert labels(connection) == Pairing(4, 1)
    commit(connection)
    read("xyz")
    assert labels(connection) == Pairing(12, 1)


def test_each_table_is_compared_with_all_images(connection):
    images(connection, "a.png", "b.png")
    read_table(connection, {"1": "a.png"})
    read_table(connection, {"1": "b.png", "2": "c.png"}, "boxes")
    stage(connection)
    both = {"labels": Pairing(0, 1), "boxes": Pairing(1, 1)}
    assert closure.check(connection, ["labels", "boxes", "never read"]) == both


def test_deleting_an_image_leaves_its_rows_without_one_until_they_go_too(connection):
    images(connection, "a.png", "b.png")
    read_table(connection, {"1": "a.png", "2": "a.png", "3": "b.png"})
    commit(connection)
    observations.record(connection, [absent("images/a.png")])
    assert labels(connection) == Pairing(0, 0)  # it is still staged
    commit(connection)
    assert labels(connection) == Pairing(2, 0)
    read_table(connection, {"3": "b.png"})
    assert labels(connection) == Pairing(0, 0)


def test_a_version_read_while_a_commit_is_on_its_way_is_compared_with_the_next(connection):
    images(connection, "a.png")
    read_table(connection, {"1": "a.png"})
    stage(connection)
    begun = {"intent": "i", "trigger": Trigger.QUIET, "tag": "t", "message": ""}
    snapshots.begin(connection, snapshots.summarise(connection), metadata={}, now=START, **begun)
    read_table(connection, {"1": "b.png"})
    snapshots.committed(connection, 1, "c")
    assert labels(connection) == Pairing(1, 1)
    images(connection, "b.png")
    stage(connection)
    assert labels(connection) == Pairing(0, 1)


def test_closure_turned_on_over_committed_images_and_off_again(connection):
    images(connection, "a.png", "b.png")
    commit(connection)
    read_table(connection, {"1": "a.png"})
    assert labels(connection) == Pairing(0, 1)
    closure.pair_all(connection, "labels")
    assert labels(connection) == Pairing(0, 1)
    closure.forget(connection, [])
    assert closure.check(connection, ["labels"]) == {}
    assert closure.listed(connection, "labels", 10) == Listed(pairing=Pairing(0, 0), rows=(), images=())
    assert connection.execute(
        "SELECT (SELECT count(*) FROM table_row), (SELECT count(*) FROM missing), (SELECT count(*) FROM orphaned)"
    ).fetchone() == (0, 0, 0)


def test_what_is_published_of_it_is_the_same_whenever_the_same_does_not_fit(connection):
    images(connection, "a.png", "ü.png")
    read_table(connection, {"2": None, "1": 'no "such".png'})
    stage(connection)
    before = closure.closure_json("labels", closure.listed(connection, "labels", closure.MOST_LISTED))
    commit(connection)
    after = closure.closure_json("labels", closure.listed(connection, "labels", closure.MOST_LISTED))
    assert before == after
    assert json.loads(after) == {
        "table": "labels",
        "missing": {
            "count": 2,
            "rows": [{"key": "1", "image": 'images/no "such".png'}, {"key": "2", "image": None}],
            "more": False,
        },
        "orphaned": {"count": 2, "images": ["images/a.png", "images/ü.png"], "more": False},
    }


def test_a_long_list_is_cut_off_and_says_so():
    rows = tuple((f"{number:06}", None) for number in range(closure.MOST_LISTED + 5))
    found = Listed(pairing=Pairing(20_000, 1), rows=rows, images=("images/a.png",))
    told = json.loads(closure.closure_json("labels", found))
    assert (len(told["missing"]["rows"]), told["missing"]["count"], told["missing"]["more"]) == (10_000, 20_000, True)
    assert told["orphaned"]["more"] is False


@pytest.mark.parametrize("statement", BY_CHANGE)
def test_what_counts_by_change_never_walks_all_rows_or_entries(connection, statement):
    """P7: read from SQLite's own plan. What it walks from end to end are its own lists of what changed."""
    sql = "EXPLAIN QUERY PLAN " + getattr(closure_sql, statement)
    steps = [step for *_, step in connection.execute(sql, {"name": "labels", "limit": 1})]
    lists = {step.split()[1] for step in steps if step.startswith(("MATERIALIZE", "CO-ROUTINE"))}
    walked = {step.split()[1] for step in steps if step.startswith("SCAN")}
    assert walked <= lists | {"a", "c", "m", "t"}  # as they call these lists
    looked_up = [step.removeprefix("SEARCH ") for step in steps if step.startswith("SEARCH")]
    whole_table = [step for step in looked_up if step.endswith("(table_name=?)")]
    assert {step.split()[0] for step in whole_table if "table_row_changed" not in step} <= {"m", "o"}  # what is unfit
    assert looked_up


def work(connection: sqlite3.Connection, call: Callable[[sqlite3.Connection], object]) -> int:
    """How many instructions SQLite carries out."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(count, 1)
    call(connection)
    connection.set_progress_handler(None, 1)
    return steps


@functools.cache
def _grown(count: int) -> bytes:
    with closing(new_journal()) as connection:
        images(connection, *[f"{number % 50}/{number}.png" for number in range(count)])
        names = [f"{number % 50}/{number + count // 10}.png" for number in range(count)]
        read_table(connection, {f"{number}": name for number, name in enumerate(names)})
        commit(connection)
        table_rows.add(connection, "labels", [RowImage("new", "q", "images/new.png"), RowImage("other", "q", None)])
        tables.record(connection, table_version("labels", table_object("tables/labels.csv", b"2")), changed_parts=["q"])
        images(connection, "new.png", "another.png")
        observations.record(connection, [absent("images/45/45.png")])
        stage(connection)
        return connection.serialize()


def grown(count: int) -> sqlite3.Connection:
    """A published table of this many rows and images, a tenth of each without the other; then a few of each change."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(_grown(count))
    return connection


@pytest.mark.parametrize(
    "call",
    [
        lambda connection: closure.check(connection, ["labels"]),
        lambda connection: closure.listed(connection, "labels", 5),
        lambda connection: closure.misshown(connection, "labels"),
        closure.take_over,
    ],
)
def test_one_change_costs_the_same_among_many(call):
    """P7: not more work in a hundred times the rows, counted in SQLite's instructions."""
    with closing(grown(200)) as few, closing(grown(20_000)) as many:
        before = labels(many)
        assert work(many, call) < 1.1 * work(few, call)
        assert labels(many) == before


def test_the_cost_of_a_new_part_follows_its_rows():
    """P7: the rows of the parts that did not change are not even read."""

    def one_part(connection: sqlite3.Connection) -> None:
        version = table_version("labels", table_object("tables/labels.csv", b"3"))
        tables.record(connection, version, changed_parts=["q"])

    with closing(grown(200)) as few, closing(grown(20_000)) as many:
        for connection in (few, many):
            table_rows.add(connection, "labels", [RowImage("new", "q", "images/a.png")])
        assert work(many, one_part) < 1.1 * work(few, one_part)


@pytest.mark.parametrize(
    "call",
    [
        lambda connection: images(connection, "x.png"),
        lambda connection: images(connection, "new.png"),
        lambda connection: tables.record(
            connection, table_version("labels", table_object("tables/labels.csv", b"3")), changed_parts=["q"]
        ),
    ],
    ids=["an image no row names", "an image that a row names", "a row"],
)
def test_under_exclude_one_change_costs_the_same_among_many(call):
    """P7: whether an image is to be withheld is looked up; only turning it on walks all images."""
    with closing(grown(200)) as few, closing(grown(20_000)) as many:
        for connection in (few, many):
            closure.configure(connection, ["labels"])
            table_rows.add(connection, "labels", [RowImage("new", "q", "images/another.png")])
        assert work(many, call) < 1.1 * work(few, call)
        withheld = [exclusion.withheld(connection, "labels", 0)[0] for connection in (few, many)]
        assert 0 < withheld[0] < withheld[1]


def test_turning_exclude_off_brings_all_images_back(connection):
    images(connection, "a.png", "b.png")
    read_table(connection, {"1": "a.png"})
    closure.configure(connection, ["labels"])
    assert exclusion.withheld(connection, "labels", 5) == (1, ["images/b.png"])
    stage(connection)
    assert closure.misshown(connection, "labels") == set()
    closure.configure(connection, [])
    puts, _ = staging.due(connection, START, 10)
    assert [put.key for put in puts] == ["images/b.png"]
