"""For all histories of a table: reading only what may have changed gives what reading all of it gives."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_tables_incremental import START, ChangingTable, Reader, cut_as_whole, is_as_whole

MOST_KEYS = 400
KEYS = st.integers(-50, MOST_KEYS)
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("delete"), KEYS, st.integers(1, 40)),
    st.tuples(st.just("delete a first row"), st.integers(0, 40), st.integers(1, 3)),
    st.tuples(st.just("delete parts"), st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.just("move"), KEYS, KEYS),
    st.tuples(st.just("insert many"), KEYS, st.integers(1, 150)),
    st.tuples(st.just("truncate"), st.just(0), st.just(0)),
    st.tuples(st.just("nothing"), st.just(0), st.just(0)),
)


def change(table: ChangingTable, what: str, one: int, other: int) -> None:
    if what == "put":
        table.put(one, f"label {other}")
    elif what == "insert many":
        for key in range(one, one + other):
            table.put(key, f"label {other}")
    elif what == "move" and one in table.rows:
        label = table.rows[one]
        table.delete(one)
        table.put(other, label)
    for key in doomed(table, what, one, other):
        table.delete(key)


def doomed(table: ChangingTable, what: str, one: int, other: int) -> list[int]:
    some = cut_as_whole(table)[one : one + other]
    return {
        "delete": [key for key in range(one, one + other) if key in table.rows],
        "delete parts": [key for part in some for key, _ in part.rows],
        "delete a first row": [part.rows[0][0] for part in some],
        "truncate": list(table.rows),
    }.get(what, [])


@settings(max_examples=40, deadline=None)
@given(
    keys=st.sampled_from([range(MOST_KEYS), range(0, MOST_KEYS, 3), range(30)]),
    history=st.lists(st.tuples(st.lists(STEPS, max_size=4), st.integers(0, 5), st.booleans()), min_size=1, max_size=8),
)
def test_it_is_as_if_all_had_been_read(keys, history) -> None:
    with tempfile.TemporaryDirectory() as directory:
        table = ChangingTable(dict.fromkeys(keys, "label"))
        reader = Reader(table, Path(directory))
        reader(START)
        for steps, lag, accept in history:
            for step in steps:
                change(table, *step)
            table.lag = lag
            published = reader(START + timedelta(seconds=1), accept=accept)
            assert is_as_whole(table, published, reader if accept else None)


@settings(max_examples=40, deadline=None)
@given(history=st.lists(st.tuples(st.integers(0, 1100), st.booleans()), min_size=1, max_size=12))
def test_it_is_so_where_parts_are_full(history) -> None:
    """A run of keys of which none begins a part by its hash is cut where a part is full: that depends on all of it."""
    with tempfile.TemporaryDirectory() as directory:
        table = ChangingTable(dict.fromkeys(PLAIN, "label"))
        reader = Reader(table, Path(directory))
        assert max(part.rows for part in reader(START).parts) == 128
        for at, is_deletion in history:
            key = PLAIN[at % len(PLAIN)]
            if not is_deletion:
                table.put(key, f"label {at}")
            elif key in table.rows:
                table.delete(key)
            assert is_as_whole(table, reader(START), reader)


WIDE_STEPS = st.one_of(
    st.tuples(st.just("widen"), KEYS, st.integers(0, 12)),
    st.tuples(st.just("widen a first row"), st.integers(0, 40), st.integers(0, 12)),
    st.tuples(st.just("delete"), KEYS, st.integers(1, 20)),
)


@settings(max_examples=60, deadline=None)
@given(
    widths=st.lists(st.integers(1, 400), min_size=1, max_size=7),
    history=st.lists(st.lists(WIDE_STEPS, max_size=3), min_size=1, max_size=8),
)
def test_it_is_so_where_rows_are_wide(widths, history) -> None:
    """Parts begin by the width of their first row, and end because they are full of bytes: both may come and go."""
    with tempfile.TemporaryDirectory() as directory:
        rows = {key: "x" * widths[key % len(widths)] for key in range(200)}
        table = ChangingTable(rows, target_bytes=1600)
        reader = Reader(table, Path(directory))
        reader(START)
        for steps in history:
            for what, one, other in steps:
                if what == "widen a first row":
                    for part in cut_as_whole(table)[one : one + 1]:
                        table.put(part.rows[0][0], "y" * (1 + 40 * other))
                elif what == "widen":
                    table.put(one, "y" * (1 + 40 * other))
                else:
                    change(table, what, one, other)
            assert is_as_whole(table, reader(START), reader)


def _plain() -> list[int]:
    """Return keys of which some begin parts, with long runs in between of keys that begin none."""
    begins = {part.rows[0][0] for part in cut_as_whole(ChangingTable(dict.fromkeys(range(1200), "")))}
    return [key for key in range(1200) if key not in begins or key % 5 == 0]


PLAIN = _plain()
