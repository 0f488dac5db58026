"""What a person calls a snapshot, and which commit that is; over the real store as over the pretended one."""

from __future__ import annotations

import asyncio
import difflib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from syncd.errors import UsageError
from syncd.snapshots.reference import Pinned, UnknownSnapshotError, find, find_at, moment_of
from syncd.store.base import INTENT_METADATA, TAG_METADATA
from tests.support.stores import Stores


@dataclass
class History:
    """Snapshots as syncd makes them: a commit, its merge, a tag that the commit names."""

    stores: Stores

    async def take(self, tag: str, *, named: bool = True) -> str:
        await self.stores.put("images/1.jpg", tag.encode())
        metadata = {INTENT_METADATA: f"intent of {tag}", **({TAG_METADATA: tag} if named else {})}
        commit = await self.stores.versions.commit("staging", tag, metadata)
        merged = await self.stores.versions.merge(commit.id, "main", tag, metadata)
        await self.stores.versions.create_tag(tag, merged.id)
        return merged.id

    async def find(self, asked: str) -> Pinned:
        return await find(self.stores.versions, asked, publish="main")


@pytest.fixture
def history(stores: Stores) -> History:
    return History(stores)


async def test_a_tag_a_commit_and_its_beginning_mean_the_same_snapshot(history: History) -> None:
    first, second = await history.take("snap-1"), await history.take("snap-2")
    for asked in ("snap-1", first, first[:12]):
        found = await history.find(asked)
        assert (found.tag, found.commit.id) == ("snap-1", first)
    assert (await history.find("main")).commit.id == second


async def test_a_tag_that_someone_else_made_is_named_as_it_was_asked_for(history: History) -> None:
    made = await history.take("snap-1")
    await history.stores.versions.create_tag("for-the-paper", made)
    assert (await history.find("for-the-paper")).tag == "for-the-paper"
    assert (await history.find(made)).tag == "snap-1"


async def test_the_latest_is_the_newest_snapshot_and_not_what_others_committed(history: History) -> None:
    await history.take("snap-1")
    made = await history.take("snap-2")
    await history.stores.put("images/2.jpg", b"two")
    await history.stores.commit("by someone else")
    await history.stores.publish()
    found = await history.find("latest")
    assert (found.tag, found.commit.id) == ("snap-2", made)


async def test_a_snapshot_of_an_older_syncd_is_named_by_its_tag(history: History) -> None:
    """Its commit does not say which one it got."""
    made = await history.take("snap-1", named=False)
    assert (await history.find("latest")) == await history.find("snap-1")
    assert (await history.find(made)).tag == "snap-1"


async def test_a_commit_that_is_no_snapshot_has_no_tag(history: History) -> None:
    await history.stores.put("images/2.jpg", b"two")
    made = await history.stores.commit("by someone else")
    found = await history.find(made)
    assert (found.commit.id, found.tag) == (made, None)


async def test_a_time_means_the_newest_snapshot_made_by_then(history: History) -> None:
    made = []
    for number in range(3):
        made.append(await history.take(f"snap-{number}"))
        await asyncio.sleep(1.1)  # lakeFS keeps whole seconds
    times = [(await history.find(commit)).commit.created_at for commit in made]
    assert times == sorted(times)
    versions, moment = history.stores.versions, timedelta(milliseconds=1)
    for at, tag in [(times[0], "snap-0"), (times[1] - moment, "snap-0"), (times[2] + timedelta(days=1), "snap-2")]:
        assert (await find_at(versions, at, publish="main")).tag == tag
    with pytest.raises(UnknownSnapshotError, match="no snapshot yet at"):
        await find_at(versions, times[0] - moment, publish="main")


async def test_before_the_first_there_is_none(history: History) -> None:
    with pytest.raises(UnknownSnapshotError, match="no snapshot yet"):
        await history.find("latest")


@pytest.mark.parametrize(
    ("asked", "near"),
    [("snap-20261124", "snap-20261124T12Z-2, snap-20261124T11Z-1"), ("snp-20261124T12Z-2", "snap-20261124T12Z-2")],
)
async def test_what_is_not_there_is_answered_with_what_is_called_similarly(
    history: History, asked: str, near: str
) -> None:
    for tag in ("snap-20261124T11Z-1", "snap-20261124T12Z-2"):
        await history.take(tag)
    with pytest.raises(UnknownSnapshotError) as refused:
        await history.find(asked)
    assert f"similar: {near}" in str(refused.value)


async def test_similar_names_are_looked_for_beside_the_event_loop(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among thousands of tags that takes a good part of a second."""
    looked_in: list[threading.Thread] = []
    real = difflib.get_close_matches

    def spy(*args: object, **options: object) -> list[str]:
        looked_in.append(threading.current_thread())
        return real(*args, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(difflib, "get_close_matches", spy)
    await history.take("snap-1")
    with pytest.raises(UnknownSnapshotError, match="no tag"):
        await history.find("snp-1")
    assert len(looked_in) == 1
    assert looked_in[0] is not threading.current_thread()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T13:30", datetime(2026, 11, 1, 13, 30, tzinfo=UTC)),
        ("2026-11-01T13:30:05+02:00", datetime(2026, 11, 1, 11, 30, 5, tzinfo=UTC)),
        ("20261101T133005Z", datetime(2026, 11, 1, 13, 30, 5, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_it_is_written(text: str, moment: datetime) -> None:
    assert moment_of(text) == moment


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a time"):
        moment_of("yesterday")
