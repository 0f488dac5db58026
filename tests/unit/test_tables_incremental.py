"""Which parts are read again, and what becomes of a version when the database tells of changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.model import RowImage
from syncd.sources.tables import parquet
from syncd.sources.tables.base import (
    ChangeAware,
    Column,
    KeyRange,
    Kind,
    Row,
    TableChangingError,
    TableFaultError,
    TableUnavailableError,
    Tally,
)
from syncd.sources.tables.images import ImageColumn
from syncd.sources.tables.incremental import Baseline, ChangesUntoldError, Follower, SeenPart, plan, split
from syncd.sources.tables.parts import TARGET_BYTES, Begun, Part, cut
from syncd.sources.tables.publish import KnownObject, Published, Publisher
from syncd.sources.tables.spool import Spool

START = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = False, True
TARGET_ROWS = 16


class ChangingTable:
    """A table in memory that tells of changes, too many rather than too few."""

    def __init__(self, rows: dict[int, str], *, target_bytes: int = TARGET_BYTES) -> None:
        self.target_bytes = target_bytes  # of its parts
        self.rows, self.written, self.moment = dict(rows), dict.fromkeys(rows, 0), 1
        self.lag = 0  # how long the oldest writer has been under way: all since then may be new
        self.uncounted: dict[int, str] = {}  # rows of a partition that comes after the count
        self.tells, self.error, self.tallied = True, None, 0

    def put(self, key: int, label: str) -> None:
        self.put_untold(key, label)
        self.written[key] = self.moment
        self.moment += 1

    def put_untold(self, key: int, label: str) -> None:
        self.rows[key] = label
        self.written.setdefault(key, 0)

    def delete(self, key: int) -> None:
        del self.rows[key], self.written[key]


class ChangingReading:
    """Reads one moment of it, or some ranges of that."""

    columns = (
        Column(name="id", kind=Kind.INTEGER, declared="bigint"),
        Column(name="label", kind=Kind.TEXT, declared="text"),
    )
    key_position = 0

    def __init__(self, table: ChangingTable, ranges: Sequence[KeyRange] = (KeyRange(None, None),)) -> None:
        self._table, self._ranges = table, ranges
        self._rows = dict(sorted((table.rows | table.uncounted).items()))

    def batches(self) -> Iterator[Sequence[Row]]:
        within = [
            row
            for row in self._rows.items()
            if any((begin is None or begin <= row[0]) and (end is None or row[0] < end) for begin, end in self._ranges)
        ]
        for at in range(0, len(within), 7):
            yield within[at : at + 7]

    def mark(self) -> Hashable | None:
        return max(self._table.moment - self._table.lag, 1) if self._table.tells else None

    def tally(self, begins: Sequence[Any], since: Hashable | None) -> Sequence[Tally] | None:
        self._table.tallied += 1
        if self._table.error:
            raise self._table.error
        if not self._table.tells:
            return None
        counts, new = [0] * (len(begins) + 1), [False] * (len(begins) + 1)
        for key in self._table.rows:
            part = bisect_right(begins, key)
            counts[part] += 1
            new[part] |= since is not None and self._table.written[key] >= since
        return [Tally({1: count} if count else {}, is_new) for count, is_new in zip(counts, new, strict=True)]

    def present(self, keys: Sequence[Any]) -> Sequence[bool]:
        return [key in self._table.rows for key in keys]

    def rows(self, ranges: Sequence[KeyRange]) -> ChangingReading:
        return ChangingReading(self._table, ranges)


class Reader:
    """Reads it again and again, and keeps what an inventory would."""

    def __init__(self, table: ChangingTable, spool: Path, *, whole_seconds: float = 3600) -> None:
        self._table, self._spool = table, Spool(spool)
        self._follower = Follower("labels", whole_seconds=whole_seconds)
        self.known: dict[str, KnownObject] = {}
        self.rows: dict[str, RowImage] = {}  # of the version accepted last, by key
        self.told: list[RowImage] = []  # by the last read

    def __call__(self, moment: datetime, *, accept: bool = True) -> Published:
        self.told = []
        reading = ChangingReading(self._table)
        known = [one.published for one in self.known.values()]
        published = self._follower.publish(
            reading, reading, self._publisher(self.known, self.told), known=known, now=moment
        )
        if accept:
            touched = {*published.changed, *published.gone}
            assert {row.part for row in self.told} <= touched
            stay = {key: row for key, row in self.rows.items() if row.part not in touched}
            self.rows = stay | {row.row_key: row for row in self.told}
            self.known = {one.key: KnownObject(published=one) for one in published.objects}
            self._follower.accept()
        return published

    def whole(self) -> Published:
        """Return what a first read of all that is there now makes."""
        return self._publisher({}, []).whole(ChangingReading(self._table))

    @property
    def rows_read(self) -> int:
        return self._follower.rows_read

    def _publisher(self, known: dict[str, KnownObject], told: list[RowImage]) -> Publisher:
        return Publisher(
            name="labels",
            image_column=ImageColumn(name="label"),
            known=known,
            spool=self._spool,
            target_rows=TARGET_ROWS,
            target_bytes=self._table.target_bytes,
            on_rows=told.extend,
        )


def cut_as_whole(table: ChangingTable) -> list[Part]:
    """Return the parts that all rows there are now make."""
    parts = cut(
        ChangingReading(table).batches(), 0, Kind.INTEGER, target_rows=TARGET_ROWS, target_bytes=table.target_bytes
    )
    return [part._replace(rows=list(part.rows)) for part in parts]


def is_as_whole(table: ChangingTable, published: Published, reader: Reader | None = None) -> bool:
    """Return whether parts, digests, counts and, if the reader accepted it, rows are those of a whole read."""
    columns, parts = ChangingReading.columns, cut_as_whole(table)
    rows = {str(key): RowImage(str(key), part.name, f"images/{label}") for part in parts for key, label in part.rows}
    digests = {
        f"tables/labels/{part.name}.parquet": parquet.rows_digest(columns, parquet.to_table(columns, part.rows, 0))
        for part in parts
    }
    return (
        published.rows == len(rows)
        and {one.key: one.rows_digest for one in published.objects if one.rows} == digests
        and published.parts == tuple(SeenPart(part.name, part.rows[0][0], len(part.rows), part.begun) for part in parts)
        and (reader is None or reader.rows == rows)
    )


def based_on(*rows: int, full: int = 50, by_width: tuple[str, ...] = ()) -> Baseline:
    """Parts that begin at 0, 100, 200 and so on."""
    begun = [Begun.FULL if before == full else Begun.KEY for before in (0, *rows)]
    parts = tuple(
        SeenPart(name := f"part-{n}", n * 100, count, Begun.WIDTH if name in by_width else begun[n])
        for n, count in enumerate(rows)
    )
    return Baseline(
        mark=0, parts=parts, rows=tuple({1: count} for count in rows), contents=frozenset(), read_whole_at=START
    )


def planned(
    before: list[int],
    now: list[tuple[int, bool]],
    *,
    absent: tuple[int, ...] = (),
    needed: tuple[str, ...] = (),
    by_width: tuple[str, ...] = (),
):
    tallies = [Tally({1: count} if count else {}, is_new) for count, is_new in now]
    return plan(
        based_on(*before, by_width=by_width),
        tallies,
        lambda keys: [key not in absent for key in keys],
        needed=needed,
    ).ranges


@pytest.mark.parametrize(
    ("why", "before", "now", "absent", "ranges"),
    [
        ("nothing changed", [9, 9, 9], [(9, OLD)] * 3, (), []),
        ("a row may be new", [9, 9, 9], [(9, OLD), (9, NEW), (9, OLD)], (), [(100, 200)]),
        ("rows are gone", [9, 9, 9], [(9, OLD), (8, OLD), (9, OLD)], (), [(100, 200)]),
        ("the last part has no end", [9, 9, 9], [(9, OLD), (9, OLD), (8, OLD)], (), [(200, None)]),
        ("the first part has no beginning", [9, 9, 9], [(10, NEW), (9, OLD), (9, OLD)], (), [(None, 100)]),
        ("two of three", [9, 9, 9], [(10, NEW), (9, OLD), (8, OLD)], (), [(None, 100), (200, None)]),
        ("neighbours are one range", [9, 9, 9, 9], [(9, OLD), (8, OLD), (8, OLD), (9, OLD)], (), [(100, 300)]),
        ("a first row is gone", [9, 9, 9, 9], [(9, OLD), (9, OLD), (8, OLD), (9, OLD)], (200,), [(100, 300)]),
        ("the first row of the second part", [9, 9, 9], [(9, OLD), (8, OLD), (9, OLD)], (100,), [(None, 200)]),
        ("a part is empty", [9, 9, 9, 9], [(9, OLD), (9, OLD), (0, OLD), (9, OLD)], (200,), [(100, 300)]),
        ("the first part is empty", [9, 9, 9], [(0, OLD), (9, OLD), (9, OLD)], (), [(None, 200)]),
        ("the first parts are empty", [9, 9, 9, 9], [(0, OLD), (0, OLD), (9, OLD), (9, OLD)], (100,), [(None, 300)]),
        ("all is gone", [9, 9], [(0, OLD), (0, OLD)], (100,), [(None, None)]),
        ("a full part and the next", [9, 50, 9, 9], [(9, OLD), (50, OLD), (8, OLD), (9, OLD)], (), [(100, 300)]),
        ("full parts", [9, 50, 50, 9, 9], [(9, OLD), (49, OLD), *[(n, OLD) for n in (50, 9, 9)]], (), [(100, 400)]),
        ("in front of a full part", [9, 9, 50, 9], [(9, OLD), (8, OLD), (50, OLD), (9, OLD)], (), [(100, 200)]),
        ("a run whose first row is gone", [9, 50, 9], [(9, OLD), (49, OLD), (9, OLD)], (100,), [(None, None)]),
    ],
)
def test_what_is_read_again(why, before, now, absent, ranges):
    assert planned(before, now, absent=absent) == tuple(KeyRange(*one) for one in ranges), why


def test_a_part_whose_rows_are_wanted_for_another_reason_is_read_again():
    """Its images came or went; a full part goes with the one behind it."""
    same = [(9, OLD), (50, OLD), (9, OLD), (9, OLD)]
    assert planned([9, 50, 9, 9], same, needed=("part-3", "part-unknown")) == (KeyRange(300, None),)
    assert planned([9, 50, 9, 9], same, needed=("part-2",)) == (KeyRange(100, 300),)


def test_a_part_that_begins_by_its_first_rows_width_goes_with_the_one_before():
    """That row may be narrow by now, and the part before go on. Where none of its rows is new, it is as it was."""
    assert planned([9] * 4, [(9, OLD), (9, OLD), (9, NEW), (9, OLD)], by_width=("part-2",)) == (KeyRange(100, 300),)
    assert planned([9] * 4, [(9, OLD), (9, NEW), (9, OLD), (9, OLD)], by_width=("part-2",)) == (KeyRange(100, 200),)
    same = [(9, OLD)] * 4
    assert planned([9] * 4, same, needed=("part-2",), by_width=("part-2",)) == (KeyRange(200, 300),)


def test_rows_of_another_table_of_the_family_are_other_rows():
    """A partition that took the place of one with as many rows."""
    found = plan(based_on(9, 9), [Tally({1: 9}, OLD), Tally({2: 9}, OLD)], lambda _: [True])
    assert found.ranges == (KeyRange(100, None),)
    assert found.range_rows == (9,)


def test_more_than_half_of_the_parts_are_not_worth_it():
    for changed, worth in ((2, True), (3, False)):
        now = [Tally({1: 8 if n < changed else 9}, OLD) for n in range(4)]
        assert plan(based_on(9, 9, 9, 9), now, lambda keys: [True] * len(keys)).is_worth_it is worth


def test_rows_are_told_apart_by_range_however_they_are_batched():
    ranges = [KeyRange(None, 10), KeyRange(20, 30), KeyRange(40, None)]
    rows = [(key,) for key in (1, 2, 25, 41, 42, 43)]
    for size in (1, 2, 4, 10):
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        split_rows = split(batches, 0, Kind.INTEGER, ranges)
        found = [(number, [row[0] for batch in of for row in batch]) for number, of in split_rows]
        assert found == [(0, [1, 2]), (1, [25]), (2, [41, 42, 43])]


@pytest.fixture
def table() -> ChangingTable:
    return ChangingTable({key: f"label {key}" for key in range(0, 600, 2)})


@pytest.fixture
def read(table: ChangingTable, tmp_path: Path) -> Reader:
    return Reader(table, tmp_path)


def test_the_pretended_table_is_one_that_tells_of_changes(table):
    assert isinstance(ChangingReading(table), ChangeAware)


def test_only_what_changed_travels_and_the_result_is_that_of_a_whole_read(table, read):
    read(START)
    assert read.rows_read == 300
    table.put(150, "other")
    table.delete(14)
    after = read(START)
    assert 0 < read.rows_read < 150
    assert is_as_whole(table, after, read)
    assert after.objects == read.whole().objects
    assert read(START).objects == after.objects
    assert read.rows_read == 0


def test_what_nobody_accepted_is_compared_with_nothing(table, read):
    read(START)
    table.put(150, "other")
    read(START, accept=False)
    table.put(10, "other")
    assert is_as_whole(table, read(START), read)
    assert {row.row_key for row in read.told} >= {"10", "150"}


def test_a_version_that_is_not_the_one_known_is_compared_with_nothing(read):
    read(START)
    read.known = {key: one for key, one in read.known.items() if not key.endswith("part-0.parquet")}
    read(START)
    assert read.rows_read == 300


def test_it_is_read_whole_from_time_to_time_and_when_the_clock_was_set_back(read):
    for moment, rows in ((0, 300), (1, 0), (59, 0), (60, 300), (119, 0), (120, 300), (0, 300), (1, 0)):
        read(START + timedelta(minutes=moment))
        assert read.rows_read == rows, moment


def test_it_is_always_read_whole_if_so_wished(table, tmp_path):
    read = Reader(table, tmp_path, whole_seconds=0)
    for _ in range(2):
        read(START)
        assert read.rows_read == 300
    assert table.tallied == 0


def test_a_part_that_changed_untold_is_named_when_all_is_read(table, read):
    """It would be a defect. Nothing is lost by it for longer than that."""
    read(START)
    table.put_untold(150, "other")
    table.put(10, "other")
    with capture_logs() as logs:
        read(START)
        assert read.rows["150"].image == "images/label 150"
        read(START + timedelta(hours=1))
    assert [(line["event"], len(line["parts"])) for line in logs] == [("table_drifted", 1)]
    assert read.rows["150"].image == "images/other"
    with capture_logs() as logs:
        table.put(20, "other")
        read(START + timedelta(hours=2))
    assert logs == []


def test_a_database_that_refuses_to_tell_is_not_asked_again(table, read):
    read(START)
    table.error = TableFaultError("transparent decompression does not support it")
    with capture_logs() as logs, pytest.raises(ChangesUntoldError):
        read(START)
    assert [line["event"] for line in logs] == ["table_read_whole_from_now_on"]
    asked = table.tallied
    table.put(6, "other")
    assert is_as_whole(table, read(START), read)
    assert table.tallied == asked


def test_a_comparison_that_takes_too_long_is_followed_by_a_whole_read(table, read):
    read(START)
    table.error = TableUnavailableError("stopped a statement")
    with pytest.raises(TableUnavailableError):
        read(START)
    read(START)  # what comes after a whole read fails, too, and that costs no version
    assert read.rows_read == 300
    table.error = None
    read(START)
    assert read.rows_read == 300
    read(START)
    assert read.rows_read == 0


def test_rows_that_no_one_counted_are_no_version(table, read):
    """A partition was attached between the count and the reading."""
    read(START)
    table.put(150, "other")
    table.uncounted = {151: "attached"}
    with pytest.raises(TableChangingError):
        read(START)
    assert read(START).rows == 301  # a whole read; it is not compared with either
    table.put_untold(151, table.uncounted.pop(151))
    read(START)
    assert read.rows_read == 301


def test_a_table_whose_changes_cannot_be_told_is_read_whole(table, read):
    table.tells = False
    for _ in range(2):
        read(START)
        assert read.rows_read == 300


def test_an_empty_table_is_no_baseline(read, table):
    table.rows.clear()
    for _ in range(2):
        assert read(START).rows == 0
    table.put(1, "one")
    assert read(START).rows == 1
