"""A table of a million rows: first published, then one row changed; on SQLite, and PostgreSQL where it is installed."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from record import MIB, Goal, Record

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from syncd.embedded.binary import find_or_build  # noqa: E402 - found from here on
from syncd.embedded.process import ServerProcess  # noqa: E402
from tests.support.daemon import Dataset, server_section  # noqa: E402
from tests.support.databases import PostgresServer, postgres_binaries  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 900.0
LOOK_EVERY_S = 0.05

FEW_ROWS = 1_000

TEXT = (
    "The daemon, asked for a snapshot of a table of five columns and one image. Objects and bytes are what was"
    " uploaded; memory is the daemon's, at its highest. The first line of each database is another daemon with a table"
    " of a thousand rows: what a table of a million takes beyond it is what the rows cost."
)
CREATE = (
    "CREATE TABLE labels (id BIGINT PRIMARY KEY, image VARCHAR(100), label VARCHAR(20), score DOUBLE PRECISION,"
    " note VARCHAR(100))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one snapshot cost the daemon."""

    what: str
    seconds: float
    cpu_s: float
    sent_bytes: int
    parts: int  # objects of the table that were uploaded
    before_bytes: int  # memory, resident
    peak_bytes: int

    @property
    def figures(self) -> dict[str, float]:
        """Return them by column."""
        return {
            "seconds": self.seconds,
            "CPU_s": self.cpu_s,
            "objects": self.parts,
            "sent_MiB": self.sent_bytes / MIB,
            "MiB": self.peak_bytes / MIB,
            "grown_MiB": (self.peak_bytes - self.before_bytes) / MIB,
        }


def table(*, rounds: int, rows: int = 1_000_000) -> Record:
    """Measure each database that is there, in so many rounds."""
    record = Record(name="table", title=f"A table of {rows:,} rows", text=TEXT, corpus=f"{rows:,} rows", by="what")
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="syncd-bench-") as scratch, ExitStack() as stack:
            server = ServerProcess(Path(scratch) / "lakefs", binary=find_or_build("lakefs"))
            server.start()
            stack.callback(server.stop)
            for name, opened in (("SQLite", sqlite_table), ("PostgreSQL", postgres_table)):
                with opened(Path(scratch), rows) as found:
                    if found is None:
                        continue
                    for one in _costs(Path(scratch) / name, server, *found, rows):
                        record.row(f"{name}: {one.what}").add(**one.figures)
        print(f"table, round {number + 1} of {rounds}", flush=True)
    for row in record.rows:
        if row.who.endswith("one row changed"):
            parts = max(row.figures["objects"])
            record.goals.append(Goal(what=f"{row.who}: objects sent", value=parts, at_most=1))
    return record


def _costs(
    scratch: Path, server: ServerProcess, url: str, execute: Callable[[str], Any], rows: int
) -> Iterator[Figures]:
    execute(f"CREATE TABLE few AS SELECT * FROM labels WHERE id < {FEW_ROWS}")
    few = measured(scratch.with_name(f"{scratch.name}-few"), server, url, execute, FEW_ROWS, table="few")
    yield few[0]
    yield from measured(scratch, server, url, execute, rows)


@contextlib.contextmanager
def sqlite_table(scratch: Path, rows: int) -> Iterator[tuple[str, Callable[[str], Any]]]:
    path = scratch / "labels.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(CREATE)
        connection.executemany("INSERT INTO labels VALUES (?, ?, ?, ?, ?)", map(row, range(rows)))

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    yield f"sqlite:///{path}", execute


@contextlib.contextmanager
def postgres_table(_scratch: Path, rows: int) -> Iterator[tuple[str, Callable[[str], Any]] | None]:
    binaries = postgres_binaries()
    if binaries is None:
        yield None
        return
    with PostgresServer(binaries) as server:
        server.execute(
            CREATE,
            "INSERT INTO labels SELECT n, 'train/' || n || '.png', 'label-' || n % 10, n / 7.0,"
            f" 'note of row ' || n FROM generate_series(0, {rows - 1}) AS n",
        )
        yield server.url, server.execute


def row(number: int) -> tuple[int, str, str, float, str]:
    return number, f"train/{number}.png", f"label-{number % 10}", number / 7, f"note of row {number}"


def measured(
    directory: Path, server: ServerProcess, url: str, execute: Callable[[str], Any], rows: int, *, table: str = "labels"
) -> list[Figures]:
    """Run the daemon on the table, and return what each snapshot cost."""
    directory.mkdir()
    name = directory.name.lower()
    dataset = Dataset(directory / "data", server_section(server, directory, f"bench-{name}"))
    secret = directory / "url"
    secret.touch(mode=0o600)
    secret.write_text(url)
    section = {"name": "labels", "url_file": str(secret), "table": table, "key": "id", "poll_seconds": 3600}
    dataset.configure(tables=[section])
    (dataset.root / "one.png").write_bytes(b"one")
    try:
        daemon = dataset.start()
        first = cost(dataset, daemon, f"first publish of {rows:,} rows", lambda: None)
        middle = f"UPDATE {table} SET label = 'changed' WHERE id = {rows // 2}"
        changed = cost(dataset, daemon, "one row changed", lambda: execute(middle))
        again = cost(dataset, daemon, "nothing changed", lambda: None)
    finally:
        dataset.close()
    return [first, changed, again]


def cost(dataset: Dataset, daemon: Any, what: str, change: Callable[[], Any]) -> Figures:
    process = psutil.Process(daemon.pid)
    change()
    staged_before = len(daemon.events("batch_staged"))
    before, cpu_before = process.memory_info().rss, sum(process.cpu_times()[:2])
    started = time.perf_counter()
    with watched_memory(process) as peak:
        dataset.snapshot(timeout_s=PATIENCE_S)
    seconds = time.perf_counter() - started
    staged = daemon.events("batch_staged")[staged_before:]
    return Figures(
        what=what,
        seconds=seconds,
        cpu_s=sum(process.cpu_times()[:2]) - cpu_before,
        sent_bytes=sum(batch["sent_bytes"] for batch in staged),
        parts=sum(batch["uploaded"] for batch in staged),
        before_bytes=before,
        peak_bytes=max(peak),
    )


@contextlib.contextmanager
def watched_memory(process: psutil.Process) -> Iterator[list[int]]:
    """Yield a list that grows by the resident memory of a process, looked at all the time."""
    seen, done = [process.memory_info().rss], threading.Event()

    def look() -> None:
        while not done.wait(LOOK_EVERY_S):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
