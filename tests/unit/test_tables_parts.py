"""How rows are cut into parts, and what the parts are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from syncd.sources.tables.base import KEY_KINDS, Kind, TableFaultError
from syncd.sources.tables.part_names import FIRST, key_bytes, part_name
from syncd.sources.tables.parts import MOST_TIMES, MOST_TIMES_BYTES, TARGET_BYTES, Begun, cut
from syncd.sources.tables.row_width import FIRST_ROWS, MOST_BYTES, MOST_ROWS, rows_to_fetch, width

# For each kind some keys in ascending order.
ASCENDING = {
    Kind.INTEGER: [-(2**63), -1, 0, 1, 255, 256, 2**63 - 1],
    Kind.TEXT: ["", "\0", "A", "a", "a\0", "aa", "b", "z" * 31, "z" * 32, "é", "漢", "😀"],
    Kind.BYTES: [b"", b"\0", b"\0\0", b"\1", b"\x7f", b"\xff", b"\xff" * 32],
    Kind.DATE: [date.min, date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date.max],
    Kind.TIMESTAMP: [datetime.min, datetime(1969, 12, 31, 23), datetime(1970, 1, 1), datetime.max],  # noqa: DTZ001, DTZ901
    Kind.TIMESTAMP_TZ: [
        datetime.min.replace(tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
    Kind.DECIMAL: [
        Decimal(text)
        for text in (
            *("-1e400", "-1001", "-100.01", "-100.0001", "-100", "-99.9", "-12.3", "-12", "-1", "-0.9", "-1e-300"),
            *("0", "1e-300", "0.9", "1", "1.01", "1.1", "12", "12.3", "99.9", "100", "100.0001", "1001", "1e400"),
        )
    ],
}


@pytest.mark.parametrize("kind", ASCENDING)
def test_keys_sort_as_bytes_and_as_names_as_they_do_as_values(kind: Kind) -> None:
    encoded = [key_bytes(kind)(key) for key in ASCENDING[kind]]
    assert sorted(set(encoded)) == encoded
    names = [f"{part_name(key)}.parquet" for key in encoded if key]
    assert sorted(set(names)) == names
    assert all(f"{FIRST}.parquet" < name and re.fullmatch(r"part-[0-9a-f]+\.parquet", name) for name in names)


def test_every_kind_that_can_be_a_key_is_among_them() -> None:
    assert set(ASCENDING) == KEY_KINDS


def test_equal_keys_have_one_encoding() -> None:
    decimal, instant = key_bytes(Kind.DECIMAL), key_bytes(Kind.TIMESTAMP_TZ)
    assert decimal(Decimal("1.0")) == decimal(Decimal(1)) == decimal(Decimal("0.1e1"))
    assert decimal(Decimal("-0.0")) == decimal(Decimal(0))
    assert decimal(Decimal(100)) == decimal(Decimal("1e2"))
    noon = datetime(2024, 6, 1, 12, tzinfo=UTC)
    assert instant(noon) == instant(noon.astimezone(timezone(timedelta(hours=2))))


def test_names_are_what_the_documentation_shows() -> None:
    """Another encoding would rename every part there is."""
    assert part_name(key_bytes(Kind.INTEGER)(1)) == "part-8000000000000001"
    assert part_name(key_bytes(Kind.DATE)(date(1970, 1, 2))) == f"part-{2**63 + 86_400_000_000:016x}"
    assert part_name(key_bytes(Kind.TEXT)("cat")) == "part-636174"
    assert part_name(key_bytes(Kind.DECIMAL)(Decimal("-12.5"))) == "part-007ffffffef2ccff"


def test_long_keys_that_begin_alike_have_names_of_their_own() -> None:
    names = {part_name(key_bytes(Kind.TEXT)("x" * 32 + rest)) for rest in ("", "a", "b", "a" * 1000)}
    assert len(names) == 4
    assert all(len(name) <= 100 and re.fullmatch(r"[0-9a-z-]+", name) for name in names)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (Kind.INTEGER, "7"),
        (Kind.INTEGER, 2**63),
        (Kind.TEXT, 7),
        (Kind.TEXT, "\ud800"),
        (Kind.BYTES, "x"),
        (Kind.DATE, "2024-01-01"),
        (Kind.DECIMAL, Decimal("NaN")),
        (Kind.DECIMAL, Decimal("1e9999999999")),
        (Kind.TIMESTAMP, datetime(2024, 1, 1, tzinfo=UTC)),
        (Kind.TIMESTAMP_TZ, datetime(2024, 1, 1)),  # noqa: DTZ001
        (Kind.INTEGER, None),
    ],
)
def test_a_key_of_another_kind_is_a_fault(kind: Kind, key: object) -> None:
    with pytest.raises(TableFaultError, match=f"cannot be used as {kind}"):
        key_bytes(kind)(key)


@pytest.mark.parametrize("kind", [Kind.FLOAT, Kind.BOOLEAN, Kind.JSON, Kind.ARRAY, Kind.TIME])
def test_some_kinds_cannot_be_keys(kind: Kind) -> None:
    with pytest.raises(TableFaultError, match="cannot be the key"):
        list(cut([[(1,)]], 0, kind))


def test_no_rows_make_no_parts() -> None:
    assert list(cut([], 0, Kind.INTEGER)) == []
    assert list(cut([[], []], 0, Kind.INTEGER)) == []


def test_parts_have_the_wanted_size_on_average_and_none_is_too_large() -> None:
    parts = list(cut([[(key,) for key in range(50_000)]], 0, Kind.INTEGER, target_rows=100))
    assert 400 < len(parts) < 600
    assert max(len(part.rows) for part in parts) <= 100 * MOST_TIMES


def test_a_run_without_a_boundary_is_cut_all_the_same() -> None:
    """With a target beyond all hashes' reach there is none by hash."""
    rows = [(key,) for key in range(100_001)]
    parts = list(cut([rows], 0, Kind.INTEGER, target_rows=50_000_000))
    assert [part.name for part in parts] == [FIRST]
    sizes = [len(part.rows) for part in cut([rows], 0, Kind.INTEGER, target_rows=2)]
    assert max(sizes) == 2 * MOST_TIMES  # 100,000 rows hold runs of 16 without one in two


