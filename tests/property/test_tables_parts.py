"""Cutting into parts, for all keys and edits."""

from __future__ import annotations

import re
from datetime import UTC
from decimal import Decimal
from itertools import pairwise

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from syncd.sources.tables import parquet
from syncd.sources.tables.base import Column, Kind, Row
from syncd.sources.tables.part_names import FIRST, key_bytes, part_name
from syncd.sources.tables.parts import MOST_TIMES, Part, cut

SMALL = 4  # rows a part has on average here

KEYS: dict[Kind, st.SearchStrategy] = {
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100),
    Kind.TEXT: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),  # 32 bytes at most: below the cut
    Kind.BYTES: st.binary(max_size=32),
    Kind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False)
    | st.decimals(-20, 20, places=2)
    | st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-999, 999), st.integers(-9, 9)),
    Kind.TIMESTAMP: st.datetimes(),
    Kind.TIMESTAMP_TZ: st.datetimes(timezones=st.just(UTC)),
    Kind.DATE: st.dates(),
}
COLUMNS = (
    Column(name="id", kind=Kind.INTEGER, declared="bigint"),
    Column(name="label", kind=Kind.TEXT, declared="text"),
)


def in_order(kind: Kind, key: object) -> object:
    return key.encode() if kind is Kind.TEXT else key


@st.composite
def keys_of_a_kind(draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(KEYS)) -> tuple[Kind, list]:
    kind = draw(st.sampled_from(kinds))
    keys = draw(st.lists(KEYS[kind], unique=True, max_size=60))
    return kind, sorted(keys, key=lambda key: in_order(kind, key))


def batched(rows: list[Row], cuts: list[int]) -> list[list[Row]]:
    ends = sorted(at % (len(rows) + 1) for at in cuts)
    return [rows[begin:end] for begin, end in pairwise([0, *ends, len(rows)])]


def parts_of(kind: Kind, rows: list[Row], cuts: list[int] | None = None) -> list[Part]:
    return list(cut(batched(rows, cuts or []), 0, kind, target_rows=SMALL))


def as_dict(parts: list[Part]) -> dict[str, list[Row]]:
    return {part.name: part.rows for part in parts}


def full(parts: list[Part]) -> bool:
    return any(len(part.rows) == SMALL * MOST_TIMES for part in parts)


@given(keys=keys_of_a_kind(), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_parts_are_the_rows_in_order_however_they_are_batched(keys: tuple[Kind, list], cuts: list[int]) -> None:
    kind, values = keys
    rows: list[Row] = [(key, number) for number, key in enumerate(values)]
    parts = parts_of(kind, rows, cuts)
    assert [row for part in parts for row in part.rows] == rows
    assert all(part.rows for part in parts)
    assert parts == parts_of(kind, rows)
    assert [part.name for part in parts[:1]] == [FIRST][: len(parts)]


@given(keys=keys_of_a_kind())
def test_names_are_distinct_sorted_as_the_keys_and_plain(keys: tuple[Kind, list]) -> None:
    kind, values = keys
    encoded = [key_bytes(kind)(key) for key in values]
    names = [f"{part_name(key)}.parquet".encode() for key in encoded if key]
    assert names == sorted(set(names))
    assert all(f"{FIRST}.parquet".encode() < name for name in names)
    assert all(re.fullmatch(rb"[0-9a-z-]+\.parquet", name) and len(name) < 120 for name in names)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True), shared=st.text("ab"))
@example(texts=["a", "aa", "b"], shared="x" * 32)
def test_long_texts_have_distinct_names_sorted_by_their_first_32_bytes(texts: list[str], shared: str) -> None:
    encoded = sorted((shared + text).encode() for text in texts)
    names = [part_name(key) for key in encoded]
    assert len(set(names)) == len(names)
    for (one, one_name), (other, other_name) in pairwise(zip(encoded, names, strict=True)):
        if one[:32] != other[:32]:
            assert f"{one_name}.parquet" < f"{other_name}.parquet"


@given(keys=keys_of_a_kind(), data=st.data())
def test_one_row_more_less_or_other_touches_two_parts_at_most(keys: tuple[Kind, list], data: st.DataObject) -> None:
    kind, values = keys
    assume(values)
    before: list[Row] = [(key, 0) for key in values]
    at = data.draw(st.integers(0, len(before) - 1))
    deleted = before[:at] + before[at + 1 :]
    changed = [*before[:at], (before[at][0], 1), *before[at + 1 :]]
    parts = parts_of(kind, before)
    assume(not full(parts) and not full(parts_of(kind, deleted)))
    for after, most in ((deleted, 2), (changed, 1)):  # an insertion is a deletion seen from behind
        old, new = as_dict(parts), as_dict(parts_of(kind, after))
        assert sum(old.get(name) != new.get(name) for name in old.keys() | new.keys()) <= most


# The first example pays for loading pyarrow.
ROWS = st.lists(st.tuples(st.integers(-3, 3), st.none() | st.text("ab", max_size=2)), max_size=6)


@settings(deadline=None)
@given(one=ROWS, other=ROWS)
def test_digests_are_equal_for_equal_rows_alone(one: list[Row], other: list[Row]) -> None:
    digests = [
        parquet.rows_digest(COLUMNS, parquet.to_table(COLUMNS, rows, 0)) for rows in (one, list(map(tuple, one)), other)
    ]
    assert digests[0] == digests[1]
    assert (digests[0] == digests[2]) == (one == other)
