"""What differs between two listings, and what of it was only renamed."""

from __future__ import annotations

import sqlite3
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.snapshots.file_changes import Amount, FileChanges
from syncd.store.base import Difference


@pytest.fixture
def changes() -> FileChanges:
    return FileChanges(sqlite3.connect("", isolation_level=None))


def difference(path: str, kind: str, content: bytes | None = None, *, size_bytes: int = 4) -> Difference:
    size_bytes = size_bytes if content is None else len(content)
    return Difference(key=f"photos/{path}", kind=kind, size_bytes=size_bytes, sha256=content)


def found(changes: FileChanges, *differences: Difference) -> list[tuple[str, str, str | None]]:
    changes.add(differences, "photos/")
    changes.find_renames()
    return [(one.kind, one.path, one.old_path) for one in changes.all()]


def test_what_left_one_path_and_came_to_another_was_renamed(changes: FileChanges) -> None:
    assert found(
        changes,
        difference("images/z.png", "removed", b"cat"),
        difference("images/a.png", "added", b"cat"),
        difference("images/b.png", "added", b"dog"),
        difference("images/c.png", "changed", b"dog"),
        difference("images/d.png", "removed", b"cow"),
    ) == [
        ("renamed", "images/a.png", "images/z.png"),
        ("added", "images/b.png", None),
        ("changed", "images/c.png", None),
        ("removed", "images/d.png", None),
    ]
    assert changes.stat() == {kind: Amount(1, 3) for kind in ("added", "changed", "removed", "renamed")}


def test_several_of_one_content_are_paired_in_their_order(changes: FileChanges) -> None:
    gone = [difference(f"images/{name}", "removed", b"cat") for name in "edc"]
    come = [difference(f"images/{name}", "added", b"cat") for name in "ba"]
    assert found(changes, *gone, *come) == [
        ("renamed", "images/a", "images/c"),
        ("renamed", "images/b", "images/d"),
        ("removed", "images/e", None),
    ]


def test_what_syncd_did_not_write_is_asked_for_where_it_may_have_been_renamed(changes: FileChanges) -> None:
    """P7: not where nothing of that size came, or went."""
    differences = [
        difference("images/a", "added", size_bytes=4),
        difference("images/b", "added", size_bytes=5),
        difference("images/c", "removed", size_bytes=6),
        difference("images/d", "removed", b"cats"),
        difference("images/e", "changed", size_bytes=4),
    ]
    changes.add(differences, "photos/")
    assert changes.unknown() == [("images/a", "added")]
    changes.learn("images/a", b"cats")
    changes.find_renames()
    assert [one.old_path for one in changes.all() if one.kind == "renamed"] == ["images/d"]


def test_objects_of_tables_are_not_renamed(changes: FileChanges) -> None:
    differences = [difference("tables/a.csv", "removed", b"id"), difference("tables/b.csv", "added", b"id")]
    assert [kind for kind, _, _ in found(changes, *differences)] == ["removed", "added"]
    assert [path for path, *_ in changes.below("tables/a")] == ["tables/a.csv"]


@settings(deadline=None)
@given(
    before=st.dictionaries(st.text("abc/", min_size=1, max_size=3), st.binary(max_size=1), max_size=12),
    after=st.dictionaries(st.text("abc/", min_size=1, max_size=3), st.binary(max_size=1), max_size=12),
)
def test_as_many_are_renamed_as_can_be(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    gone = {path: content for path, content in before.items() if path not in after}
    come = {path: content for path, content in after.items() if path not in before}
    changes = FileChanges(sqlite3.connect("", isolation_level=None))
    listed = [difference(path, "removed", content) for path, content in gone.items()]
    told = found(changes, *listed, *[difference(path, "added", content) for path, content in come.items()])
    renamed = {new: old for kind, new, old in told if kind == "renamed"}
    both = Counter(gone.values()) & Counter(come.values())
    assert Counter(come[new] for new in renamed) == both == Counter(gone[old] for old in renamed.values())
    assert {new for kind, new, _ in told if kind == "added"} == come.keys() - renamed.keys()
    assert {old for kind, old, _ in told if kind == "removed"} == gone.keys() - set(renamed.values())
