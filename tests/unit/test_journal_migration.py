"""A journal of an older syncd is copied, then brought forward with all it holds."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from syncd.errors import JournalError
from syncd.journal import Journal, migrate, observations, pictures, snapshots
from syncd.journal.journal import open_readonly
from tests.support.observing import fingerprint, present

ROOT = Path(__file__).parents[2]
V1 = (ROOT / "tests/support/journal_v1.sql").read_text(encoding="utf-8")

ENTRY = """
INSERT INTO entry (directory, name, seen_sha256, seen_md5, size_bytes, mtime_ns, ctime_ns, inode, seen_at, revision,
                   staged_sha256, staged_bytes, unstaged_since, waiting_since)
VALUES (:directory, :name, :seen, zeroblob(16), 1, 2, 3, 4, 5.0, 6, :staged, 1,
        iif(:seen IS :staged, NULL, 6), 5.0)
"""


def old_journal(path: Path) -> None:
    """A journal as version 1 left it: an image, a table with two versions, one without a file any more, a problem."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(V1)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA user_version = 1")
        a, one, two = (fingerprint(content).sha256 for content in (b"a", b"one", b"two"))
        connection.execute(ENTRY, {"directory": "images/", "name": "a.png", "seen": a, "staged": a})
        connection.execute(ENTRY, {"directory": "tables/", "name": "labels.csv", "seen": one, "staged": two})
        connection.executemany(
            "INSERT INTO table_version VALUES (?, ?, ?, ?, ?)",
            [("labels", one, 3, 2, 100.0), ("labels", two, 4, 5, 200.0), ("boxes", one, 1, 6, 1.0)],
        )
        connection.execute("INSERT INTO table_version VALUES ('boxes', ?, 2, 7, 2.0)", (two,))
        connection.execute("INSERT INTO problem VALUES ('images', 'x', 'symlink', 'd', 1.0)")
        connection.execute("UPDATE state SET revision = 6, live_images = 1")
        connection.commit()


def schema(path: Path) -> set[tuple[str, str, str]]:
    """Everything in the file, without comments and spaces."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {(kind, name, re.sub(r"\s+", "", re.sub(r"--.*", "", sql))) for kind, name, sql in found}


def columns(path: Path) -> dict[str, list[tuple]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            + sorted(row[1:] for row in connection.execute(f"PRAGMA index_list({name})"))
            for name in names
        }


async def test_a_migrated_journal_has_the_schema_of_a_new_one(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old_journal(tmp_path / "old" / "journal.db")
    for name in ("old", "new"):
        async with Journal(tmp_path / name):
            pass
    old, new = (tmp_path / name / "journal.db" for name in ("old", "new"))
    assert schema(old) == schema(new)
    assert columns(old) == columns(new)


async def test_all_it_held_is_still_there(tmp_path):
    old_journal(tmp_path / "journal.db")
    async with Journal(tmp_path) as journal:
        assert set(journal.known(["images/a.png", "tables/labels.csv"])) == {"images/a.png", "tables/labels.csv"}
        assert (await journal.read(snapshots.summarise)).rows == {"labels": 4}  # of the version that is staged
        standing = await journal.standing(count_up_to=10)
        assert (standing.revision, standing.live_images, standing.unstaged_tables) == (6, 1, 0)
        known = journal.known_table("labels")
        assert (known.rows, known.columns, known.schema, known.keeps_rows) == (3, 2, "", False)  # as it is seen
        (found,) = known.objects
        assert (found.object.rows, found.object.rows_digest, found.staged) == (3, b"", False)
        boxes = journal.known_table("boxes")
        assert (boxes.rows, boxes.columns, boxes.objects) == (2, 7, ())  # the newest
        assert journal.problem_paths("images") == {"x"}
        await journal.record([present("images/b.png", b"b")])


async def test_it_is_copied_first(tmp_path):
    """Whoever goes back to the older syncd finds the journal that this one knows."""
    old_journal(tmp_path / "journal.db")
    before = schema(tmp_path / "journal.db")
    (tmp_path / "journal.db.v1.tmp").write_bytes(b"left over by one that was killed")
    async with Journal(tmp_path):
        pass
    copy = tmp_path / "journal.db.v1"
    assert schema(copy) == before
    with closing(sqlite3.connect(copy)) as connection:
        assert migrate.version_of(connection) == 1
        assert connection.execute("SELECT count(*) FROM table_version").fetchone() == (4,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.db", "journal.db.v1"]


STEPS = 80  # of SQLite's machine, between two places where it may end


def migrated_until(path: Path, place: int) -> bool:
    """Migrate in a process that ends without a word at some place; return whether it came that far."""
    child = os.fork()
    if child == 0:
        passed = 0

        def pass_by() -> int:
            nonlocal passed
            passed += 1
            if passed == place:
                os._exit(9)
            return 0

        connection = sqlite3.connect(path, isolation_level=None)
        connection.set_progress_handler(pass_by, STEPS)
        migrate.bring_up_to_date(connection, path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 9


async def test_killed_anywhere_it_is_brought_forward_by_the_next_start(tmp_path):
    old_journal(tmp_path / "whole.db")
    wanted, place = None, 0
    while True:
        directory = tmp_path / f"{place}"
        directory.mkdir()
        shutil.copy(tmp_path / "whole.db", directory / "journal.db")
        killed = place > 0 and migrated_until(directory / "journal.db", place)
        with closing(sqlite3.connect(directory / "journal.db")) as connection:
            assert migrate.version_of(connection) == (1 if killed or not place else migrate.VERSION)
        async with Journal(directory) as journal:
            assert set(journal.known(["images/a.png", "tables/labels.csv"])) == {"images/a.png", "tables/labels.csv"}
            summary = await journal.read(snapshots.summarise)
        found = summary.added, summary.images, summary.rows, columns(directory / "journal.db")
        wanted = wanted or found
        assert found == wanted
        if place and not killed:
            break
        place += 1
    assert place > 20


async def test_nothing_is_copied_where_nothing_is_migrated(tmp_path):
    for _ in range(2):
        async with Journal(tmp_path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


async def test_a_copy_that_cannot_be_made_leaves_the_journal_alone(tmp_path):
    old_journal(tmp_path / "journal.db")
    (tmp_path / "journal.db.v1").mkdir()
    with pytest.raises(JournalError, match=r"cannot be copied to .*journal\.db\.v1"):
        async with Journal(tmp_path):
            pass
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert migrate.version_of(connection) == 1


async def test_what_cannot_be_read_before_the_daemon_has_migrated_says_so(tmp_path):
    old_journal(tmp_path / "journal.db")
    with pytest.raises(JournalError, match="syncd run"), open_readonly(tmp_path) as connection:
        pictures.standing(connection, count_up_to=1)
    with open_readonly(tmp_path) as connection:
        assert observations.known(connection, ["images/a.png"])["images/a.png"].size_bytes == 1
