"""Images that are gone: counted, held, agreed to and kept; an answer covers what was shown (P5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.journal import absence, migrate, observations, pictures, snapshots, staging
from syncd.journal.staging import Staged
from syncd.model import DeletionLimits, Trigger
from tests.support.observing import START, absent, present

LIMITS = DeletionLimits(max_delete_percent=25, min_objects=20)
HOUR = timedelta(hours=1)


class Folder:
    """A folder of which a hundred images are published."""

    def __init__(self, connection: sqlite3.Connection, count: int = 100) -> None:
        self.connection, self.now = connection, START
        self.come(*range(count))
        self.commit()

    def come(self, *numbers: int, prefix: str = "") -> None:
        found = [present(f"images/{prefix}{number}.png", b"%d" % number) for number in numbers]
        observations.record(self.connection, found)

    def go(self, *numbers: int) -> None:
        observations.record(self.connection, [absent(f"images/{number}.png") for number in numbers])

    def stage(self) -> None:
        """All that is due, and what nobody holds."""
        puts, deletes = staging.due(self.connection, self.now, 10_000)
        deletes = [one for one in deletes if one.agreed or not self.seen().held]
        staging.begin(self.connection, (*puts, *deletes), self.now)
        done = [Staged(key=one.key, sha256=one.fingerprint.sha256, size_bytes=1, sent=True) for one in puts]
        done += [Staged(key=one.key, sha256=None, size_bytes=None, sent=True) for one in deletes]
        staging.finish(self.connection, done, self.now)

    def commit(self) -> None:
        self.stage()
        summary = snapshots.summarise(self.connection)
        begun = {"intent": f"{self.connection.total_changes}", "trigger": Trigger.QUIET, "tag": "t", "message": ""}
        snapshots.begin(self.connection, summary, metadata={}, now=self.now, **begun)
        opened = snapshots.open_snapshot(self.connection)
        snapshots.committed(self.connection, opened.sequence, "c")
        snapshots.merged(self.connection, opened.sequence, "m", self.now)
        snapshots.tagged(self.connection, opened.sequence)

    def seen(self):
        return absence.absences(self.connection, self.now)

    def judge(self) -> bool:
        return absence.judge(self.connection, self.now, LIMITS)

    def published(self) -> set[int]:
        keys = self.connection.execute("SELECT name FROM entry WHERE committed_sha256 IS NOT NULL")
        return {int(name.removesuffix(".png")) for (name,) in keys}


@pytest.fixture
def folder() -> Iterator[Folder]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate.bring_up_to_date(connection, Path("journal.db"))
        yield Folder(connection)


@pytest.mark.parametrize(
    ("gone", "before", "limits", "beyond"),
    [
        (25, 100, {}, False),
        (26, 100, {}, True),
        (19, 19, {}, False),  # so few that a percentage says nothing
        (5, 20, {}, False),
        (6, 20, {}, True),
        (11, 1000, {"max_delete_count": 10}, True),
        (10, 1000, {"max_delete_count": 10}, False),
        (1000, 1000, {"max_delete_percent": 100.0}, False),
        (1, 1000, {"max_delete_percent": 0.0}, True),
    ],
)
def test_how_much_may_go_at_once(gone, before, limits, beyond):
    assert DeletionLimits(**limits).beyond(gone, before) is beyond


def test_few_may_go_and_many_are_held(folder):
    folder.go(*range(25))
    assert not folder.seen().beyond(LIMITS)
    folder.go(25)
    assert folder.seen().beyond(LIMITS)
    assert folder.judge()
    assert (folder.seen().gone, folder.seen().held) == (26, True)


def test_what_goes_in_several_commits_within_the_hour_counts_together(folder):
    """Else a `rm -r` of a million files would be published ten thousand at a time, and nobody be asked."""
    folder.go(*range(20))
    folder.commit()
    folder.go(*range(20, 25))
    assert not folder.seen().beyond(LIMITS)
    folder.go(25)
    assert folder.seen().beyond(LIMITS)
    folder.now += HOUR
    assert not folder.seen().beyond(LIMITS)


def test_what_is_held_is_not_let_go_by_the_passing_of_time_or_by_a_commit(folder):
    folder.go(*range(20))
    folder.commit()
    folder.go(*range(20, 30))
    assert folder.judge()
    folder.come(500)
    folder.commit()
    folder.now += 2 * HOUR
    assert folder.judge()
    assert set(range(20, 30)) < folder.published()


def test_a_hold_ends_when_enough_is_back(folder):
    folder.go(*range(60))
    assert folder.judge()
    folder.come(*range(35))
    assert not folder.judge()
    folder.commit()
    assert folder.published() == {*range(35), *range(60, 100)}


def test_an_answer_covers_what_was_shown_and_nothing_that_came_later(folder):
    folder.go(*range(60))
    assert folder.judge()
    shown = absence.gone(folder.connection, 3)
    assert (shown.count, shown.images, shown.paths) == (60, 100, ("0.png", "1.png", "10.png"))
    folder.go(*range(60, 90))
    assert absence.answer(folder.connection, shown.revision) == 60
    assert folder.judge()
    folder.commit()
    assert folder.published() == set(range(60, 100))
    assert absence.gone(folder.connection, 1).count == 30


def test_an_answer_can_be_for_some_paths_only(folder):
    folder.go(*range(60))
    folder.judge()
    revision = absence.gone(folder.connection, 0).revision
    assert absence.answer(folder.connection, revision, lambda path: path.startswith("1")) == 11
    folder.commit()
    assert folder.published() == set(range(100)) - {1, *range(10, 20)}
    assert absence.gone(folder.connection, 0).count == 49


def test_what_is_agreed_on_does_not_count_against_what_comes_next(folder):
    folder.go(*range(60))
    folder.judge()
    absence.answer(folder.connection, absence.gone(folder.connection, 0).revision)
    folder.commit()
    assert folder.seen().recent == 0
    folder.go(*range(60, 65))
    assert not folder.seen().beyond(LIMITS)


def test_images_can_be_kept_although_the_source_lost_them(folder):
    """They stay in every later snapshot, until the source shows them again; then they are as any other."""
    folder.go(*range(60))
    folder.judge()
    assert absence.answer(folder.connection, absence.gone(folder.connection, 0).revision, keep=True) == 60
    assert not folder.seen().held
    assert staging.due(folder.connection, folder.now, 100) == ((), ())
    folder.go(99)
    folder.commit()
    assert folder.published() == set(range(99))
    assert pictures.entry(folder.connection, "images/0.png").kept
    folder.come(0)
    assert not pictures.entry(folder.connection, "images/0.png").kept
    folder.go(0)
    folder.commit()
    assert folder.published() == set(range(1, 99))


def test_a_folder_that_was_renamed_is_no_deletion(folder):
    folder.go(*range(60))
    folder.come(*range(60), prefix="moved-")
    assert not folder.judge()
    folder.stage()
    assert staging.due(folder.connection, folder.now, 100) == ((), ())
    assert folder.seen().recent == 0


def test_what_was_moved_and_then_deleted_is_a_deletion(folder: Folder):
    """Else a folder could be emptied past the guard by renaming it first."""
    folder.go(*range(60))
    folder.come(*range(60), prefix="moved-")
    assert not folder.judge()
    observations.record(folder.connection, [absent(f"images/moved-{number}.png") for number in range(50)])
    observations.record(folder.connection, [present(f"images/moved-{number}.png", b"new") for number in range(50, 60)])
    assert folder.seen().gone == 60
    assert folder.judge()


def test_all_that_there_was_can_be_agreed_on():
    """Also fewer than a percentage counts from."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate.bring_up_to_date(connection, Path("journal.db"))
        few = Folder(connection, count=3)
        few.go(*range(3))
        shown = absence.gone(connection, 5)
        assert shown.paths == ("0.png", "1.png", "2.png")
        assert absence.answer(connection, shown.revision) == 3
        assert all(change.agreed for change in staging.due(connection, few.now, 10)[1])


