"""P4, P5: whichever byte of the journal changes, syncd goes on by itself and deletes nothing that is there."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.journal import Journal, adoption, branch, closure, pictures, snapshots, staging
from syncd.journal.look import look_for_plan
from syncd.model import Trigger
from tests.support.figures import Figures
from tests.support.observing import START, present

COUNT = 300
FILES = {f"images/{number % 7}/{number}.png": b"%d" % number for number in range(COUNT)}
MOST_STARTS = 3  # the first finds the damage, the second sets the journal aside


@pytest.fixture
async def template(tmp_path: Path) -> Path:
    """A journal with a snapshot, and some changes that wait."""
    directory = tmp_path / "template"
    directory.mkdir()
    async with Journal(directory) as journal:
        await journal.write(adoption.finish_adoption, "head")
        await journal.record([present(key, content) for key, content in list(FILES.items())[:200]])
        puts, deletes = await journal.due(START, 1000)
        batch = (await journal.begin_batch((*puts, *deletes), START)).number
        done = [
            staging.Staged(key=put.key, sha256=put.fingerprint.sha256, size_bytes=put.fingerprint.size_bytes, sent=True)
            for put in puts
            if put.fingerprint
        ]
        await journal.finish_in_batch(done, START)
        await journal.end_batch(batch, START)
        summary = await journal.read(snapshots.summarise)
        told = {"trigger": Trigger.QUIET, "tag": "snap-1", "message": "m", "metadata": {}, "now": START}
        await journal.begin_snapshot(summary, intent="a" * 32, **told)
        await journal.write(snapshots.committed, 1, "head")
        await journal.write(snapshots.merged, 1, "merge", START)
        await journal.write(snapshots.tagged, 1)
        await journal.record([present(key, content) for key, content in list(FILES.items())[200:]])
    return directory / "journal.db"


async def live(directory: Path) -> None:
    """Do with a journal what a start and a full listing do."""
    async with Journal(directory) as journal:
        await journal.write(closure.configure, [])
        await journal.examine()
        await journal.read(branch.head)
        await journal.read(look_for_plan, START, limit=1000, count_up_to=1000)
        for folder in list(journal.known_directories("images/")):
            list(journal.known_in(folder))
        await journal.record([present(key, content) for key, content in FILES.items()])
        await journal.read(pictures.counts)
        puts, deletes = await journal.due(START, 1000)
        assert not {change.key for change in deletes} & FILES.keys(), "it would delete what is there"
        batch = (await journal.begin_batch((*puts, *deletes), START)).number
        await journal.finish_in_batch([], START)
        await journal.end_batch(batch, START)
        seen = {key: journal.seen_sha256(key) for key in FILES}
        assert all(sha256 is not None for sha256 in seen.values())


async def after_starts(directory: Path) -> Exception | None:
    """Start again while that is what the error says; return the one that stays."""
    for _ in range(MOST_STARTS):
        last: Exception | None = None
        try:
            await live(directory)
        except AssertionError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends, and is started again
            last = error
            continue
        return None
    return last


async def test_whichever_byte_changes_it_goes_on_by_itself(
    template: Path, tmp_path: Path, times: Callable[[int, int], int], rng: random.Random, figures: Figures
) -> None:
    count, set_aside, refused = times(60, 1000), 0, 0
    content = template.read_bytes()
    for number in range(count):
        directory = tmp_path / f"{number}"
        directory.mkdir()
        place, flipped = rng.randrange(len(content)), rng.randrange(1, 256)
        damaged = bytearray(content)
        damaged[place] ^= flipped
        (directory / "journal.db").write_bytes(damaged)
        if rng.random() < 0.5:
            (directory / "journal.db-wal").touch()  # as after a crash
        told = f"byte {place} of {len(content)} changed by {flipped:#x}"
        error = await after_starts(directory)
        refused += "newer syncd" in str(error)  # a version that is not known is not touched
        assert error is None or "newer syncd" in str(error), f"{told}: {error!r}"
        set_aside += bool(list(directory.glob("*.damaged-*")))
        shutil.rmtree(directory)
    figures("bytes of the journal changed", count, lost=0, set_aside=set_aside, refused_as_newer=refused)
