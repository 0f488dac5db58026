"""What must hold of every snapshot of a history, whatever was done; read with clients that are not syncd's."""

from __future__ import annotations

from collections.abc import Mapping

import lakefs

from syncd.model import IMAGES
from tests.crashes.witness import PUBLISH, STAGING, Witness
from tests.support.comparing import Reader, assert_same
from tests.torture.place import LIST_KEY, TABLE_KEY, Place, is_whole, rows_of, unfit

Tree = Mapping[str, bytes]


def images_in(tree: Tree) -> dict[str, bytes]:
    return {key: body for key, body in tree.items() if key.startswith(IMAGES)}


class Judge:
    """Looks at one repository.

    Args:
        everything: Reads all of a reference: a snapshot's keys begin with ``prefix``.
        repository: The same, through lakeFS's own client.
        place: What is watched.
        prefix: Below which syncd may write.
        closure: The policy of the table.
        others: What stands outside the prefix, of someone else.
    """

    def __init__(
        self,
        everything: Reader,
        repository: lakefs.Repository,
        *,
        place: Place,
        prefix: str,
        closure: str,
        others: Tree,
    ) -> None:
        self._reader, self._repository, self._place = everything, repository, place
        self._prefix, self._closure, self._others = prefix, closure, dict(others)
        self._witness = Witness(everything, repository)
        self._trees: dict[str, dict[str, bytes]] = {}  # tag -> what it held when it was first seen
        self.published: dict[str, bytes] = {}  # what the newest snapshot known to be exact held

    @property
    def count(self) -> int:
        """How many snapshots were seen."""
        return len(self._trees)

    def look(self) -> None:
        """P2, P3, P5, P6, P9: see what is new, the oldest first."""
        new = self._witness.tags().keys() - self._trees.keys()
        for tag in sorted(new, key=_number):
            before = next(reversed(self._trees.values()), {})
            self._trees[tag] = tree = self._read(tag)
            try:
                self._assert_sound(tree, images_in(before))
            except AssertionError as error:
                raise AssertionError(f"{tag}: {error}") from error

    def assert_exact(self, tag: str | None) -> None:
        """P1: the snapshot and both branches hold the folder and the table as they are."""
        self.look()
        expected, rows = self._place.images(self.published), self._place.rows
        if self._closure == "exclude":
            named = {IMAGES + image for image in rows.values() if image is not None}
            rows = {key: image for key, image in rows.items() if IMAGES + (image or "") in expected}
            expected = {key: body for key, body in expected.items() if key in named}
        for reference in (tag, PUBLISH, STAGING):
            tree = self._read(reference or PUBLISH)
            try:
                assert_same(images_in(tree), expected)
                assert rows_of(tree[TABLE_KEY]) == rows
                assert self._closure == "exclude" or tree[TABLE_KEY] == self._place.table
            except AssertionError as error:
                raise AssertionError(f"{reference}: {error}") from error
        self.published = self._read(PUBLISH)

    def assert_kept(self, reader: Reader, tag: str) -> None:
        """P4, P6, P9: at the end, with a reader that has read nothing yet."""
        self._witness.assert_nothing_twice(tag)
        for seen, tree in self._trees.items():
            held = {key.removeprefix(self._prefix): body for key, body in reader.objects(seen).items()}
            assert_same(held, tree | self._others)
        branches = {branch.id for branch in self._repository.branches() if "-lease" not in branch.id}
        assert branches == {PUBLISH, STAGING}

    def _read(self, reference: str) -> dict[str, bytes]:
        """Return what stands below the prefix; all else must be someone else's, and as it was (P9)."""
        found = self._reader.objects(reference)
        others = {key: body for key, body in found.items() if key in self._others}
        if reference != STAGING or others:  # the staging branch may have begun before the others came
            assert others == self._others, "what stood outside the prefix has changed"
        mine = {key: body for key, body in found.items() if key not in others}
        astray = [key for key in mine if not key.startswith(self._prefix)]
        assert not astray, f"outside the prefix: {astray}"
        return {key.removeprefix(self._prefix): body for key, body in mine.items()}

    def _assert_sound(self, tree: Tree, before: Tree) -> None:
        images, place = images_in(tree), self._place
        torn = [key for key, body in images.items() if not is_whole(body) or body not in place.lived[key]]
        assert not torn, f"nobody wrote these so: {torn}"
        unknown = tree.keys() - images.keys() - {TABLE_KEY, LIST_KEY}
        assert not unknown, f"nobody asked for {unknown}"
        self._assert_closed(tree, images)
        if self._closure != "exclude":
            lost = before.keys() - images.keys() - place.removed
            assert not lost, f"deleted, though the source has always had them: {sorted(lost)}"

    def _assert_closed(self, tree: Tree, images: Tree) -> None:
        if TABLE_KEY not in tree:
            assert self._closure not in {"hold", "exclude"}, "images without the table they belong to"
            return
        rows = rows_of(tree[TABLE_KEY])
        assert self._closure == "exclude" or tree[TABLE_KEY] in self._place.versions, "a table that nobody wrote so"
        missing, orphaned = unfit(rows, images)
        if self._closure in {"hold", "exclude"}:
            assert not missing, f"rows without images: {missing}"
            assert not orphaned, f"images without rows: {orphaned}"
        if self._closure == "warn":
            assert (LIST_KEY in tree) == bool(missing or orphaned), (
                f"what does not fit is not told: {missing, orphaned}"
            )


def _number(tag: str) -> int:
    return int(tag.rpartition("-")[2])
