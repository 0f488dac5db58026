"""The bookkeeping between a sight and its record: pending files, full listings, hints, problems, and the tree."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from syncd.errors import SourceUnavailableError
from syncd.model import ProblemCode, Signature
from syncd.sources import tree
from syncd.sources.hints import Hints
from syncd.sources.pending import Clocks, Pending
from syncd.sources.problem_book import ProblemBook
from syncd.sources.scans import JITTER, Scans
from tests.support.memory_inventory import MemoryInventory
from tests.support.watching import now, write

WALL = 1_800_000_000.0
MANY = 1_000


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.clocks = Clocks(wall=lambda: WALL + self.passed_s, monotonic=lambda: self.passed_s)


def old(size: int = 1) -> Signature:
    return Signature(size, 1, 1, 7)


def fresh(size: int = 1) -> Signature:
    return Signature(size, int(WALL * 1e9), int(WALL * 1e9), 7)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pending(time: Time) -> Pending:
    return Pending(2.0, time.clocks)


def take(pending: Pending) -> list[str]:
    return [candidate.path for candidate in pending.take(MANY, 1 << 30)]


def test_a_settled_file_is_read_recorded_and_forgotten(pending: Pending) -> None:
    pending.changed("a", old(), "event")
    (candidate,) = pending.take(MANY, 1 << 30)
    assert (candidate.path, candidate.signature, candidate.reason) == ("a", old(), "event")
    assert take(pending) == []
    pending.finished("a", recorded=True)
    assert len(pending) == 0


def test_a_fresh_file_is_not_read_before_it_has_settled(pending: Pending, time: Time) -> None:
    pending.changed("a", fresh(), "event")
    assert take(pending) == []
    assert pending.next_due() == 2.0
    time.passed_s = 2.1
    assert take(pending) == ["a"]


def test_a_file_that_changed_while_it_stood_in_the_queue_is_read_once_as_the_new_version(pending: Pending) -> None:
    pending.changed("a", old(1), "event")
    pending.changed("a", old(2), "event")
    assert [found.signature.size_bytes for found in pending.take(MANY, 1 << 30)] == [2]
    assert take(pending) == []


@pytest.mark.parametrize("spoil", ["changed", "resolved", "reading", "doubt"])
def test_a_look_at_a_file_being_read_makes_it_looked_at_again(pending: Pending, spoil: str) -> None:
    """Rule 2: neither the reading nor the look is the last word."""
    pending.changed("d/a", old(), "event")
    take(pending)
    match spoil:
        case "changed":
            pending.changed("d/a", old(2), "event")
        case "resolved":
            pending.resolved("d/a")
        case "reading":
            assert pending.reading("d/a")
        case _:
            pending.doubt_reading("d/")
    pending.finished("d/a", recorded=True)
    assert "d/a" in pending
    assert pending.take_doubted() == ["d/a"]
    assert pending.under_way == 1  # to be looked at
    pending.resolved("d/a")
    assert len(pending) == 0


def test_a_reading_that_failed_is_looked_at_again(pending: Pending) -> None:
    pending.changed("a", old(), "event")
    take(pending)
    pending.finished("a", recorded=False)
    assert pending.doubted
    assert pending.why("a") == "changed while it was read"
    assert pending.take_doubted() == ["a"]
    assert not pending.doubted
    pending.changed("a", old(3), "event")
    assert take(pending) == ["a"]


def test_a_barrier_waits_for_what_was_there_and_for_nothing_later(pending: Pending) -> None:
    """P1: changes after the call do not prolong it."""
    pending.changed("a", old(), "event")
    pending.changed("b", fresh(), "event")
    outstanding = pending.outstanding()
    pending.changed("later", fresh(), "event")
    assert outstanding == {"a", "b"}
    take(pending)
    pending.finished("a", recorded=True)
    pending.changed("a", fresh(), "event")
    assert outstanding == {"b"}
    pending.resolved("b")
    assert outstanding == set()
    pending.forget(outstanding)


def test_batches_are_bounded_by_files_and_bytes(pending: Pending) -> None:
    for number in range(10):
        pending.changed(str(number), old(100), "scan")
    assert len(pending.take(3, 1 << 30)) == 3
    assert len(pending.take(MANY, 250)) == 3
    assert len(pending.take(MANY, 1)) == 1


def test_a_file_that_never_settles_is_named_once_and_not_counted_as_expected(pending: Pending, time: Time) -> None:
    named = []
    for step in range(200):
        time.passed_s = float(step)
        changing = Signature(step, int((WALL + step) * 1e9), int((WALL + step) * 1e9), 7)
        named.append(pending.changed("a", changing, "event"))
    assert named.count(True) == 1
    assert named.index(True) == 60
    assert (len(pending), pending.expected) == (1, 0)
    pending.resolved("a")
    assert pending.expected == 0


def test_a_file_open_for_writing_is_asked_about_again_and_named_in_the_end(pending: Pending, time: Time) -> None:
    pending.changed("a", old(), "event")
    named = []
    for step in range(100):
        time.passed_s = step * 2.1
        if take(pending):
            named.append(pending.held("a"))
    assert named.count(True) == 1
    assert pending.why("a") == "open for writing in a program"


def test_listings_are_numbered_so_that_each_answers_who_asked_before_it_began() -> None:
    scans = Scans(random.Random(1))
    assert scans.due(0.0)
    assert scans.ask("request") == 1
    scans.begin(0.0)
    assert scans.under_way
    assert scans.ask("request") == 2
    assert scans.ask("event") == 2
    scans.end(1.0, 100.0, "scan")
    assert (scans.done, scans.complete, scans.reason) == (1, True, "event")
    assert scans.due(1.0)
    scans.begin(1.0)
    scans.end(2.0, 100.0, "scan")
    assert (scans.done, scans.reason) == (2, "scan")
    assert not scans.due(2.0)
    assert 2.0 + 100.0 * (1 - JITTER) <= scans.next_at <= 2.0 + 100.0 * (1 + JITTER)
    assert scans.due(2.0 + 100.0 * (1 + JITTER))


def test_a_listing_that_nobody_asked_for_is_not_needed() -> None:
    scans = Scans(random.Random(1))
    assert scans.needed == 1
    scans.begin(0.0)
    scans.end(1.0, 10.0, "scan")
    scans.begin(scans.next_at)
    assert (scans.current, scans.needed) == (2, 1)
    assert scans.ask("scan") == scans.needed == 3
    scans.end(20.0, 10.0, "scan")
    scans.begin(20.0)
    scans.end(21.0, 10.0, "scan")
    scans.begin(scans.next_at)
    scans.need_current()
    assert (scans.current, scans.needed) == (4, 4)


def test_a_listing_that_is_given_up_is_made_up_for() -> None:
    scans = Scans(random.Random(1))
    scans.begin(0.0)
    waited_for = scans.current
    scans.give_up()
    assert scans.begun_at_s is None, "no call is answered by it"
    assert scans.due(0.0)
    scans.begin(1.0)
    scans.end(2.0, 10.0, "scan")
    assert scans.done >= waited_for


def test_hints_are_gathered_once_and_a_listing_of_all_below_is_not_forgotten() -> None:
    woken: list[int] = []
    hints = Hints(lambda: woken.append(1), most_waiting=3)
    assert not hints.waiting()
    hints.add("a", tree=True)
    hints.add("a")
    hints.add("b")
    assert hints.waiting()
    assert len(woken) == 1
    taken = hints.take()
    assert (taken.paths, taken.rescan, taken.check_root) == ({"a": True, "b": False}, "", False)

    for path in "abcdef":
        hints.add(path)
    hints.check_root()
    taken = hints.take()
    assert taken.paths == {}
    assert "more than 3" in taken.rescan
    assert taken.check_root
    assert len(woken) == 2
    hints.lost("overflow")
    assert hints.take().rescan == "overflow"


def test_hints_from_many_threads_all_arrive() -> None:
    hints = Hints(lambda: None)
    threads = [
        threading.Thread(target=lambda start=start: [hints.add(str(start + step)) for step in range(2_000)])
        for start in range(0, 8_000, 2_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hints.take().paths) == 8_000


async def test_problems_that_a_listing_does_not_meet_again_go_except_where_it_could_not_look() -> None:
    inventory = MemoryInventory()
    book = ProblemBook("images", inventory, now)
    for path in ("a", "d/b", "shut/c", "d/pending"):
        assert book.note(path, ProblemCode.SYMLINK, "why")
    await book.flush()
    assert not book.note("a", ProblemCode.SYMLINK, "why")
    listing = book.begin_listing("")
    inner = book.begin_listing("d/")
    book.note("a", ProblemCode.SYMLINK, "why")
    book.end_listing(inner, complete=False, unread=(), keep=lambda _: False)
    assert book.counts() == {"symlink": 4}
    book.end_listing(listing, complete=True, unread=["shut/"], keep=lambda path: path == "d/pending")
    await book.flush()
    assert set(inventory.codes()) == {"a", "shut/c", "d/pending"}
    book.clear_below("shut/")
    book.clear("nothing")
    await book.flush()
    assert set(inventory.codes()) == {"a", "d/pending"}
    assert book.stands("a")


def test_no_symlink_leads_out_of_the_tree(tmp_path: Path) -> None:
    """Fault 15."""
    write(tmp_path / "outside/secret.jpg")
    (tmp_path / "root/real").mkdir(parents=True)
    (tmp_path / "root/away").symlink_to(tmp_path / "outside")
    with tree.open_root(tmp_path / "root") as root_fd:
        for directory in ("away/", "real/none/", "real/../../outside/"):
            with tree.open_beneath(root_fd, directory) as fd:
                assert fd is None or directory.startswith("real/..")
        with tree.open_beneath(root_fd, "real/") as fd:
            assert fd is not None


def test_a_swap_of_a_folder_and_a_link_never_opens_what_is_outside(tmp_path: Path) -> None:
    """Fault 15: 5,000 tries against somebody who swaps them."""
    write(tmp_path / "outside/file", b"secret")
    write(tmp_path / "root/dir/file", b"ours")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (tmp_path / "root/dir").rename(tmp_path / "aside")
            (tmp_path / "link").rename(tmp_path / "root/dir")
            (tmp_path / "root/dir").rename(tmp_path / "link")
            (tmp_path / "aside").rename(tmp_path / "root/dir")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        read = set()
        with tree.open_root(tmp_path / "root") as root_fd:
            for _ in range(5_000):
                with tree.open_beneath(root_fd, "dir/") as fd:
                    if fd is not None:
                        with tree.open_file(fd, "file") as file:
                            read.add(file.read())
    finally:
        stop.set()
        thread.join()
    assert read == {b"ours"}


def test_the_root_is_known_by_what_it_is_not_by_its_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with tree.open_root(root) as fd:
        identity = tree.identity_of(fd)
    root.rename(tmp_path / "old")
    root.mkdir()
    with pytest.raises(SourceUnavailableError, match="another folder"), tree.open_root(root, identity):
        pass
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(10):
        with pytest.raises(SourceUnavailableError), tree.open_root(root, identity):
            pass
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("plain/ä ☃.jpg", "plain/ä ☃.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("a\nb\x1b[31m.jpg", r"a\x0ab\x1b[31m.jpg"),
        ("zero\u200bwidth", "zero\u200bwidth"),
    ],
)
def test_names_are_shown_so_that_any_terminal_can_take_them(path: str, text: str) -> None:
    assert tree.shown(path) == text
