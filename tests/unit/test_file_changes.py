"""Some of the changes between two snapshots, a page of them at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.snapshots.file_changes import FileChanges, Wanted
from syncd.snapshots.scratch import scratch_database
from syncd.store.base import Difference

KINDS = ("added", "changed", "removed")
PATHS = st.lists(st.sampled_from(["a", "b/1", "b/2", "b/c/3", "B/4", "b0", "ü/5", "%_/6", "'/7"]), unique=True)


def difference(path: str, number: int) -> Difference:
    return Difference(key=f"images/{path}", kind=KINDS[number % 3], size_bytes=number, sha256=b"%d" % number)


@given(PATHS, st.sampled_from(["", "images/", "images/b/", "images/none/"]), st.sampled_from(["", "B", "%", "_", "'"]))
def test_pages_together_are_all_that_is_wanted(paths: list[str], below: str, contains: str) -> None:
    with scratch_database() as scratch:
        changes = FileChanges(scratch)
        changes.add([difference(path, number) for number, path in enumerate(paths)], "")
        wanted = Wanted(("added", "removed"), below, contains)
        expected = [
            one.path
            for one in changes.all()
            if one.kind in {"added", "removed"} and one.path.startswith(below) and contains.lower() in one.path.lower()
        ]
        found: list[str] = []
        while page := changes.page(wanted, after=found[-1] if found else "", limit=2):
            found += [one.path for one in page]
        assert found == expected
        assert changes.count(wanted) == len(expected)
        assert sum(sum(folder.counts.values()) for folder in changes.folders(wanted, 100)) == len(expected)


def test_folders_are_one_level_and_the_most_come_first() -> None:
    with scratch_database() as scratch:
        changes = FileChanges(scratch)
        names = ["x.png", "cats/1.png", "cats/2.png", "cats/old/3.png", "dogs/4.png"]
        changes.add([Difference(key=f"images/{name}", kind="added", size_bytes=1) for name in names], "")
        found = changes.folders(Wanted(below="images/"), 10)
        assert [(one.path, one.counts) for one in found] == [
            ("images/cats/", {"added": 3}),
            ("images/dogs/", {"added": 1}),
            ("images/x.png", {"added": 1}),
        ]
        assert [one.path for one in changes.folders(Wanted(below="images/cats/"), 1)] == ["images/cats/1.png"]


@pytest.mark.parametrize("again", [False, True])
def test_changes_are_found_by_what_was_said_of_them(again: bool) -> None:
    with scratch_database() as scratch:
        changes = FileChanges(scratch)
        changes.add([difference(path, 0) for path in ("a", "b")], "")
        if again:
            changes.say([("images/a", "other")])
        changes.say([("images/a", "cat"), ("images/b", "dog"), ("images/gone", "cat")])
        assert [one.path for one in changes.page(Wanted(value="cat"), limit=9)] == ["images/a"]
        assert changes.count(Wanted(value="bird")) == 0


def test_all_of_it_is_one_transaction() -> None:
    """Each statement by itself would take a hundred times as long."""
    with scratch_database() as scratch:
        changes = FileChanges(scratch)
        changes.add([difference("a", 0)], "")
        changes.find_renames()
        changes.say([("images/a", "one")])
        assert scratch.in_transaction
