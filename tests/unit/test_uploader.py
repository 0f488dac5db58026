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
from syncd.gate import Gate
from syncd.journal import Journal, branch, pictures, problems, tables
from syncd.journal.staging import Staged
from syncd.model import Problem, ProblemCode
from syncd.planner.facts import Stage
from syncd.service.contents import SourceContents
from syncd.sources.tables.spool import Spool
from syncd.store.base import DeleteOutcome
from syncd.store.memory import MemoryObjectStore, MemoryRepository, MemoryVersionStore
from syncd.uploader import TRIES, Uploader
from tests.support.observing import START, absent, fingerprint, present
from tests.support.table_versions import csv_version, table_object, table_version
from tests.unit.test_journal import publish_all

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

    def __init__(
        self, journal: Journal, prefix: str = "", objects: type[MemoryObjectStore] = MemoryObjectStore
    ) -> None:
        self.journal, self.files = journal, Files()
        self.repository = MemoryRepository()
        self.repository.create("local://photos", "main")
        self.repository.create_branch("staging", "main")
        self.objects = objects(self.repository, "staging")
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


async def refuse(desk, times=1):
    """Let one object be refused, each time after its pause."""
    desk.objects.fail_next("put", TransientStoreError("500: this one is odd"), times=times)
    for _ in range(times):
        puts, _ = await desk.journal.due(LATER + timedelta(hours=1), 10)
        await desk.uploader.stage(Stage(puts=puts, deletes=(), reason="test"))


async def named(desk):
    return await desk.journal.read(lambda connection: [one.path for one in problems.standing(connection, limit=9)])


async def test_a_batch_that_was_given_up_says_nothing_of_what_was_refused_before(desk):
    """P8: only success ends a refusal, and success does."""
    await desk.see(a=b"a")
    await refuse(desk, TRIES)
    assert await named(desk) == ["a.png"]
    desk.objects.fail_next("put", NeedsPersonStoreError("the secret is wrong"))
    puts, _ = await desk.journal.due(LATER + timedelta(hours=1), 10)
    assert (await desk.uploader.stage(Stage(puts=puts, deletes=(), reason="away"))).error is not None
    assert [change.attempts for change in (await desk.due()).puts] == [TRIES]
    assert await named(desk) == ["a.png"]
    assert (await desk.stage()).uploaded == 1
    assert await named(desk) == []


class RefusesFirstDeletes(MemoryObjectStore):
    """It answers the first request for deletes, and refuses each of them."""

    async def delete(self, keys):
        if self.calls["delete"]:
            return await super().delete(keys)
        self.calls["delete"] += 1
        return DeleteOutcome(deleted=frozenset(), failed={key: PermanentStoreError("refused") for key in keys})


async def test_a_deletion_that_was_refused_and_then_done_is_no_problem_any_more(tmp_path):
    async with Journal(tmp_path) as journal:
        await deleted_after_a_refusal(Desk(journal, objects=RefusesFirstDeletes))


async def deleted_after_a_refusal(desk):
    await desk.see(a=b"a", b=b"b")
    await desk.stage()
    await desk.see(a=None)
    assert (await desk.stage()).refused == 1
    assert await named(desk) == ["a.png"]
    _, deletes = await desk.journal.due(LATER + timedelta(hours=1), 10)
    assert (await desk.uploader.stage(Stage(puts=(), deletes=deletes, reason="again"))).deleted == 1
    assert await named(desk) == []


async def test_another_problem_of_a_path_is_not_taken_back_by_its_upload(desk):
    """A source names it, and takes it back."""
    await desk.see(a=b"a")
    restless = Problem(source="images", path="a.png", code=ProblemCode.NEVER_SETTLES, detail="d", since=START)
    await desk.journal.set_problems("images", [restless])
    assert (await desk.stage()).uploaded == 1
    assert await named(desk) == ["a.png"]


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


class Removed:
    """A desk whose table was half sent by a process before, and is not configured any more."""

    def __init__(self, journal: Journal, spools: Path) -> None:
        self.journal, self.desk = journal, Desk(journal)
        self.spool = Spool(spools / "labels")
        gate = Gate(journal=journal, tables=[], spool=Spool(spools / "_closure"), clock=lambda: LATER)
        self.uploader = Uploader(
            journal=journal,
            objects=self.desk.objects,
            contents=SourceContents([], gate, journal, spools),
            check_branch=lambda: self.desk.versions.head("staging"),
            prefix="",
            concurrency=2,
            clock=lambda: LATER,
        )

    async def read(self, *bodies: bytes) -> None:
        """Record a version in parts, with its bodies in the spool."""
        for body in bodies:
            with self.spool.new_file() as path:
                path.write_bytes(body)
                self.spool.keep(path)
        found = [table_object(f"tables/labels/part-{n}.parquet", body, rows=1) for n, body in enumerate(bodies)]
        await self.journal.record_table(table_version("labels", *found, schema="{}"), changed_parts=None)

    async def stage(self, most: int = 1000):
        puts, deletes = await self.journal.due(LATER, 1000)
        batch = Stage(puts=puts[:most], deletes=deletes if most > len(puts) else (), reason="test")
        return await self.uploader.stage(batch)

    async def restart_without_it(self) -> None:
        await self.journal.write(tables.forget, [])