def test_what_is_on_its_way_already_does_not_wait(folder: Folder):
    """The first few of a large deletion are staged before it is clear how large it is."""
    folder.go(1, 2)
    folder.stage()
    folder.go(*range(10, 40))
    assert folder.judge()
    assert (folder.seen().gone, folder.seen().waiting) == (32, 30)
    shown = absence.gone(folder.connection, limit=1)
    assert (shown.count, shown.images, shown.paths) == (30, 100, ("10.png",))
    assert absence.answer(folder.connection, shown.revision) == 30
    assert not folder.seen().held
    folder.commit()
    assert folder.published() == {0, *range(3, 10), *range(40, 100)}


def test_who_removes_on_purpose_need_not_be_asked_of_what_is_gone_and_of_nothing_else(folder):
    folder.go(*range(30), 40)
    assert folder.judge()
    assert absence.agree(folder.connection, []) == 0
    assert absence.agree(folder.connection, [f"images/{number}.png" for number in (*range(30), 50, 1_000)]) == 30
    assert (folder.seen().gone, folder.seen().held) == (1, True), "a person is still to be asked about 40"
    assert not folder.judge()
    folder.commit()
    assert folder.published() == set(range(30, 100)) - {40}
    folder.go(*range(41, 70))
    assert absence.agree(folder.connection, [f"images/{number}.png" for number in range(41, 70)]) == 29
    assert not folder.seen().beyond(LIMITS)
