"""Measures a table of a million rows: published for the first time, then with one row changed; writes the results down.

``.venv/bin/python bench/million_rows.py`` runs it on SQLite, and on PostgreSQL where its server is installed. All that
it starts ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from syncd.embedded.binary import find_or_build  # noqa: E402 - found from here on
from syncd.embedded.process import ServerProcess  # noqa: E402
from tests.support.daemon import Dataset, server_section  # noqa: E402
from tests.support.databases import PostgresServer, postgres_binaries  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESULTS = HERE / "TABLES.md"
PATIENCE_S = 900.0
LOOK_EVERY_S = 0.05
MIB = 1 << 20

FEW_ROWS = 1_000

INTRODUCTION = (
    "Written by `bench/million_rows.py`: the daemon, asked for a snapshot of a table of five columns and one image,"
    " against one lakeFS server on the same machine. Objects and bytes are what was uploaded; memory is the daemon's,"
    " at its highest. The first line is another daemon with a table of a thousand rows: what it takes besides is"
    " what a large table costs. Growth is counted from before the call; the first time that includes loading pyarrow."
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    load_before = os.getloadavg()[0]
    sections = []
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as scratch, ExitStack() as stack:
        server = ServerProcess(Path(scratch) / "lakefs", binary=find_or_build("lakefs"))
        server.start()
        stack.callback(server.stop)
        for name, opened in (("SQLite", sqlite_table), ("PostgreSQL", postgres_table)):
            with opened(Path(scratch), asked.rows) as table:
                if table is not None:
                    url, execute = table
                    execute(f"CREATE TABLE few AS SELECT * FROM labels WHERE id < {FEW_ROWS}")
                    few = measured(Path(scratch) / f"{name}-few", server, url, execute, FEW_ROWS, table="few")
                    many = measured(Path(scratch) / name, server, url, execute, asked.rows)
                    sections.append((name, [few[0], *many]))
    text = page(sections, asked.rows, load_before)
    print(text)
    asked.output.write_text(text)


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


def page(sections: list[tuple[str, list[Figures]]], rows: int, load_before: float) -> str:
    lines = [
        "# A large table",
        "",
        INTRODUCTION,
        "",
        "| | |",
        "|---|---|",
        f"| when | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |",
        f"| machine | {os.cpu_count()} cores; load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after |",
        f"| system | {platform.system()} {platform.release()}, Python {platform.python_version()} |",
        f"| rows | {rows:,} |",
    ]
    for name, figures in sections:
        lines += [
            "",
            f"## {name}",
            "",
            "| | seconds | CPU s | uploaded objects | uploaded MiB | memory MiB | growth MiB |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        lines += [
            f"| {one.what} | {one.seconds:.2f} | {one.cpu_s:.2f} | {one.parts} | {one.sent_bytes / MIB:.2f} |"
            f" {one.peak_bytes / MIB:.0f} | {(one.peak_bytes - one.before_bytes) / MIB:.0f} |"
            for one in figures
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
