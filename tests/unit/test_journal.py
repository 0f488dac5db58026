"""The journal: observations become due changes, batches and snapshots take them over, crashes leave them due."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.errors import JournalBrokenError, JournalError
from syncd.fingerprint import SetDigest
from syncd.journal import Journal, adoption, migrate, pictures, problems, reading, snapshots, staging
from syncd.journal.journal import open_readonly
from syncd.journal.staging import Staged
from syncd.model import Problem, ProblemCode, Signature, Trigger
from tests.support.observing import START, absent, fingerprint, present
from tests.support.table_versions import csv_version

LATER = START + timedelta(seconds=100)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal(tmp_path) as opened:
        yield opened


async def stage_all(journal: Journal) -> None:
    puts, deletes = await journal.due(LATER, 1000)
    batch = (await journal.begin_batch((*puts, *deletes), LATER)).number
    done = [
        Staged(
            key=change.key,
            sha256=change.fingerprint.sha256 if change.fingerprint else None,
            size_bytes=change.fingerprint.size_bytes if change.fingerprint else None,
            sent=True,
        )
        for change in (*puts, *deletes)
    ]
    await journal.finish_in_batch(done, LATER)
    await journal.end_batch(batch, LATER)


async def begin(journal: Journal, tag: str = "snap-1", trigger: Trigger = Trigger.QUIET) -> snapshots.OpenSnapshot:
    summary = await journal.read(snapshots.summarise)
    await journal.begin_snapshot(
        summary, intent=f"intent-{tag}", trigger=trigger, tag=tag, message="m", metadata={"a": "b"}, now=LATER
    )
    opened = await journal.open_snapshot()
    assert opened is not None
    return opened


async def publish_all(journal: Journal, tag: str = "snap-1") -> None:
    opened = await begin(journal, tag)
    await journal.write(snapshots.committed, opened.sequence, "c1")
    await journal.write(snapshots.merged, opened.sequence, "m1", LATER)
    await journal.write(snapshots.tagged, opened.sequence)


async def due_keys(journal: Journal) -> tuple[list[str], list[str]]:
    puts, deletes = await journal.due(LATER, 1000)
    return [change.key for change in puts], [change.key for change in deletes]


async def test_a_new_file_is_due_until_it_is_staged_and_waits_until_it_is_committed(journal):
    await journal.record([present("images/a.png", b"a"), present("tables/labels.csv", b"id")])
    assert await due_keys(journal) == (["tables/labels.csv", "images/a.png"], [])

    await stage_all(journal)
    assert await due_keys(journal) == ([], [])
    standing = await journal.standing(count_up_to=10)
    assert (standing.uncommitted, standing.waiting_since, standing.live_images) == (2, START, 1)

    await publish_all(journal)
    standing = await journal.standing(count_up_to=10)
    assert (standing.uncommitted, standing.waiting_since, standing.next_sequence) == (0, None, 2)
    assert standing.last_snapshot_at == LATER


async def test_the_same_content_with_other_times_is_no_change(journal):
    """P7: `touch` costs a new signature and nothing else."""
    await journal.record([present("images/a.png", b"a")])
    before = await journal.standing(count_up_to=10)
    await journal.record([present("images/a.png", b"a", mtime_ns=99, at=LATER)])
    assert await journal.standing(count_up_to=10) == before
    assert journal.known(["images/a.png"]) == {"images/a.png": Signature(1, 99, 99, 7)}


async def test_a_content_that_comes_back_is_not_due_any_more(journal):
    await journal.record([present("images/a.png", b"a")])
    await stage_all(journal)
    await publish_all(journal)
    await journal.record([present("images/a.png", b"b")])
    assert (await due_keys(journal))[0] == ["images/a.png"]
    await journal.record([present("images/a.png", b"a")])
    assert await due_keys(journal) == ([], [])
    assert (await journal.standing(count_up_to=10)).waiting_since is None


async def test_a_file_that_came_and_went_unsent_leaves_nothing(journal):
    await journal.record([present("images/a.png", b"a"), absent("images/a.png"), absent("images/never.png")])
    assert await journal.read(pictures.entry, "images/a.png") is None
    assert (await journal.standing(count_up_to=10)).live_images == 0


async def test_a_deleted_file_is_due_for_deletion_and_forgotten_once_committed(journal):
    await journal.record([present("images/a.png", b"a"), present("images/b.png", b"b")])
    await stage_all(journal)
    await publish_all(journal)
    await journal.record([absent("images/a.png")])
    assert await due_keys(journal) == ([], ["images/a.png"])
    await stage_all(journal)
    await publish_all(journal, "snap-2")
    assert await journal.read(pictures.entry, "images/a.png") is None
    newest = await journal.latest_snapshot()
    assert (newest.added, newest.deleted, newest.images, newest.size_bytes) == (0, 1, 1, 1)


async def test_the_digest_follows_the_content_whatever_the_way_there(journal):
    """Two histories that end in the same files have the same digest."""
    await journal.record([present("images/a.png", b"a"), present("images/b.png", b"b")])
    await stage_all(journal)
    await publish_all(journal)
    await journal.record([absent("images/a.png"), present("images/b.png", b"bb"), present("images/c.png", b"c")])
    await stage_all(journal)
    await publish_all(journal, "snap-2")
    expected = SetDigest()
    expected.add("images/b.png", fingerprint(b"bb").sha256)
    expected.add("images/c.png", fingerprint(b"c").sha256)
    assert (await journal.latest_snapshot()).digest == expected.hexdigest()


async def test_an_interrupted_batch_is_due_again_whatever_the_branch_holds(tmp_path):
    """P4: between the intent and the outcome nobody knows; so the change is due, even if the file went back."""
    async with Journal(tmp_path) as journal:
        await journal.record([present("images/a.png", b"a")])
        await stage_all(journal)
        await publish_all(journal)
        await journal.record([present("images/a.png", b"b")])
        puts, _ = await journal.due(LATER, 10)
        await journal.begin_batch(puts, LATER)
    async with Journal(tmp_path) as journal:
        await journal.record([present("images/a.png", b"a")])  # back to what the journal last knew as staged
        assert await due_keys(journal) == (["images/a.png"], [])
        assert (await journal.standing(count_up_to=10)).uncertain == 1


async def test_a_change_during_the_upload_stays_due(journal):
    await journal.record([present("images/a.png", b"a")])
    puts, _ = await journal.due(LATER, 10)
    await journal.begin_batch(puts, LATER)
    await journal.record([present("images/a.png", b"b")])
    sent = Staged(key="images/a.png", sha256=fingerprint(b"a").sha256, size_bytes=1, sent=True)
    await journal.finish_in_batch([sent], LATER)
    (again,), _ = await journal.due(LATER, 10)
    assert again.fingerprint == fingerprint(b"b")
    assert again.revision == 2  # a request that asked for the first content is served


async def test_what_was_not_sent_keeps_its_place_and_what_was_refused_waits(journal):
    await journal.record([present("images/a.png", b"a"), present("images/b.png", b"b")])
    puts, _ = await journal.due(LATER, 10)
    await journal.begin_batch(puts, LATER)
    until = LATER + timedelta(seconds=30)
    await journal.finish_in_batch(
        [
            Staged(key="images/a.png", sha256=None, size_bytes=None, sent=False),
            Staged(key="images/b.png", sha256=None, size_bytes=None, sent=False, refused=True, retry_at=until),
        ],
        LATER,
    )
    assert (await due_keys(journal))[0] == ["images/a.png"]
    assert await journal.read(staging.blocked_until, LATER) == until
    assert await journal.read(staging.blocked_up_to, 5, 10) == [("images/b.png", False)]
    (_, refused), _ = await journal.due(until, 10)
    assert (refused.revision, refused.attempts) == (2, 1)
    given_up = Staged(key="images/b.png", sha256=None, size_bytes=None, sent=False)
    await journal.finish_in_batch([given_up], LATER)
    (_, refused), _ = await journal.due(LATER, 10)
    assert refused.attempts == 1  # it was not offered
    await journal.record([present("images/b.png", b"new")])  # another content has not been refused yet
    assert (await due_keys(journal))[0] == ["images/a.png", "images/b.png"]


async def test_one_snapshot_at_a_time(journal):
    """P4: no second commit for one intent: the schema itself refuses a second open snapshot."""
    await journal.record([present("images/a.png", b"a")])
    await stage_all(journal)
    await begin(journal)
    opened = await journal.open_snapshot()
    assert (opened.tag, opened.step, opened.metadata) == ("snap-1", "begun", {"a": "b"})
    with pytest.raises(JournalBrokenError):
        await begin(journal, "snap-2")


async def test_a_snapshot_that_comes_to_nothing_is_forgotten_and_its_number_used_again(journal):
    await journal.record([present("images/a.png", b"a")])
    await stage_all(journal)
    opened = await begin(journal)
    await journal.write(snapshots.abandon, opened.sequence)
    assert await journal.open_snapshot() is None
    standing = await journal.standing(count_up_to=10)
    assert (standing.uncommitted, standing.next_sequence) == (0, 1)
    assert (await journal.read(pictures.counts)).images == 1


async def test_row_counts_go_with_the_version_of_the_table_that_is_staged(journal):
    await journal.record_table(csv_version("labels", b"v1", rows=3), changed_parts=None)
    await stage_all(journal)
    assert (await journal.read(snapshots.summarise)).rows == {"labels": 3}
    await journal.record_table(csv_version("labels", b"v2", rows=4), changed_parts=None)
    assert (await journal.read(snapshots.summarise)).rows == {"labels": 3}  # the new version is not staged yet


async def test_an_operation_that_fails_takes_no_other_with_it(journal):
    """Group commit: the operations share a transaction, not their fate."""

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE state SET live_images = 5")
        raise ValueError("mine alone")

    results = await asyncio.gather(
        journal.record([present("images/a.png", b"a")]),
        journal.write(broken),
        journal.record([present("images/b.png", b"b")]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    assert (await journal.standing(count_up_to=10)).live_images == 2


async def test_sources_find_what_is_known_by_directory(journal):
    keys = ["images/a.png", "images/b/c.png", "images/b/d/e.png", "images/b0/x.png", "tables/t.csv"]
    await journal.record([present(key, b"x") for key in keys] + [absent("images/b0/x.png")])
    assert [name for name, _ in journal.known_in("images/")] == ["a.png"]
    assert set(journal.known_below("images/b/")) == {"images/b/c.png", "images/b/d/e.png"}
    assert list(journal.known_directories("images/")) == ["images/", "images/b/", "images/b/d/"]
    assert set(journal.known(keys)) == {"images/a.png", "images/b/c.png", "images/b/d/e.png", "tables/t.csv"}


async def test_a_problem_that_comes_or_goes_wakes_the_loop_since_something_may_be_held(journal):
    problem = Problem(source="labels", path="labels", code=ProblemCode.HELD, detail="40 of 100", since=START)
    for change in (journal.set_problems("labels", [problem]), journal.clear_problems("labels", ["labels"])):
        journal.recorded.clear()
        await change
        assert journal.recorded.is_set()


async def test_problems_keep_their_since_while_they_stand(journal):
    def problem(code: ProblemCode, at=START) -> Problem:
        return Problem(source="images", path="x.png", code=code, detail="d", since=at)

    await journal.set_problems("images", [problem(ProblemCode.SYMLINK)])
    await journal.set_problems("images", [problem(ProblemCode.SYMLINK, LATER)])
    with open_readonly(journal.path.parent) as connection:
        (standing,) = problems.standing(connection, limit=10)
        assert standing.since == START
        assert problems.counts(connection) == {"images": {"symlink": 1}}
    assert journal.problem_paths("images", "x") == {"x.png"}
    await journal.clear_problems("images", ["x.png", "other"])
    assert journal.problem_paths("images") == set()


async def test_what_is_refused_and_still_to_be_sent_is_not_a_sources_to_take_back(journal):
    """P8: a listing does not meet it, and is no word on it; of what is as it should be there is nothing to say."""
    keys = ["images/due.png", "images/sent.png", "tables/labels/part-0.parquet"]
    await journal.record([present(key, b"x") for key in keys])
    sent = Staged(key="images/sent.png", sha256=fingerprint(b"x").sha256, size_bytes=1, sent=True)
    await journal.finish_in_batch([sent], LATER)

    def problem(source: str, path: str, code: ProblemCode = ProblemCode.REFUSED) -> Problem:
        return Problem(source=source, path=path, code=code, detail="d", since=START)

    images = [problem("images", "due.png"), problem("images", "sent.png"), problem("images", "never.png")]
    await journal.set_problems("images", [*images, problem("images", "link.png", ProblemCode.SYMLINK)])
    await journal.set_problems("labels", [problem("labels", keys[2]), problem("labels", "labels", ProblemCode.HELD)])
    assert journal.problem_paths("images") == {"sent.png", "never.png", "link.png"}
    assert journal.problem_paths("labels") == {"labels"}


async def test_an_old_branch_is_adopted(journal):
    """A new state directory over an old branch: what is still there is not sent again, the rest is deleted."""
    await journal.record([present("images/same.png", b"s"), present("images/new.png", b"n")])
    same = fingerprint(b"s").sha256
    found = [("images/same.png", same, 1), ("images/gone.png", b"g" * 32, 5), ("images/foreign.png", None, 3)]
    await journal.write(adoption.adopt_committed, found, LATER)
    await journal.write(adoption.adopt_uncommitted, ["images/half.png"], LATER)
    await journal.write(adoption.finish_adoption, "head")
    assert await journal.read(adoption.adopted)
    puts, deletes = await due_keys(journal)
    assert puts == ["images/new.png"]
    assert set(deletes) == {"images/gone.png", "images/foreign.png", "images/half.png"}
    assert (await journal.read(pictures.counts)).images == 3


async def test_a_state_directory_serves_one_target(tmp_path):
    """P9: a journal is never applied to another branch."""
    async with Journal(tmp_path) as journal:
        await journal.bind({"repository": "photos", "prefix": ""})
        await journal.bind({"repository": "photos", "prefix": ""})
        with pytest.raises(JournalError, match="belongs to repository 'photos'"):
            await journal.bind({"repository": "other", "prefix": ""})


def descriptors_of(path: Path) -> int:
    """How often this process has a file open, or one of those beside it."""
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of this listing
            targets.append(str(link.readlink()))
    return sum(target.startswith(str(path)) for target in targets)


def read_in_threads_that_end(journal: Journal, count: int) -> None:
    """Read the journal in threads that are there at the same time, so that each has a connection of its own."""
    together = threading.Barrier(count)

    def read() -> None:
        journal.known(["images/a.png"])
        together.wait(30)

    threads = [threading.Thread(target=read) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def test_a_thread_that_has_ended_keeps_no_connection(journal):
    """A source that starts again every few seconds, as while the disk is full, has other threads each time."""
    journal.known([])
    read_in_threads_that_end(journal, 4)
    few = descriptors_of(journal.path)
    for _ in range(5):
        read_in_threads_that_end(journal, 4)
    assert descriptors_of(journal.path) <= few
    assert journal.known([]) == {}  # that of a thread that lives is still open


async def test_a_newer_schema_is_refused(tmp_path):
    async with Journal(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.execute(f"PRAGMA user_version = {migrate.VERSION + 1}")
    connection.close()
    with pytest.raises(JournalError, match="a newer syncd"):
        async with Journal(tmp_path):
            pass
    with pytest.raises(JournalError, match="a newer syncd"), open_readonly(tmp_path):
        pass


async def test_an_older_schema_is_brought_forward_in_one_transaction(tmp_path):
    scripts = tmp_path / "scripts"
    (scripts / "migrations").mkdir(parents=True)
    (scripts / "schema.sql").write_text("CREATE TABLE t (a);\n")
    (scripts / "migrations" / "2.sql").write_text("ALTER TABLE t ADD COLUMN b;\n-- more\nCREATE TABLE u (c);\n")
    (scripts / "migrations" / "3.sql").write_text("CREATE TABLE v (d);\nCREATE TABLE v (d);\n")
    path = tmp_path / "old.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        migrate.bring_up_to_date(connection, path, version=1, scripts=scripts)
        migrate.bring_up_to_date(connection, path, version=2, scripts=scripts)
        connection.execute("INSERT INTO t (a, b) VALUES (1, 2)")
        with pytest.raises(sqlite3.OperationalError):
            migrate.bring_up_to_date(connection, path, version=3, scripts=scripts)
        connection.execute("ROLLBACK")
        assert migrate.version_of(connection) == 2
    connection.close()


async def test_a_missing_or_damaged_journal_says_what_to_do(tmp_path):
    with pytest.raises(JournalError, match="syncd run"), open_readonly(tmp_path):
        pass
    (tmp_path / "journal.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(JournalError, match="sets it aside"), open_readonly(tmp_path):
        pass


async def test_a_damaged_journal_is_set_aside_and_begun_anew(tmp_path):
    path = tmp_path / "journal.db"
    for number in range(5):
        path.write_bytes(b"this is no database" * (100 + number))
        async with Journal(tmp_path) as journal:
            assert not await journal.read(adoption.adopted)
        kept = sorted(tmp_path.glob("journal.db.damaged-*"))
        assert kept[-1].read_bytes() == b"this is no database" * (100 + number)
        assert len(kept) == min(number + 1, 3)


async def test_a_page_that_was_overwritten_is_found_at_the_latest_when_it_is_used(tmp_path):
    """P4: the process ends, the next start examines the file, sets it aside, and what was in it is found again."""
    async with Journal(tmp_path) as journal:
        await journal.record([present(f"images/{number:04}.png", b"x") for number in range(2000)])
    path = tmp_path / "journal.db"
    async with Journal(tmp_path) as journal:
        with path.open("r+b") as file:  # behind SQLite's back
            file.seek(20 * 4096)
            file.write(b"\xff" * 4096 * (path.stat().st_size // 4096 - 30))
        changed = [present(f"images/{number:04}.png", b"y") for number in range(2000)]
        with pytest.raises(JournalBrokenError):
            await journal.record(changed)
        with pytest.raises(JournalBrokenError):
            await journal.read(pictures.counts)
        assert journal.recorded.is_set()
    async with Journal(tmp_path) as journal:
        assert (await journal.read(pictures.counts)).to_upload == 0
    assert list(tmp_path.glob("journal.db.damaged-*"))
    assert not (tmp_path / "journal.db.suspect").exists()


async def test_closing_waits_for_what_is_still_read(tmp_path: Path) -> None:
    """A thread reads on after whoever waited for it was cancelled; Python does not survive a close under it."""
    reads, may_end = threading.Event(), threading.Event()

    def pause() -> int:
        reads.set()
        assert may_end.wait(30)
        return 1

    outcome: list[object] = []

    def slow(connection: sqlite3.Connection) -> None:
        connection.create_function("pause", 0, pause)
        try:
            outcome.append(connection.execute("SELECT pause()").fetchone())
        except sqlite3.OperationalError as error:
            outcome.append(str(error))
            raise

    async with Journal(tmp_path) as journal:
        under_way = asyncio.create_task(journal.read(slow))
        await asyncio.to_thread(reads.wait, 30)
        under_way.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await under_way
        asyncio.get_running_loop().call_later(0.5, may_end.set)
    assert outcome, "it was closed before the read had ended"
    assert outcome[0] in ((1,), "interrupted")
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("journal.db")} == {"journal.db"}


async def test_who_reads_from_a_closed_journal_is_told(tmp_path: Path) -> None:
    async with Journal(tmp_path) as journal:
        await journal.record([present(f"images/{number}.png", b"a") for number in range(1000)])
        left = journal.known_in("images/")
        unread = journal.known_directories("images/")
        assert journal.known(["images/0.png"])
        assert next(left)[0] == "0.png"
        began_at = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began_at < reading.CLOSING_S, "it waited for whom nobody asks any more"
    files = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(JournalError, match="has been closed"):
        list(left)
    with pytest.raises(JournalError, match="has been closed"):
        next(unread)
    with pytest.raises(JournalError, match="has been closed"):
        journal.known(["images/0.png"])
    with pytest.raises(JournalError, match="has been closed"):
        await asyncio.to_thread(journal.known, ["images/0.png"])
    assert {path.name for path in tmp_path.iterdir()} <= files, "it was opened again"
