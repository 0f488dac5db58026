"""What was tried and found, as a page: ``python -m tests.torture.results SECTION FIGURES.jsonl`` renews a section."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import syncd
from syncd.embedded.binary import find_or_build, version_of

PAGE = Path(__file__).parents[1] / "RESULTS.md"
INTRODUCTION = """\
# What was tried

A line is there only if its test passed; the figures are what the test measured or counted. `SYNCD_TEST_SEED` repeats a
course of events. The same tests run in CI, a slice of each.
"""
SECTIONS = {
    "Torture": """\
`make torture` does to syncd whatever can be done to it, as often as the table says; `SCALE=0.1` takes a tenth of each.
""",
    "The running service": """\
`make figures` measures what it costs to have it running, for an hour.
""",
}


def machine() -> list[tuple[str, str]]:
    """Return what the figures depend on; nothing that tells whose machine it is."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return [
        ("Date", f"{datetime.now(tz=UTC):%Y-%m-%d}"),
        ("Machine", f"{len(os.sched_getaffinity(0))} cores, {memory_gib:.0f} GiB, {platform.machine()}"),
        ("Kernel", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        ("SQLite", sqlite3.sqlite_version),
        ("lakeFS", version_of(find_or_build("lakefs")) or "not known"),
        ("syncd", f"{syncd.__version__}, {_commit()}"),
    ]


def _commit() -> str:
    """Return which code it was; the page itself is written afterwards, and does not count as a change."""
    described = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(
        described, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    ).stdout.strip()


def section(title: str, lines: list[dict[str, Any]]) -> str:
    """Return one section as Markdown."""
    about = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine())]
    table = ["| Tried | N | Found | Seconds | Seed | Test |", "|---|---:|---|---:|---:|---|", *map(_row, lines)]
    return "\n".join([f"## {title}\n", SECTIONS[title], *about, "", *table, ""])


def page(former: str, title: str, lines: list[dict[str, Any]]) -> str:
    """Return the page with one section new and the others as they were, each with the day and the code it is of."""
    found = dict(re.findall(r"^(?:## (.*)\n)((?:(?!^## ).*\n)*)", former, re.MULTILINE))
    kept = {one: f"## {one}\n{text.rstrip()}\n" for one, text in found.items() if one in SECTIONS}
    kept[title] = section(title, lines)
    return "\n".join([INTRODUCTION, *(kept[one] for one in SECTIONS if one in kept)])


def _row(line: dict[str, Any]) -> str:
    found = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in line["found"].items())
    test = line["test"].rpartition("tests/")[2].replace("|", "/")
    cells = (line["what"], _number(line["n"]), found, f"{line['seconds']:g}", str(line["seed"]), f"`{test}`")
    return f"| {' | '.join(cells)} |"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def main() -> None:
    title, figures = sys.argv[1:]
    lines = [json.loads(line) for line in Path(figures).read_text().splitlines()]
    PAGE.write_text(page(PAGE.read_text() if PAGE.exists() else "", title, lines))


if __name__ == "__main__":
    main()
