"""The demo's own parts: its data never vary, and its comparison cannot be fooled."""

from __future__ import annotations

import pytest

from syncd.demo import digits, extras, witness
from syncd.demo.place import MARK, open_place
from syncd.demo.rows import ROWS
from syncd.demo.script import Dataset
from syncd.errors import SyncdError, UsageError

HELD = {"images/a.png": b"a", "images/b.png": b"b", "tables/labels.csv": b"id\n"}


def test_the_images_are_the_same_every_time():
    (first, *_) = loaded = digits.load()
    assert len(loaded) == 1797
    assert first.label == 0
    assert digits.png(first) == digits.png(first)
    assert digits.png(first).startswith(b"\x89PNG")
    assert len({digits.png(first), digits.png(first, contrast=1.8), digits.png(first, degrees=15)}) == 3


def test_each_step_leaves_folder_and_table_fitting_together(tmp_path):
    with open_place(tmp_path / "demo") as place:
        counts = []
        for step in Dataset(place.images, place.table, place.database, digits.load()[:100]).steps():
            step.change()
            rows = place.table.read_text().splitlines()[1:]
            named = {f"images/{row.split(',')[1]}" for row in rows}
            assert named == place.contents().keys() - {"tables/labels.csv", ROWS}
            assert place.contents()[ROWS].count(b"\n") == len(rows) - 1
            counts.append(len(rows))
    assert counts == [100, 112, 112, 109]


def test_a_snapshot_that_is_what_the_folder_held_has_no_faults():
    assert witness.differences(HELD, [HELD]) == []


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (HELD | {"images/a.png": b"A"}, "images/a.png has other bytes"),
        ({"images/a.png": b"a", "tables/labels.csv": b"id\n"}, "images/b.png is missing"),
        (HELD | {"images/c.png": b"c"}, "images/c.png should not be there"),
        (HELD | {"images/c.png": b""}, "images/c.png should not be there"),
        ({}, "images/a.png is missing"),
    ],
)
def test_a_difference_of_one_byte_or_one_file_is_noticed(found, fault):
    assert fault in witness.differences(found, [HELD])


def test_a_snapshot_between_two_states_may_hold_either_but_nothing_else():
    after = {"images/a.png": b"A", "tables/labels.csv": b"id\n"}
    between = {"images/a.png": b"A", "images/b.png": b"b", "tables/labels.csv": b"id\n"}
    assert witness.differences(between, [HELD, after]) == []
    assert witness.differences(between | {"images/a.png": b"?"}, [HELD, after]) == ["images/a.png has other bytes"]


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(UsageError, match="--dir"), open_place(tmp_path):
        pass
    assert (tmp_path / "precious").exists()


def test_a_folder_of_an_earlier_demo_is_used_again(tmp_path):
    for _ in range(2):
        with open_place(tmp_path / "demo") as place:
            (place.images / "left.png").touch()
    assert (tmp_path / "demo" / MARK).exists()


def test_a_temporary_folder_is_removed():
    with open_place(None) as place:
        directory = place.directory
        assert directory.exists()
    assert not directory.exists()


def test_missing_libraries_are_named_with_the_command_that_brings_them():
    extras.require()
    with pytest.raises(SyncdError, match="needs nothing-like-it, not installed") as raised:
        extras.require({"nothing_like_it": "nothing-like-it"})
    assert raised.value.next_step == 'pip install "syncd[demo]"'
