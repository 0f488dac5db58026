"""Listings that agreed: remembered exactly as long as they do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from syncd.fingerprint import listing_digest
from syncd.journal import Journal
from syncd.model import Agreed, FileRow, Observation
from tests.support.observing import absent, present
from tests.unit.test_journal import publish_all, stage_all

DIRECTORY, OTHER = "images/a/", "images/b/"


def rows(*observations: Observation) -> list[FileRow]:
    """What a listing would show of these."""
    found = []
    for one in observations:
        assert one.signature is not None
        status = one.signature
        found.append((one.key.rpartition("/")[2], status.mtime_ns, status.ctime_ns, status.size_bytes, status.inode))
    return sorted(found)


def agreed(directory: str, *observations: Observation) -> Agreed:
    return Agreed(directory, listing_digest(rows(*observations), b"all of it"), listing_digest(rows(*observations)))


HERE = [present(DIRECTORY + name, name.encode()) for name in ("1.png", "2.png", "é.png", "\uffee.png", "😀.png")]
THERE = [present(OTHER + "1.png", b"other")]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal(tmp_path) as opened:
        await opened.record([*HERE, *THERE])
        await opened.note_listed([agreed(DIRECTORY, *HERE), agreed(OTHER, *THERE)])
        yield opened


async def test_it_is_remembered_by_the_next_process_too(tmp_path):
    async with Journal(tmp_path) as journal:
        await journal.record(HERE)
        assert journal.listed_as(DIRECTORY) is None
        await journal.note_listed([agreed(DIRECTORY, *HERE)])
    async with Journal(tmp_path) as journal:
        assert journal.listed_as(DIRECTORY) == agreed(DIRECTORY, *HERE).digest


@pytest.mark.parametrize(
    "change",
    [
        present(DIRECTORY + "1.png", b"another content"),
        present(DIRECTORY + "1.png", b"1.png", mtime_ns=2),
        present(DIRECTORY + "new.png", b"new"),
        absent(DIRECTORY + "1.png"),
    ],
    ids=["content", "touched", "new", "gone"],
)
async def test_any_change_ends_it_for_its_directory_alone(journal, change):
    await journal.record([change])
    assert journal.listed_as(DIRECTORY) is None
    assert journal.listed_as(OTHER) is not None


async def test_what_was_never_sent_and_goes_ends_it(journal):
    await journal.record([absent(OTHER + "1.png")])
    assert journal.listed_as(OTHER) is None


async def test_staging_and_publishing_change_nothing_of_it(journal):
    await stage_all(journal)
    await publish_all(journal)
    assert journal.listed_as(DIRECTORY) == agreed(DIRECTORY, *HERE).digest
    assert journal.listed_as(OTHER) is not None


@pytest.mark.parametrize(
    "shown",
    [
        lambda here: here[1:],
        lambda here: [*here, present(DIRECTORY + "more.png", b"more")],
        lambda here: [present(DIRECTORY + "1.png", b"1.png", mtime_ns=2), *here[1:]],
    ],
    ids=["fewer", "more", "touched"],
)
async def test_what_does_not_agree_any_more_is_not_remembered(
    journal: Journal, shown: Callable[[list[Observation]], list[Observation]]
) -> None:
    """P1: between the listing and this, something of the directory was recorded."""
    await journal.record([present(DIRECTORY + "1.png", b"x"), *HERE])
    assert journal.listed_as(DIRECTORY) is None
    await journal.note_listed([agreed(DIRECTORY, *shown(list(HERE)))])
    assert journal.listed_as(DIRECTORY) is None
    await journal.note_listed([agreed(DIRECTORY, *HERE)])
    assert journal.listed_as(DIRECTORY) is not None


async def test_the_digest_tells_names_status_and_rules_apart():
    (name, mtime, ctime, size, inode), *_ = rows(HERE[0])
    found = {
        listing_digest([(name, mtime, ctime, size, inode)]),
        listing_digest([(name, mtime, ctime, size, inode)], b"other rules"),
        listing_digest([(name + "x", mtime, ctime, size, inode)]),
        listing_digest([(name, mtime + 1, ctime, size, inode)]),
        listing_digest([(name, mtime, ctime + 1, size, inode)]),
        listing_digest([(name, mtime, ctime, size + 1, inode)]),
        listing_digest([(name, mtime, ctime, size, inode + 1)]),
        listing_digest([]),
    }
    assert len(found) == 8
    shared = name
    twice = [(shared, 1, 1, 1, 1), (shared, 1, 1, 1, 1)]
    apart = [("".join(list(name)), 1, 1, 1, 1), ("".join(list(name)), 1, 1, 1, 1)]
    assert listing_digest(twice) == listing_digest(apart)