def test_rows_before_the_first_rename_no_part() -> None:
    rows = [(key,) for key in range(1_000)]
    before = {part.name for part in cut([rows], 0, Kind.INTEGER, target_rows=50)}
    after = {part.name for part in cut([[(-5,), (-4,)], rows], 0, Kind.INTEGER, target_rows=50)}
    assert FIRST in before
    assert before <= after


def test_the_first_part_has_its_name_also_when_its_first_row_begins_one() -> None:
    first = next(key for key in range(1_000) if _begins(key))
    parts = list(cut([[(key,) for key in range(first, first + 200)]], 0, Kind.INTEGER, target_rows=50))
    assert parts[0].name == FIRST


def _begins(key: int) -> bool:
    return len(list(cut([[(-1,), (key,)]], 0, Kind.INTEGER, target_rows=50))) == 2


def test_a_table_of_ordinary_rows_is_cut_as_ever() -> None:
    """Another digest means that every table there is would be written anew. Made before parts had a size in bytes."""
    rows = [(n * 3, f"images/{n % 977:03}/{n:07}.jpg", "cat", 0.25 * n, "x" * (n * 7919 % 400)) for n in range(300_000)]
    found = [(part.name, len(part.rows)) for part in cut([rows], 0, Kind.INTEGER)]
    assert (len(found), max(count for _, count in found)) == (33, 44_207)
    digest = hashlib.sha256(repr(found).encode()).hexdigest()
    assert digest == "f1b815ec2d61c971fee43fc5c81553a53560887021e05ddb4aee71f3af6084b9"


WIDE = "x" * 50_000
EMBEDDING = [0.5] * 1536


@pytest.mark.parametrize("value", [WIDE, WIDE.encode(), EMBEDDING], ids=["text", "bytes", "array"])
def test_parts_of_wide_rows_are_bounded_by_their_bytes(value: object) -> None:
    """P7: memory does not follow the width of rows; a part of 80,000 such rows would take 4 GB."""
    parts = list(cut([[(key, value) for key in range(20_000)]], 0, Kind.INTEGER))
    assert max(len(part.rows) for part in parts) * 49_000 < MOST_TIMES_BYTES * TARGET_BYTES
    assert 60 < len(parts) < 120  # 80 and some would have twelve megabytes each
    assert {part.begun for part in parts} == set(Begun)


def test_a_row_that_is_wider_than_a_part_is_one_by_itself() -> None:
    rows = [(1, "a"), (2, "b"), (3, "x" * 5000), (4, "c"), (5, "d")]
    parts = list(cut([rows], 0, Kind.INTEGER, target_rows=1000, target_bytes=1000))
    assert [[row[0] for row in part.rows] for part in parts] == [[1, 2], [3], [4, 5]]
    assert [part.begun for part in parts] == [Begun.KEY, Begun.WIDTH, Begun.FULL]


def _wide(keys: Iterable[int]) -> dict[str, list[tuple[int, str]]]:
    rows = [(key, "x" * (500 + key % 7)) for key in keys]
    return {part.name: part.rows for part in cut([rows], 0, Kind.INTEGER, target_rows=1000, target_bytes=10_000)}


def test_one_wide_row_more_or_less_moves_few_boundaries() -> None:
    """P7: counted from the first row on, bytes would move all of them up to the next one by hash, 1000 rows further."""
    before = _wide(range(5_000))
    touched = []
    for gone in range(0, 5_000, 100):
        after = _wide(key for key in range(5_000) if key != gone)
        touched.append(sum(before.get(name) != after.get(name) for name in before.keys() | after.keys()))
    assert len(before) > 200
    assert sum(touched) <= 2 * len(touched)
    assert max(touched) < 10


def test_the_width_of_a_row_is_that_of_its_values() -> None:
    assert width((1, None, 2.5, True)) == width((10**18, None, 1e300, False)) == 64
    assert width(("a" * 100,)) == width((b"a" * 100,)) == 116
    assert width(("é" * 100,)) == 316
    assert width(([0.5] * 100,)) == 16 + 3200
    assert width((["a" * 100] * 10,)) > 1000
    assert width(([None, "a" * 100],)) > 100
    assert width(([],)) == 16


def test_fewer_rows_are_fetched_where_they_are_wide() -> None:
    """P7: after a few, as many as fit; and not so many more than before that the first wide ones are a flood."""
    assert FIRST_ROWS <= 100
    narrow = [(1, "a")]
    assert rows_to_fetch(narrow * 1000) == MOST_ROWS
    assert rows_to_fetch(narrow * 10) < 100
    assert rows_to_fetch([(1, WIDE)] * 64) == MOST_BYTES // 50_032
    assert rows_to_fetch([(1, "x" * 2 * MOST_BYTES)]) == 1
    assert rows_to_fetch([(None,)]) > 1
