"""The uploader: puts before deletes, nothing believed that was not acknowledged, one bad file never stops the rest."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from syncd.batch_run import GIVE_UP_AFTER
from syncd.bodies import SMALL_BYTES
from syncd.errors import (
    ContentChangedStoreError,
    JournalError,
    NeedsPersonStoreError,
    NotFoundStoreError,
    PermanentStoreError,
    TransientStoreError,
)
from syncd.journal import Journal, branch, problems
from syncd.planner.facts import Stage
from syncd.store.memory import MemoryObjectStore, MemoryRepository, MemoryVersionStore
from syncd.uploader import Uploader
from tests.support.observing import START, absent, fingerprint, present

LATER = START + timedelta(seconds=100)


class Files:
    """Contents held in memory; counts how many bodies are open at once."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.rechecked: list[str] = []

    def open(self, key: str) -> BinaryIO:
        if key not in self.content:
            raise FileNotFoundError(key)
        return io.BytesIO(self.content[key])

    def recheck(self, key: str) -> None:
        self.rechecked.append(key)


class _Unreadable(io.BytesIO):
    def read(self, _size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


class Desk:
    """An uploader over a real journal and the in-memory store."""

    def __init__(self, journal: Journal, prefix: str = "") -> None:
        self.journal, self.files = journal, Files()
        self.repository = MemoryRepository()
        self.repository.create("local://photos", "main")
        self.repository.create_branch("staging", "main")
        self.objects = MemoryObjectStore(self.repository, "staging")
        self.versions = MemoryVersionStore(self.repository)
        self.uploader = Uploader(
            journal=journal,
            objects=self.objects,
            contents=self.files,
            check_branch=lambda: self.versions.head("staging"),
            prefix=prefix,
            concurrency=8,
            clock=lambda: LATER,
        )

    async def see(self, **contents: bytes | None) -> None:
        """Let files appear, change or go, and record it."""
        observations = []
        for name, content in contents.items():
            key = f"images/{name}.png"
            if content is None:
                self.files.content.pop(key, None)
                observations.append(absent(key))
            else:
                self.files.content[key] = content
                observations.append(present(key, content))
        await self.journal.record(observations)

    async def due(self) -> Stage:
        puts, deletes = await self.journal.due(LATER, 1000)
        return Stage(puts=puts, deletes=deletes, reason="test")

    async def stage(self):
        return await self.uploader.stage(await self.due())

    def staged(self) -> dict[str, bytes]:
        return {key: stored.content for key, stored in self.repository.tree("staging").items()}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Journal(tmp_path) as journal:
        yield Desk(journal)


async def test_a_batch_brings_the_branch_in_step(desk):
    await desk.see(a=b"a", b=b"b")
    outcome = await desk.stage()
    assert (outcome.uploaded, outcome.sent_bytes) == (2, 2)
    await desk.see(a=None, b=b"b2")
    outcome = await desk.stage()
    assert (outcome.uploaded, outcome.deleted) == (1, 1)
    assert desk.staged() == {"images/b.png": b"b2"}
    assert await desk.due() == Stage(puts=(), deletes=(), reason="test")
    assert (await desk.journal.standing(count_up_to=9)).uncertain == 0


async def test_keys_get_the_prefix_on_the_branch_only(tmp_path):
    async with Journal(tmp_path) as journal:
        desk = Desk(journal, prefix="cats/")
        await desk.see(a=b"a")
        await desk.stage()
        assert list(desk.staged()) == ["cats/images/a.png"]


async def test_large_files_are_streamed(desk):
    await desk.see(large=b"x" * (SMALL_BYTES + 1), small=b"s")
    assert (await desk.stage()).uploaded == 2
    assert desk.staged()["images/large.png"] == b"x" * (SMALL_BYTES + 1)


@pytest.mark.parametrize("size", [10, SMALL_BYTES + 10])
async def test_a_file_that_changed_since_it_was_seen_is_not_sent(desk, size):
    """P2: what is sent is what was observed, or nothing; the source is asked to look again."""
    await desk.see(a=b"a" * size)
    desk.files.content["images/a.png"] = b"b" * size
    outcome = await desk.stage()
    assert (outcome.uploaded, outcome.changed_under_way) == (0, 1)
    assert desk.staged() == {}
    assert desk.files.rechecked == ["images/a.png"]
    standing = await desk.journal.standing(count_up_to=9)
    assert (standing.uncertain, standing.changing_revision) == (0, 1)
    await desk.see(a=b"b" * size)
    assert (await desk.stage()).uploaded == 1


async def test_a_file_that_vanished_is_left_to_the_source(desk):
    await desk.see(a=b"a", b=b"b")
    del desk.files.content["images/a.png"]
    outcome = await desk.stage()
    assert (outcome.uploaded, outcome.changed_under_way, outcome.error) == (1, 1, None)


@pytest.mark.parametrize("size", [10, SMALL_BYTES + 10])
async def test_a_file_that_cannot_be_read_is_left_to_the_source(desk, monkeypatch, size):
    """P8: a bad sector under one file does not stop the rest."""
    await desk.see(a=b"a" * size, b=b"b")
    opened = desk.files.open

    def open_(key: str) -> BinaryIO:
        return _Unreadable(b"a" * size) if key == "images/a.png" else opened(key)

    monkeypatch.setattr(desk.files, "open", open_)
    outcome = await desk.stage()
    assert (outcome.uploaded, outcome.changed_under_way, outcome.error) == (1, 1, None)
    assert desk.files.rechecked == ["images/a.png"]
    assert desk.staged() == {"images/b.png": b"b"}


async def test_a_refused_object_is_named_and_the_rest_goes_on(desk):
    """P8: one bad file never stops the rest, and is not skipped in silence."""
    await desk.see(a=b"a", b=b"b", c=b"c")
    desk.objects.fail_next("put", PermanentStoreError("refused: too odd"))
    outcome = await desk.stage()
    assert (outcome.uploaded, outcome.refused, outcome.error) == (2, 1, None)
    (problem,) = await desk.journal.read(lambda connection: list(problems.standing(connection, limit=9)))
    assert problem.code == "refused"
    assert "too odd" in problem.detail
    assert (await desk.due()).puts == ()  # it waits


async def test_a_refused_object_that_is_taken_later_is_no_problem_any_more(desk):
    await desk.see(a=b"a")
    desk.objects.fail_next("put", PermanentStoreError("refused"))
    await desk.stage()
    puts, _ = await desk.journal.due(LATER + timedelta(hours=1), 10)
    await desk.uploader.stage(Stage(puts=puts, deletes=(), reason="again"))
    assert desk.journal.problem_paths("images") == set()


async def test_a_single_lost_connection_costs_one_more_try(desk):
    await desk.see(a=b"a", b=b"b")
    desk.objects.fail_next("put", TransientStoreError("reset"))
    assert (await desk.stage()).error is None
    again = await desk.due()
    assert [change.attempts for change in again.puts] == [1]
    assert (await desk.stage()).uploaded == 1


async def test_a_lost_reply_is_found_out(desk):
    """P4: the put was applied and its answer lost: the branch is asked, and nothing is sent twice."""
    await desk.see(a=b"a")
    desk.objects.fail_next("put", TransientStoreError("reset"), applied=True)
    await desk.stage()
    assert (await desk.due()).puts == ()
    assert desk.objects.calls["put"] == 1
    assert (await desk.journal.standing(count_up_to=9)).uncertain == 0


async def test_a_store_that_is_down_ends_the_batch_and_leaves_every_change_due(desk):
    names = {f"n{number}": b"x" for number in range(60)}
    await desk.see(**names)
    desk.objects.fail_next("put", TransientStoreError("connection refused"), times=1000)
    outcome = await desk.stage()
    assert isinstance(outcome.error, TransientStoreError)
    assert GIVE_UP_AFTER <= desk.objects.calls["put"] < 60
    assert len((await desk.due()).puts) == 60


async def test_what_only_a_person_can_mend_ends_the_batch(desk):
    await desk.see(a=b"a", b=b"b")
    desk.objects.fail_next("put", NeedsPersonStoreError("the secret is wrong"), times=9)
    assert isinstance((await desk.stage()).error, NeedsPersonStoreError)


async def test_deletes_are_not_sent_to_a_branch_that_is_gone(desk):
    """P9: lakeFS calls deletes on a missing branch a success; so the branch is looked for first."""
    await desk.see(a=b"a")
    await desk.stage()
    await desk.see(a=None)
    desk.repository.delete_branch("staging")
    with pytest.raises(NotFoundStoreError):
        await desk.stage()
    assert desk.objects.calls["delete"] == 0
    assert len((await desk.due()).deletes) == 1


async def test_a_failed_delete_request_leaves_its_keys_unknown_and_due(desk):
    await desk.see(a=b"a", b=b"b")
    await desk.stage()
    await desk.see(a=None, b=None)
    desk.objects.fail_next("delete", TransientStoreError("reset"), applied=True)
    outcome = await desk.stage()
    assert outcome.error is not None
    assert (await desk.journal.standing(count_up_to=9)).uncertain == 2
    assert (await desk.stage()).deleted == 2
    assert desk.staged() == {}


async def test_stopping_finishes_what_is_in_flight_and_starts_nothing(desk):
    """P4: SIGTERM in the middle of a batch leaves the rest due, and nothing unknown."""
    await desk.see(**{f"n{number:02}": b"x" for number in range(40)})
    hold = desk.objects.hold_next("put")
    staging = asyncio.create_task(desk.stage())
    await hold.reached.wait()
    desk.uploader.stop()
    hold.release.set()
    outcome = await staging
    standing = await desk.journal.standing(count_up_to=100)
    assert outcome.uploaded == standing.uncommitted < 40
    assert standing.uncertain == 0


async def test_a_cancelled_batch_is_due_again(desk):
    await desk.see(a=b"a")
    hold = desk.objects.hold_next("put")
    staging = asyncio.create_task(desk.stage())
    await hold.reached.wait()
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    (change,) = (await desk.due()).puts
    assert change.staged == b""
    assert change.fingerprint == fingerprint(b"a")


class FullDisk(Journal):
    """A journal that cannot write what became of a batch."""

    async def finish_in_batch(self, _outcomes, _now):
        raise JournalError("no space left on device")


async def test_a_journal_that_cannot_be_written_ends_the_batch_with_its_own_error(tmp_path):
    """P4: the loop waits and goes on; an error in a group of senders would have ended the daemon."""
    async with FullDisk(tmp_path) as journal:
        desk = Desk(journal)
        await desk.see(**{f"n{number}": b"x" for number in range(600)})  # more than are acknowledged at once
        with pytest.raises(JournalError, match="no space left"):
            await desk.stage()


class Moved:
    """A desk whose branch holds, as committed, what the source then gives other names."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def begin(self, **contents: bytes) -> None:
        await self.desk.see(**contents)
        await self.desk.stage()
        commit_id = self.desk.repository.commit("staging", "first", {}).id
        await self.desk.journal.write(branch.keep_head, commit_id)
        await self.desk.journal.write(
            lambda connection: connection.execute(
                "UPDATE entry"
                " SET committed_sha256 = staged_sha256, committed_bytes = staged_bytes, waiting_since = NULL"
            )
        )


async def test_what_was_moved_is_copied_and_not_sent(desk):
    await Moved(desk).begin(a=b"a", b=b"b")
    await desk.see(a=None, c=b"a", d=b"new")
    desk.files.content.pop("images/c.png")  # it need not even be read
    outcome = await desk.stage()
    assert (outcome.copied, outcome.uploaded, outcome.deleted, outcome.sent_bytes) == (1, 1, 1, 3)
    assert desk.staged() == {"images/b.png": b"b", "images/c.png": b"a", "images/d.png": b"new"}
    assert await desk.due() == Stage(puts=(), deletes=(), reason="test")


async def test_what_was_deleted_from_the_branch_before_is_copied_all_the_same(desk):
    await Moved(desk).begin(a=b"a")
    await desk.see(a=None)
    assert (await desk.stage()).deleted == 1
    await desk.see(c=b"a")
    assert (await desk.stage()).copied == 1
    assert desk.staged() == {"images/c.png": b"a"}


@pytest.mark.parametrize("why", [PermanentStoreError("not here"), NeedsPersonStoreError("not you")])
async def test_what_cannot_be_copied_is_sent(desk, why):
    await Moved(desk).begin(a=b"a")
    await desk.see(a=None, c=b"a")
    desk.objects.fail_next("copy", why)
    outcome = await desk.stage()
    assert (outcome.copied, outcome.uploaded, outcome.refused, outcome.error) == (0, 1, 0, None)
    assert desk.staged() == {"images/c.png": b"a"}


async def test_what_cannot_be_copied_and_is_not_there_any_more_is_left_to_the_source(desk):
    await Moved(desk).begin(a=b"a")
    await desk.see(a=None, c=b"a")
    desk.files.content.pop("images/c.png")
    desk.objects.fail_next("copy", PermanentStoreError("not here"))
    outcome = await desk.stage()
    assert (outcome.copied, outcome.uploaded, outcome.changed_under_way) == (0, 0, 1)
    assert desk.files.rechecked == ["images/c.png"]


async def test_a_copy_that_is_not_answered_is_asked_for_again(desk):
    await Moved(desk).begin(a=b"a")
    await desk.see(a=None, c=b"a")
    desk.objects.fail_next("copy", TransientStoreError("reset"))
    assert (await desk.stage()).error is None
    assert (await desk.stage()).copied == 1
    assert desk.staged() == {"images/c.png": b"a"}


async def test_a_copy_that_turned_out_wrong_is_overwritten(desk):
    """P2: what is on the branch is what was observed, whatever the commit held."""
    await Moved(desk).begin(a=b"a")
    wrong = desk.repository.tree("staging")["images/a.png"]
    commit_id = await desk.journal.read(branch.head)
    desk.repository.tree(commit_id)
    desk.repository.stage("staging", "images/a.png", dataclasses.replace(wrong, content=b"x", etag="0" * 32))
    await desk.journal.write(branch.keep_head, desk.repository.commit("staging", "foreign", {}).id)
    await desk.see(a=None, c=b"a")
    outcome = await desk.stage()
    assert (outcome.copied, outcome.uploaded) == (0, 1)
    assert desk.staged() == {"images/c.png": b"a"}


async def test_a_wrong_copy_of_what_cannot_be_sent_any_more_is_not_known_to_be_there_or_not(desk):
    await Moved(desk).begin(a=b"a")
    await desk.see(a=None, c=b"a")
    desk.files.content.pop("images/c.png")
    desk.objects.fail_next("copy", ContentChangedStoreError("another ETag"))
    await desk.stage()
    assert (await desk.journal.standing(count_up_to=9)).uncertain == 1


async def test_what_vanished_before_its_batch_began_is_never_brought_to_the_branch(desk):
    """P1: it was never sent, so nothing is known of it any more: whatever came there now would be nobody's."""
    await Moved(desk).begin(a=b"a")
    await desk.see(a=None, c=b"a", d=b"d")
    planned = await desk.due()
    await desk.see(c=None, d=None)
    desk.files.content["images/d.png"] = b"d"  # there again, and not seen yet
    outcome = await desk.uploader.stage(planned)
    assert (outcome.copied, outcome.uploaded, outcome.deleted) == (0, 0, 1)
    assert desk.staged() == {}
