"""What a process cost, and what a server did meanwhile: seconds, CPU seconds, memory, requests."""

from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from syncd.embedded.process import ServerProcess

_SAMPLE = re.compile(r"^(gateway|api)_request_duration_seconds_count\{(.*)\} (\S+)$", re.MULTILINE)
_OPERATION = re.compile(r'operation="([^"]*)"')
IDLE_LOOK_S, IDLE_SHARE, IDLE_WAIT_S = 2.0, 0.05, 600.0  # idle: less than this share of one core
GNU_TIME = "time"  # a program: that of the shell of this name tells no memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one piece of work took."""

    seconds: float
    client_cpu_s: float
    server_cpu_s: float = 0.0
    peak_bytes: int = 0  # the memory of that process of the client which had the most
    requests: Mapping[str, int] = field(default_factory=dict)  # by operation

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            seconds=self.seconds + other.seconds,
            client_cpu_s=self.client_cpu_s + other.client_cpu_s,
            server_cpu_s=self.server_cpu_s + other.server_cpu_s,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
            requests=Counter(self.requests) + Counter(other.requests),
        )


class CommandFailedError(Exception):
    """A measured command did not end with 0."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended well."""

    cost: Cost
    stdout: str


def run(
    command: Sequence[str], *, environment: Mapping[str, str], directory: Path, within: Path | None = None
) -> Finished:
    """Run a command to its end and return what it cost and said.

    Args:
        command: With its arguments.
        environment: All of its environment.
        directory: Where what it says is kept.
        within: The working directory, if that matters.

    Raises:
        CommandFailedError: It failed; the text holds the end of what it said.
    """
    said, complained, peak = directory / "stdout", directory / "stderr", directory / "peak"
    # what wait4 tells of a process counts the memory of who started it: GNU time has hardly any
    words = [GNU_TIME, "--quiet", "--format=%M", f"--output={peak}", *command]
    with said.open("wb") as stdout, complained.open("wb") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=within
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        output = (said.read_text(errors="replace") + complained.read_text(errors="replace"))[-2000:]
        raise CommandFailedError(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    cpu_s, peak_bytes = usage.ru_utime + usage.ru_stime, int(peak.read_text()) * 1024
    cost = Cost(seconds=seconds, client_cpu_s=cpu_s, peak_bytes=peak_bytes)
    return Finished(cost, said.read_text())


def with_server(server: ServerProcess, work: Callable[[], Finished]) -> Finished:
    """Do some work and add to its cost what it cost the server."""
    requests, cpu_s = requests_of(server), _cpu_s(server)
    done = work()
    spent_s = _cpu_s(server) - cpu_s
    meanwhile = {name: count for name, count in (requests_of(server) - requests).items() if count}
    return Finished(done.cost + Cost(seconds=0, client_cpu_s=0, server_cpu_s=spent_s, requests=meanwhile), done.stdout)


def requests_of(server: ServerProcess) -> Counter[str]:
    """Return how many requests the server has answered since it started, by operation."""
    with urllib.request.urlopen(f"{server.endpoint}/metrics") as answer:  # noqa: S310 - our own server
        text = answer.read().decode()
    found: Counter[str] = Counter()
    for kind, labels, count in _SAMPLE.findall(text):
        operation = _OPERATION.search(labels)
        found[f"{kind} {operation[1] if operation else 'other'}"] += int(float(count))
    return found


def wait_until_idle(server: ServerProcess, *, at_most_s: float = IDLE_WAIT_S) -> float:
    """Wait until what the server still does of its own accord is done; return the seconds that took.

    Raises:
        TimeoutError: It does not end.
    """
    started = time.perf_counter()
    while time.perf_counter() - started < at_most_s:
        cpu_s = _cpu_s(server)
        time.sleep(IDLE_LOOK_S)
        if _cpu_s(server) - cpu_s < IDLE_SHARE * IDLE_LOOK_S:
            return time.perf_counter() - started
    raise TimeoutError(f"lakeFS is still busy after {at_most_s:g} s")


def _cpu_s(server: ServerProcess) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)
