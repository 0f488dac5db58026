"""Rows of two versions of a table, in whatever pieces they come, are compared as they would be all at once."""

from __future__ import annotations

import math
import sqlite3
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, zip_longest
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.snapshots.row_changes import DuplicateKeyError, RowChanges

COLUMNS = ("label", "id", "box")
VALUES = st.one_of(st.none(), st.sampled_from(["", "cat", "dog"]), st.just(math.nan), st.lists(st.none(), max_size=1))
KEYS = {
    "integer": st.integers(-9, 9),
    "text": st.text("ab\ud7ff\U00010000", max_size=2),
    "bytes": st.binary(max_size=1),
    "decimal": st.integers(-9, 9).map(lambda tenths: Decimal(tenths).scaleb(-1)),
    "date": st.dates(date(2026, 1, 1), date(2026, 1, 9)),
    "time": st.integers(-9, 9).map(lambda us: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)),
}
VERSIONS = st.one_of(
    [
        st.tuples(*[st.dictionaries(keys, st.tuples(VALUES, VALUES), max_size=9) for _ in "ab"]).map(
            lambda pair: [[(label, key, box) for key, (label, box) in version.items()] for version in pair]
        )
        for keys in KEYS.values()
    ]
)


def alike(old: Any, new: Any) -> bool:
    return repr(old) == repr(new)


@settings(deadline=None)
@given(versions=VERSIONS, data=st.data())
def test_rows_in_any_pieces_and_order_are_compared_as_all_at_once(versions: list[Any], data: st.DataObject) -> None:
    pieces = []
    for rows in versions:
        shuffled = data.draw(st.permutations(rows))
        ends = [0, *sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3))), len(rows)]
        pieces.append([shuffled[begin:end] for begin, end in pairwise(ends)])
    changes = RowChanges(sqlite3.connect("", isolation_level=None), "labels", COLUMNS, 1)
    for old, new in zip_longest(*pieces, fillvalue=[]):
        changes.feed(old, new)
    counts, found = changes.finish(), list(changes.all())

    before, after = ({row[1]: row for row in rows} for rows in versions)
    expected = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            expected[key] = ("added" if old is None else "deleted", list(COLUMNS))
        elif columns := [name for name, *pair in zip(COLUMNS, old, new, strict=True) if not alike(*pair)]:
            expected[key] = ("changed", columns)
    assert {one.key: (one.kind, list(one.new or one.old)) for one in found} == expected
    assert [one.key for one in found] == sorted(expected, key=lambda key: key.encode() if isinstance(key, str) else key)
    kinds = [kind for kind, _ in expected.values()]
    assert counts == tuple(kinds.count(kind) for kind in ("added", "changed", "deleted"))
    for one in found:
        for version, told in ((before, one.old), (after, one.new)):
            row = dict(zip(COLUMNS, version.get(one.key, ()), strict=False))
            assert all(alike(row[name], value) for name, value in told.items())


def test_a_key_that_comes_twice_is_refused() -> None:
    changes = RowChanges(sqlite3.connect("", isolation_level=None), "labels", COLUMNS, 1)
    with pytest.raises(DuplicateKeyError, match="labels"):
        changes.feed([], [("cat", 1, None), ("dog", 1, None)])


def test_rows_of_several_tables_are_kept_apart() -> None:
    scratch = sqlite3.connect("", isolation_level=None)
    labels, boxes = (RowChanges(scratch, name, ("id",), 0) for name in ("labels", "boxes"))
    labels.feed([], [(1,)])
    boxes.feed([(1,)], [])
    assert (labels.finish(), boxes.finish()) == ((1, 0, 0), (0, 0, 1))


def test_a_decimal_key_is_known_by_its_value() -> None:
    changes = RowChanges(sqlite3.connect("", isolation_level=None), "prices", ("id", "price"), 0)
    changes.feed([(Decimal("1.0"), 1)], [])
    changes.feed([], [(Decimal("1.0"), 2)])
    assert changes.finish() == (0, 1, 0)
