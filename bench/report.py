"""What was measured, as a page of Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from syncd import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from corpus import Corpus
    from measure import Cost

MIB = 1 << 20


@dataclass(kw_only=True)
class Results:
    """Every figure of a run; the first name is the one that the others are compared with."""

    corpus: Corpus
    total_bytes: int
    lakectl: Path
    costs: dict[str, list[dict[str, Cost]]] = field(default_factory=dict)  # by peer, by round, by step
    again: list[Cost] = field(default_factory=list)  # with nothing changed
    phases: list[Mapping[str, float]] = field(default_factory=list)
    latencies_s: Sequence[float] = ()
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(self, peer: str, steps: dict[str, Cost]) -> None:
        """Take the costs of one peer's round."""
        self.costs.setdefault(peer, []).append(steps)


def page(results: Results) -> str:
    """Return all results as Markdown; medians everywhere."""
    return "\n".join(
        [
            "# What was measured\n",
            (
                "Written by `make bench` (`bench/first_sync.py`). Everything ran in one go, in turn, against one lakeFS"
                " server on the same machine, with a new repository and no state each time. Seconds depend on the"
                " machine and on what else it does; the ratios are what counts.\n"
            ),
            *machine(results),
            *_first_sync(results),
            *_phases(results),
            *_again(results),
            *_latency(results),
        ]
    )


def machine(results: Results) -> list[str]:
    lakectl = subprocess.run([results.lakectl, "--version"], capture_output=True, text=True, check=True).stdout
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    corpus, rounds = results.corpus, len(next(iter(results.costs.values())))
    load = f"load average {results.load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    versions = f"syncd {__version__}, aiobotocore {version('aiobotocore')}, {lakectl.strip()}"
    return [
        "| | |",
        "|---|---|",
        f"| when | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |",
        f"| machine | {_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB; {load} |",
        f"| system | {platform.system()} {platform.release()}, Python {platform.python_version()} |",
        f"| versions | {versions} |",
        (
            f"| files | {corpus.files} JPEGs, {results.total_bytes / corpus.files:.0f} bytes on average,"
            f" {results.total_bytes / MIB:.0f} MiB, seed {corpus.seed} |"
        ),
        f"| rounds | {rounds} |",
        "",
    ]


def _first_sync(results: Results) -> list[str]:
    totals = {peer: [_total(steps) for steps in rounds] for peer, rounds in results.costs.items()}
    reference = [cost.seconds for cost in next(iter(totals.values()))]
    rows = [_first_sync_row(peer, rounds, reference) for peer, rounds in totals.items()]
    return [
        f"## {results.corpus.files} images, from nothing to a snapshot\n",
        (
            "syncd: listing, SHA-256 and MD5 of every file, journal, repository, branches, upload, commit, merge,"
            " tag, all in one process from its start to its exit. lakectl: `local init` and `local commit`; its"
            " repository is made before, and no tag is. The ratio is the median of each"
            " round's own, above 1: syncd was faster.\n"
        ),
        "| | seconds | fastest | slowest | × syncd | client CPU s | server CPU s | client MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
        "",
    ]


def _first_sync_row(peer: str, rounds: Sequence[Cost], reference: Sequence[float]) -> str:
    seconds = [cost.seconds for cost in rounds]
    ratio = median(own / other for own, other in zip(seconds, reference, strict=True))
    client, server = median(cost.client_cpu_s for cost in rounds), median(cost.server_cpu_s for cost in rounds)
    peak_mib = median(cost.peak_bytes for cost in rounds) / MIB
    return (
        f"| {peer} | {median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} | {ratio:.2f}"
        f" | {client:.2f} | {server:.2f} | {peak_mib:.0f} |"
    )


def _phases(results: Results) -> list[str]:
    if not results.phases:
        return []
    rows = [f"| {name} | {median(phases[name] for phases in results.phases):.2f} |" for name in results.phases[0]]
    lines = ["## Where syncd's time goes\n", "| phase | seconds |", "|---|--:|", *rows, ""]
    for peer, rounds in results.costs.items():
        if len(rounds[0]) > 1:
            steps = [f"{step} {median(steps[step].seconds for steps in rounds):.2f} s" for step in rounds[0]]
            lines.append(f"{peer}: {', '.join(steps)}.\n")
    return lines


def _again(results: Results) -> list[str]:
    if not results.again:
        return []
    seconds, cpu_s = (median(getattr(cost, name) for cost in results.again) for name in ("seconds", "client_cpu_s"))
    return [
        "## `syncd sync` once more, with nothing changed\n",
        f"{seconds:.2f} s from start to exit, {cpu_s:.2f} s of CPU; requests: {_requests(results.again)}.\n",
    ]


def _requests(costs: Sequence[Cost]) -> str:
    """Return the requests of a round, or say how they varied."""
    kinds = {tuple(sorted(Counter(cost.requests).items())) for cost in costs}
    return " or ".join(", ".join(f"{count} {name}" for name, count in kind) or "none" for kind in sorted(kinds))


def _latency(results: Results) -> list[str]:
    if not results.latencies_s:
        return []
    low, middle, high = (find(results.latencies_s) * 1000 for find in (min, median, max))
    return [
        f"## One changed file among {results.corpus.files}, through the running daemon\n",
        (
            f"From the change to the tag, with `settle_seconds` at 0 and `quiet_seconds` at 1 ms: median"
            f" {middle:.0f} ms of {len(results.latencies_s)} ({low:.0f} to {high:.0f}).\n"
        ),
    ]


def _total(steps: Mapping[str, Cost]) -> Cost:
    first, *others = steps.values()
    return sum(others, start=first)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