@pytest.fixture
async def removed(tmp_path: Path) -> AsyncIterator[Removed]:
    async with Journal(tmp_path) as journal:
        yield Removed(journal, tmp_path / "tables")


async def test_a_table_removed_while_half_of_it_was_sent_is_sent_whole(removed):
    """P2: from what is still in its spool. Nothing is published before, and no call waits in vain afterwards."""
    await removed.read(b"old 0", b"old 1", b"old 2")
    await removed.stage()
    await removed.read(b"new 0", b"new 1")
    await removed.stage(most=1)
    await removed.restart_without_it()
    assert (await removed.journal.standing(count_up_to=9)).unstaged_tables == 2
    outcome = await removed.stage()
    assert (outcome.uploaded, outcome.deleted, outcome.refused, outcome.changed_under_way) == (1, 1, 0, 0)
    assert removed.desk.staged() == {
        "tables/labels/part-0.parquet": b"new 0",
        "tables/labels/part-1.parquet": b"new 1",
    }
    standing = await removed.journal.standing(count_up_to=9)
    assert (standing.unstaged_tables, standing.uncertain, standing.changing_revision) == (0, 0, None)
    await removed.restart_without_it()
    assert removed.journal.known_table("labels") is None
    assert removed.desk.staged().keys() == {"tables/labels/part-0.parquet", "tables/labels/part-1.parquet"}


async def test_half_of_a_removed_table_that_is_lost_is_named_and_not_published(removed):
    """P2, P8: as where somebody has cleaned up after the table; it takes the table to make it whole."""
    await removed.read(b"new 0", b"new 1")
    await removed.stage(most=1)
    removed.spool.sweep([])
    await removed.restart_without_it()
    outcome = await removed.stage()
    assert (outcome.uploaded, outcome.refused, outcome.error) == (0, 1, None)
    standing = await removed.journal.standing(count_up_to=9)
    assert (standing.unstaged_tables, standing.uncertain, standing.changing_revision) == (1, 0, None)
    (problem,) = await removed.journal.read(lambda connection: list(problems.standing(connection, limit=9)))
    assert (problem.source, problem.path) == ("labels", "tables/labels/part-1.parquet")
    assert "put the table labels back into the configuration" in problem.detail
    await removed.read(b"new 0", b"new 1")  # it is back
    puts, _ = await removed.journal.due(LATER + timedelta(hours=1), 10)
    assert (await removed.uploader.stage(Stage(puts=puts, deletes=(), reason="again"))).uploaded == 1
    assert await named(removed) == []


@pytest.mark.parametrize("arrived", [False, True])
async def test_what_became_of_a_removed_file_that_was_under_way_is_found_out(removed, arrived):
    """P4: else nothing would ever be published again."""
    await removed.journal.record_table(csv_version("labels", b"v1", rows=1), changed_parts=None)
    (change,) = (await removed.journal.due(LATER, 10))[0]
    begun = await removed.journal.begin_batch([change], LATER)
    await removed.desk.objects.put("tables/labels.csv", b"v1", change.fingerprint, "text/csv")
    done = Staged(key=change.key, sha256=change.fingerprint.sha256, size_bytes=2, sent=True)
    await removed.journal.end_batch(begun.number, LATER, [done])
    await publish_all(removed.journal)
    await removed.journal.record_table(csv_version("labels", b"v2", rows=2), changed_parts=None)
    (change,) = (await removed.journal.due(LATER, 10))[0]
    await removed.journal.begin_batch([change], LATER)  # and no more is known
    if arrived:
        await removed.desk.objects.put("tables/labels.csv", b"v2", change.fingerprint, "text/csv")
    await removed.restart_without_it()
    await removed.stage()
    standing = await removed.journal.standing(count_up_to=9)
    assert (standing.uncertain, standing.unstaged_tables, standing.changing_revision) == (0, 0, None)
    entry = await removed.journal.read(pictures.entry, "tables/labels.csv")
    assert entry.staged == fingerprint(b"v2" if arrived else b"v1").sha256
    assert standing.uncommitted == arrived
    await removed.restart_without_it()
    assert (await removed.journal.standing(count_up_to=9)).waiting_since == (START if arrived else None)
    assert await named(removed) == []
    assert removed.journal.known_table("labels") is None


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
