"""A dataset whose requests pass through a proxy that can misbehave, and what must hold whatever it did."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterator

import lakefs
import pytest

from tests.acceptance.conftest import (  # noqa: F401 - fixtures
    dataset,
    make_dataset,
    pytest_configure,
    reader,
    versions,
)
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset
from tests.support.fault_proxy import FaultProxy
from tests.support.figures import figures, rng, seed  # noqa: F401 - fixtures


@pytest.fixture
def proxy(lakefs_server, rng: random.Random) -> Iterator[FaultProxy]:  # noqa: F811
    with FaultProxy(lakefs_server.endpoint, random.Random(rng.getrandbits(32))) as proxy:
        yield proxy
        print("done by the proxy:", dict(proxy.done))  # noqa: T201 - shown when the test fails


@pytest.fixture
def behind(make_dataset: Callable[..., Dataset], proxy: FaultProxy) -> Dataset:  # noqa: F811
    """A dataset behind the proxy, with a snapshot as soon as nothing has changed for a moment."""
    made = make_dataset()
    made.configure(lakefs={"endpoint": proxy.endpoint}, snapshot={"quiet_seconds": 0.2, "max_wait_seconds": 2})
    return made


class Outcome:
    """What stands in lakeFS, read past the proxy with clients that are not syncd's.

    Every look also fails if a tag has moved or gone since the last one (P6).
    """

    def __init__(self, dataset: Dataset, reader: Reader, versions: lakefs.Repository) -> None:  # noqa: F811
        self._dataset, self._reader, self._versions = dataset, reader, versions
        self._tags: dict[str, str] = {}

    def tags(self) -> dict[str, str]:
        """Return every tag and the commit it points at."""
        now = {tag.id: tag.get_commit().id for tag in self._versions.tags()}
        assert now | self._tags == now, "a tag moved or went"
        self._tags = now
        return now

    def wait_until_published(self, *, timeout_s: float, than: str | None = None) -> str:
        """Wait until the daemon is idle with a snapshot newer than ``than``, and return the snapshot's tag."""
        status = self._dataset.status_until(
            lambda seen: seen["state"] == "idle" and seen["snapshot"] and seen["snapshot"]["tag"] != than,
            "everything is published",
            timeout_s=timeout_s,
        )
        return status["snapshot"]["tag"]

    def assert_exact(self, tag: str) -> None:
        """P1, P4, P6, P8: the snapshot is the folder, nothing was made twice, nothing is named as not synced.

        Each earlier snapshot must hold as many images and bytes as its commit says.
        """
        expected = folder(self._dataset.root)
        for reference in (tag, "main", "syncd-staging"):
            assert_same(self._reader.objects(reference), expected)
        staging, main = self._versions.branch("syncd-staging"), self._versions.branch("main")
        merges = [commit for commit in main.log() if len(commit.parents) > 1]
        twice = {how: _twice(commits) for how, commits in (("commit", staging.log()), ("merge", merges))}
        assert not any(twice.values()), f"intents with more than one commit: {twice}"
        tags = self.tags()
        assert tags[tag] == main.get_commit().id
        assert sorted(tags.values()) == sorted(commit.id for commit in merges), "not one tag for each merge"
        for commit in merges:
            found, said = self._reader.objects(commit.id), commit.metadata
            described = (int(said["syncd.images"]), int(said["syncd.bytes"]))
            assert (len(found), sum(map(len, found.values()))) == described, f"{commit.id} is not what it says"
        for branch in (staging, main):
            assert list(branch.uncommitted()) == []
        status = self._dataset.status()
        assert (status["failure"], status["problems"], status["hold"]) == ("", [], "")
        assert self._dataset.daemons[-1].exit_code is None


def _twice(commits: Iterator[lakefs.models.Commit]) -> list[str]:
    intents = collections.Counter(
        commit.metadata["syncd.snapshot"] for commit in commits if "syncd.snapshot" in commit.metadata
    )
    return [intent for intent, count in intents.items() if count > 1]


@pytest.fixture
def outcome(behind: Dataset, reader: Reader, versions: lakefs.Repository) -> Outcome:  # noqa: F811
    return Outcome(behind, reader, versions)
