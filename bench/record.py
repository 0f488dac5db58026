"""What one piece of work showed, kept as JSON so that the page can be written from all that was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self, TypeVar

from syncd import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measure import Cost

HERE = Path(__file__).resolve().parent
KEPT = HERE / "results"
MIB = 1 << 20
T = TypeVar("T")
SLOW_S, SLOW_TIMES = 60.0, 2.0  # who takes longer than this, and this many times longer than syncd, is measured once


def in_turn(everyone: Sequence[T], number: int) -> Sequence[T]:
    """Return all of them, in each round beginning with another: who is first has a colder machine."""
    first = number % len(everyone)
    return [*everyone[first:], *everyone[:first]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One thing to reach: a value that is to be at most so much."""

    what: str
    value: float
    at_most: float

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.value <= self.at_most


@dataclass(slots=True, kw_only=True)
class Row:
    """One line: who did what, and every figure of every round."""

    who: str
    does: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict)  # by column, by round

    def add(self, **figures: float) -> None:
        """Take one round's figures; the names are the columns, ``_`` for spaces."""
        for name, value in figures.items():
            self.figures.setdefault(name.replace("_", " "), []).append(value)

    def add_cost(self, cost: Cost) -> None:
        """Take one round's costs."""
        self.add(
            seconds=cost.seconds,
            client_CPU_s=cost.client_cpu_s,
            server_CPU_s=cost.server_cpu_s,
            client_MiB=cost.peak_bytes / MIB,
            requests=sum(cost.requests.values()),
        )

    def middle(self, name: str = "seconds") -> float:
        """Return the median of a column."""
        return median(self.figures[name])


@dataclass(slots=True, kw_only=True)
class Record:
    """One piece of work, measured."""

    name: str
    title: str
    text: str
    corpus: str
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    by: str = ""  # what the first column is, where that is not who did it
    machine: dict[str, str] = field(default_factory=dict)

    def row(self, who: str, does: str = "") -> Row:
        """Return the row of that name, a new one at the end if there is none."""
        for row in self.rows:
            if row.who == who:
                return row
        self.rows.append(Row(who=who, does=does))
        return self.rows[-1]

    def is_enough(self, who: str, seconds: float, syncd_s: float) -> bool:
        """Return whether the first round was so slow that there is no other, and note that there is none."""
        slow = seconds > max(SLOW_S, SLOW_TIMES * syncd_s)
        if slow:
            self.notes.append(f"{who} was measured once, since it takes so long.")
        return slow

    def beside_the_best(self, who: str, others: Sequence[str], *, at_most: float = 1.0) -> None:
        """Add the goal that one is not slower than the fastest of the others, by the ratio of their medians."""
        measured = {row.who: row.middle() for row in self.rows if row.who in others}
        if measured:
            best = min(measured, key=measured.__getitem__)
            value = self.row(who).middle() / measured[best]
            self.goals.append(Goal(what=f"seconds, × those of {best}", value=value, at_most=at_most))

    def keep(self) -> None:
        """Write it down."""
        KEPT.mkdir(exist_ok=True)
        (KEPT / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def kept(cls, name: str) -> Self | None:
        """Return what was written down, if it was."""
        path = KEPT / f"{name}.json"
        if not path.exists():
            return None
        values = json.loads(path.read_text())
        values["rows"] = [Row(**row) for row in values["rows"]]
        values["goals"] = [Goal(**goal) for goal in values["goals"]]
        return cls(**values)


def machine(tools: dict[str, str], load_before: float) -> dict[str, str]:
    """Return what it was measured on, and with which versions."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    commit = _git("rev-parse", "--short=7", "HEAD")
    if _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!results", ":!RESULTS.md"):
        commit += "-dirty"
    others = ", ".join(f"{name} {number}" for name, number in tools.items())
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB; {load}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": f"syncd {__version__} ({commit}), aiobotocore {version('aiobotocore')}; {others}",
    }


def _git(*command: str) -> str:
    return subprocess.run(["git", *command], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
