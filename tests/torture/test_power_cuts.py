"""P4: what the journal acknowledged outlives a power cut at any write; what it did not is there whole or not at all.

The journal's own schema, statements and settings, on a disk that forgets, reorders and tears what was not synced.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import apsw
import pytest

from syncd.journal import migrate, observations, staging
from syncd.journal.database import DURABLE
from syncd.model import PendingChange
from tests.support.figures import Figures
from tests.support.observing import START, absent, present
from tests.support.power import VFS_NAME, Disk, PowerConnection, PowerCutError, PowerVFS

KEYS = [f"images/{number % 3}/{number}.png" for number in range(12)]
MOST_TRANSACTIONS = 12
Held = dict[str, tuple[bytes | None, bytes | None]]  # by key: what was seen, and what is staged


@pytest.fixture(scope="module")
def vfs() -> PowerVFS:
    return PowerVFS()


@dataclass
class Outcome:
    """What was found when the power was back."""

    corrupt: int = 0
    lost: int = 0  # cuts after which something acknowledged was not there
    cuts: int = 0
    acknowledged: int = 0  # transactions before them
    in_flight_kept: int = 0


def opened(vfs: PowerVFS, disk: Disk, durable: tuple[str, ...] = DURABLE) -> PowerConnection:
    vfs.disk = disk
    connection = PowerConnection("journal.db", VFS_NAME)
    for pragma in durable:
        connection.execute(pragma)
    return connection


def prepared(connection: PowerConnection) -> PowerConnection:
    migrate.bring_up_to_date(cast("sqlite3.Connection", connection), Path("journal.db"))
    return connection


def held(connection: PowerConnection) -> Held:
    rows = connection.execute("SELECT directory || name, seen_sha256, staged_sha256 FROM entry")
    return {key: (seen, staged) for key, seen, staged in rows}


def transaction(power: PowerConnection, rng: random.Random) -> None:
    """Do what a daemon does to its journal: observe, or begin and end a batch."""
    connection = cast("sqlite3.Connection", power)
    power.execute("BEGIN IMMEDIATE")
    if rng.random() < 0.7:
        chosen = rng.sample(KEYS, rng.randint(1, len(KEYS)))
        observations.record(
            connection, [absent(key) if rng.random() < 0.2 else present(key, rng.randbytes(4)) for key in chosen]
        )
    else:
        puts, deletes = staging.due(connection, START, 5)
        staging.end(connection, staging.begin(connection, (*puts, *deletes), START).number, START)
        staging.finish(connection, [done(change) for change in (*puts, *deletes)], START)
    power.execute("COMMIT")


def done(change: PendingChange) -> staging.Staged:
    content = change.fingerprint
    size_bytes = None if content is None else content.size_bytes
    return staging.Staged(
        key=change.key, sha256=None if content is None else content.sha256, size_bytes=size_bytes, sent=True
    )


def cut(vfs: PowerVFS, begun: Disk, durable: tuple[str, ...], rng: random.Random, outcome: Outcome) -> None:
    """Cut the power at some write of some transactions, and look what is there afterwards."""
    model = prepared(PowerConnection(":memory:"))
    disk = Disk(begun.files, cut_at=rng.randint(1, 80))
    before = after = held(model)
    with contextlib.suppress(PowerCutError, apsw.Error):
        connection = opened(vfs, disk, durable)
        for _ in range(rng.randint(1, MOST_TRANSACTIONS)):
            course = rng.getrandbits(32)
            transaction(model, random.Random(course))
            after = held(model)
            transaction(connection, random.Random(course))
            before = after
            outcome.acknowledged += 1
        if rng.random() < 0.3:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.pull_the_plug()
    outcome.cuts += 1
    again = opened(vfs, disk.after_a_cut(rng), durable)
    try:
        sound = again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = held(again)
    except apsw.Error:
        sound, found = False, {}
    outcome.corrupt += not sound
    outcome.lost += sound and found not in (before, after)
    outcome.in_flight_kept += sound and before != after and found == after
    again.apsw.close()


@pytest.fixture(scope="module")
def begun(vfs: PowerVFS) -> Disk:
    """A disk with an empty journal."""
    disk = Disk()
    prepared(opened(vfs, disk)).apsw.close()
    return disk


def test_power_cuts_lose_nothing_that_was_acknowledged(
    vfs: PowerVFS, begun: Disk, times: Callable[[int, int], int], rng: random.Random, figures: Figures
) -> None:
    outcome, count = Outcome(), times(300, 10_000)
    for _ in range(count):
        cut(vfs, begun, DURABLE, rng, outcome)
    assert (outcome.corrupt, outcome.lost) == (0, 0)
    assert outcome.acknowledged > count
    figures("power cuts", count, corrupt=0, lost=0, acknowledged=outcome.acknowledged, kept=outcome.in_flight_kept)


def test_the_disk_does_forget_what_was_not_synced(
    vfs: PowerVFS, begun: Disk, rng: random.Random, figures: Figures
) -> None:
    """Else the test above would prove nothing: with less than the journal asks for, acknowledged work is lost."""
    outcome = Outcome()
    for _ in range(200):
        cut(vfs, begun, ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"), rng, outcome)
    assert outcome.corrupt == 0
    assert outcome.lost > 20
    figures("power cuts with synchronous=NORMAL, for comparison", 200, corrupt=0, lost=outcome.lost)
