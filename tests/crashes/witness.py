"""What must hold whatever happened to the daemon, read with clients that are not syncd's."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from pathlib import Path

import lakefs
from lakefs.exceptions import NotFoundException

from tests.support.comparing import Reader, assert_same, folder
from tests.support.labels import CsvLabels, Rows, SqliteLabels

STAGING, PUBLISH = "syncd-staging", "main"
CSV_KEY = "tables/files.csv"
KNOWN = ("images/", CSV_KEY, "tables/files/_closure.json", "tables/labels/")


class Tables:
    """The same rows twice: a CSV file that waits for its images (P3), and a table of SQLite that only counts them."""

    def __init__(self, directory: Path) -> None:
        self._csv, self._sqlite = CsvLabels(directory), SqliteLabels(directory)
        self._path = directory / "labels.csv"
        common = {"key": "id", "image_column": "image", "poll_seconds": 0.1, "closure_wait_seconds": 600.0}
        self.settings = [
            {"name": "files", "closure": "hold", **self._csv.settings, **common},
            {"name": "labels", "closure": "warn", **self._sqlite.settings, **common},
        ]
        self.rows: dict[str, str | None] = {}

    def write(self, rows: Rows) -> None:
        """Replace both."""
        self.rows = dict(rows)
        self._sqlite.write(rows)
        self._csv.write(rows)

    def assert_in(self, found: dict[str, bytes]) -> None:
        """Fail unless the snapshot holds both as they are."""
        assert found.get(CSV_KEY) == self._path.read_bytes()
        assert SqliteLabels.rows_of(found) == self.rows


class Witness:
    """Looks at one repository; every look fails if a tag has moved or gone since the last one."""

    def __init__(self, reader: Reader, repository: lakefs.Repository) -> None:
        self._reader, self._repository = reader, repository
        self._tags: dict[str, str] = {}

    def tags(self) -> dict[str, str]:
        """P4, P6: return every tag and the commit it points at; none while the repository has not been made."""
        try:
            now = {tag.id: tag.get_commit().id for tag in self._repository.tags()}
        except NotFoundException:
            now = {}
        assert now | self._tags == now, f"a tag moved or went: {self._tags} became {now}"
        self._tags = now
        return now

    def assert_exact(self, tag: str, root: Path, tables: Tables) -> None:
        """P1, P2: the snapshot, and both branches, hold the folder and the tables, byte for byte."""
        for reference in (tag, PUBLISH, STAGING):
            found = self._reader.objects(reference)
            images = {key: body for key, body in found.items() if not key.startswith("tables/")}
            assert_same(images, folder(root))
            tables.assert_in(found)
            _assert_nothing_else(found)

    def assert_nothing_twice(self, tag: str) -> None:
        """P4: one commit and one merge for each intent, one tag for each merge, and nothing left uncommitted."""
        staging, main = self._repository.branch(STAGING), self._repository.branch(PUBLISH)
        merges = [commit for commit in main.log() if len(commit.parents) > 1]
        twice = {"commits": _twice(staging.log()), "merges": _twice(merges)}
        assert not any(twice.values()), f"intents with more than one: {twice}"
        tags = self.tags()
        assert tags[tag] == main.get_commit().id
        assert sorted(tags.values()) == sorted(commit.id for commit in merges), "not one tag for each merge"
        for branch in (staging, main):
            assert list(branch.uncommitted()) == [], f"uncommitted changes on {branch.id}"

    def assert_all_paired(self) -> None:
        """P3: in every snapshot each row of the CSV file, which waits for that, has its image."""
        for tag in self.tags():
            found = self._reader.objects(tag)
            images = {row.partition(",")[2] for row in found.get(CSV_KEY, b"").decode().splitlines()[1:]}
            missing = sorted(image for image in images if "images/" + image not in found)
            assert not missing, f"{tag} has rows without their images: {missing}"


def _assert_nothing_else(found: Iterable[str]) -> None:
    extra = sorted(key for key in found if not key.startswith(KNOWN))
    assert not extra, f"nobody asked for {extra}"


def _twice(commits: Iterable[lakefs.models.Commit]) -> list[str]:
    intents = collections.Counter(
        commit.metadata["syncd.snapshot"] for commit in commits if "syncd.snapshot" in commit.metadata
    )
    return [intent for intent, count in intents.items() if count > 1]
