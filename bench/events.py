"""A storm of creations, as fast as they can be made: whether all of them reach the journal, and at what cost."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import place as places
from corpus import Corpus
from daemon import ON_REQUEST, PATIENCE_S, Daemon
from record import MIB, Goal, Record

if TYPE_CHECKING:
    from pathlib import Path

CREATED, A_SECOND, WRITERS = 200_000, 20_000, 2
A_FOLDER = 1_000
LOOK_EVERY_S = 0.2


def events(*, rounds: int, created: int = CREATED) -> Record:
    """Create so many files as fast as asked for beside a running daemon, then wait for the journal to hold them."""
    record = Record(
        name="events",
        title=f"{created:,} files created, {A_SECOND:,} a second",
        text=(
            f"By {WRITERS} processes beside the daemon, on the same cores, a byte each; until the journal holds all of"
            " them. The rate is what the writers reached."
        ),
        corpus="",
    )
    for _ in range(rounds):
        with places.place_for(Corpus(files=1, size_bytes=1, kind="noise")) as place:
            state = place.fresh("storm")
            places.configure(place, state, root=place.work_copy, more=ON_REQUEST)
            with Daemon(state) as daemon:
                daemon.snapshot()
                cpu_s, rss, started = daemon.cpu_s, daemon.rss_bytes, time.perf_counter()
                written_s = _create(place.work_copy, created)
                in_journal = _wait_for(state / "state" / "journal.db", created + 1)
                seconds = time.perf_counter() - started
                record.row("syncd run").add(
                    seconds=seconds,
                    created_a_second=created / written_s,
                    lost=created + 1 - in_journal,
                    client_CPU_s=daemon.cpu_s - cpu_s,
                    MiB_before=rss / MIB,
                    MiB_at_most=daemon.peak_bytes / MIB,
                )
    row = record.rows[0]
    record.goals = [
        Goal(what="files lost", value=max(row.figures["lost"]), at_most=0),
        Goal(what="MiB at most", value=max(row.figures["MiB at most"]), at_most=250),
    ]
    return record


def _create(root: Path, created: int) -> float:
    started = time.perf_counter()
    writers = [
        multiprocessing.Process(target=_write, args=(root / f"writer-{number}", created // WRITERS, A_SECOND / WRITERS))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return time.perf_counter() - started


def _write(folder: Path, count: int, a_second: float) -> None:
    started = time.perf_counter()
    for number in range(count):
        if number % A_FOLDER == 0:
            inside = folder / f"{number // A_FOLDER}"
            inside.mkdir(parents=True)
            time.sleep(max(0.0, started + number / a_second - time.perf_counter()))
        handle = os.open(inside / f"{number}.jpg", os.O_WRONLY | os.O_CREAT)
        os.write(handle, b"x")
        os.close(handle)


def _wait_for(journal: Path, count: int) -> int:
    deadline, held = time.monotonic() + PATIENCE_S / 6, 0
    while held < count and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
            (held,) = connection.execute("SELECT count(*) FROM entry WHERE seen_sha256 IS NOT NULL").fetchone()
    return int(held)
