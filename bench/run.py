"""Measures syncd beside its peers, keeps every figure in ``results/``, and writes ``RESULTS.md``.

``make bench`` runs all of it, some hours long; ``make bench ARGS="first rename"`` runs what is named, and leaves the
other records as they are. Everything it starts ends with it; the files it works on are kept in ``.cache/bench``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import tools
from corpus import Corpus
from events import events
from first_sync import first_sync
from moves import delete, rename
from one_change import one_change
from pages import pages
from pull import pull
from record import KEPT, Record, machine
from report import PAGE, page
from shares import shares
from table import table

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
JPEGS = Corpus(files=5_000, size_bytes=19_000)
SMALL = Corpus(files=100_000, size_bytes=2_000, kind="noise")
LARGE = Corpus(files=200, size_bytes=50_000_000, kind="noise")
WITHIN_TENTH = 1 / 0.9  # of the best throughput, in seconds

WORKS: dict[str, Callable[[int], Record]] = {
    "first": lambda rounds: first_sync("first", "5,000 images, from nothing to a snapshot", JPEGS, rounds=rounds),
    "small": lambda rounds: first_sync("small", "100,000 small files, from nothing", SMALL, rounds=rounds),
    "large": lambda rounds: first_sync("large", "200 large files", LARGE, rounds=rounds, at_most=WITHIN_TENTH),
    "growth": lambda rounds: one_change(rounds=rounds),
    "rename": lambda rounds: rename(rounds=rounds),
    "delete": lambda rounds: delete(rounds=rounds),
    "events": lambda rounds: events(rounds=rounds),
    "pull": lambda rounds: pull("pull", "Pulling 5,000 images", JPEGS, rounds=rounds),
    "pull-small": lambda rounds: pull("pull-small", "Pulling 100,000 small files", SMALL, rounds=rounds),
    "table": lambda rounds: table(rounds=rounds),
    "pages": lambda rounds: pages(rounds=rounds),
    "shares": lambda rounds: shares(rounds=rounds),
}
QUICK: dict[str, Callable[[int], Record]] = {
    "first": lambda rounds: first_sync("first", "1,000 images", Corpus(files=1_000, size_bytes=19_000), rounds=rounds),
    "growth": lambda rounds: one_change(sizes=(1_000, 2_000), rest_s=5.0, rounds=rounds),
    "rename": lambda rounds: rename(rounds=rounds, count=1_000),
    "events": lambda rounds: events(rounds=rounds, created=20_000),
    "pull": lambda rounds: pull("pull", "Pulling 1,000", Corpus(files=1_000, size_bytes=19_000), rounds=rounds),
    "pages": lambda rounds: pages(rounds=rounds, changes=2_000, total=10_000, snapshots=1_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"what to measure (all): {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5)")
    parser.add_argument("--quick", action="store_true", help="in minutes, on few files; results are only printed")
    asked = parser.parse_args()
    works = QUICK if asked.quick else WORKS
    if unknown := set(asked.works) - set(works):
        parser.error(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(works)}")
    tools.need_gnu_time()
    measured = []
    for name in asked.works or works:
        load_before = os.getloadavg()[0]
        record = works[name](asked.rounds or (1 if asked.quick else 5))
        record.machine = machine(tools.versions(), load_before)
        measured.append(record)
        if not asked.quick:
            record.keep()
            PAGE.write_text(page([kept for kept in map(Record.kept, WORKS) if kept], _plots()))
    print(page(measured, []))


def _plots() -> list[str]:
    """Draw what is kept, where the environment for it could be had; return the names of all drawings there are."""
    environment, record = tools.environment(), KEPT / "growth.json"
    if environment and record.exists():
        subprocess.run([environment / "python", HERE / "plots.py", record, KEPT], check=True)
    return sorted(plot.stem for plot in KEPT.glob("*.svg"))


if __name__ == "__main__":
    main()
