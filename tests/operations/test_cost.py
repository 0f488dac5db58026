"""What it costs to have syncd running: at rest, at work for long, after many snapshots, and to start it."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from syncd.service import control
from tests.support.comparing import Reader, folder
from tests.support.daemon import Dataset
from tests.support.figures import Figures
from tests.support.machine_needs import need

pytestmark = [pytest.mark.slow, pytest.mark.lakefs]

Times = Callable[[int, int], int]

UNITS = Path(__file__).parents[2] / "systemd"
MOST_EXPOSED = 1.1  # by systemd-analyze security; 10 is unprotected
IDLE_CPU_PERCENT = 2.0
START_S = 30.0
GROWTH_MIB = 48.0
SNAPSHOT_FILES = 50
CHANGES_A_SECOND = 50
SOAK_FILES = 2000
MOST_OPEN_MORE = 8  # descriptors and threads, beyond those at the beginning


def mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / (1 << 20)


@pytest.mark.parametrize("unit", ["syncd.service", "syncd@.service"])
def test_the_unit_is_hardened(unit: str, figures: Figures) -> None:
    need(["systemd-analyze"], packages="systemd")
    command = ["systemd-analyze", "security", "--offline=true", str(UNITS / unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    exposure = float(re.findall(r"exposure level for \S+: ([\d.]+)", said)[0])
    assert exposure <= MOST_EXPOSED
    figures(f"systemd-analyze security {unit}", 1, exposure=exposure, unprotected_is=10)


def test_it_starts_soon(dataset: Dataset, times: Times, figures: Figures) -> None:
    for number in range(100):
        (dataset.root / f"{number}.png").write_bytes(b"x%d" % number)
    dataset.json_of("sync")
    took_s = []
    for _ in range(times(2, 11)):
        heard = dataset.directory / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(heard))
            manager.settimeout(START_S)
            began_s = time.monotonic()
            daemon = subprocess.Popen(
                dataset.arguments("run"),
                env={**dataset.environment, "NOTIFY_SOCKET": str(heard)},
                stderr=subprocess.DEVNULL,
            )
            while b"READY=1" not in manager.recv(4096):
                pass
            took_s.append(time.monotonic() - began_s)
            daemon.terminate()
            assert daemon.wait(30) == 0
        heard.unlink()
    median = statistics.median(took_s)
    figures("starts until READY=1", len(took_s), median_s=round(median, 2), longest_s=round(max(took_s), 2))


def test_at_rest_it_costs_next_to_nothing(dataset: Dataset, times: Times, figures: Figures) -> None:
    for number in range(1000):
        (dataset.root / f"{number}.png").write_bytes(b"x%d" % number)
    daemon = dataset.start()
    dataset.json_of("snapshot")
    dataset.status_until(lambda seen: seen["state"] == "idle", "it is in step")
    process, seconds = psutil.Process(daemon.pid), times(5, 60)
    before, began_s = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after, elapsed_s = process.cpu_times(), time.monotonic() - began_s
    percent = 100 * (after.user + after.system - before.user - before.system) / elapsed_s
    assert percent <= IDLE_CPU_PERCENT
    figures("seconds at rest, with 1,000 files", seconds, cpu_percent=round(percent, 2), rss_mib=round(mib(process), 1))


def test_many_snapshots_take_no_memory(
    dataset: Dataset, reader: Reader, times: Times, figures: Figures, rng: random.Random
) -> None:
    daemon, count = dataset.start(), times(30, 10_000)
    process = psutil.Process(daemon.pid)

    async def snapshots(first: int, last: int) -> None:
        for number in range(first, last):
            (dataset.root / f"{rng.randrange(SNAPSHOT_FILES)}.png").write_bytes(b"x%d" % number)
            answer = await control.call(dataset.state_dir, "snapshot", timeout_s=60.0, allow_held=False)
            assert answer["tag"]

    warm = max(10, count // 20)
    asyncio.run(snapshots(0, warm))
    before = mib(process)
    began_s = time.monotonic()
    asyncio.run(snapshots(warm, count))
    took_s = time.monotonic() - began_s
    after = mib(process)
    assert after - before <= GROWTH_MIB
    assert reader.objects(dataset.json_of("snapshot")["tag"]) == folder(dataset.root)
    figures(
        "snapshots, one after the other",
        count,
        rss_mib_at_first=round(before, 1),
        rss_mib_at_last=round(after, 1),
        snapshots_a_second=round((count - warm) / took_s, 1),
    )


@dataclass
class Watch:
    """Memory, descriptors and threads of a process over time."""

    process: psutil.Process
    began_s: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, float, int, int]] = field(default_factory=list)

    def look(self) -> None:
        at_s = time.monotonic() - self.began_s
        self.seen.append((at_s, mib(self.process), self.process.num_fds(), self.process.num_threads()))

    def slope_mib_an_hour(self) -> float:
        """Least squares over the second half: by then all that is used once has been loaded."""
        late = self.seen[len(self.seen) // 2 :]
        slope, _ = statistics.linear_regression([at for at, *_ in late], [rss for _, rss, *_ in late])
        return slope * 3600


def test_a_soak_at_fifty_changes_a_second(
    dataset: Dataset, reader: Reader, times: Times, figures: Figures, rng: random.Random
) -> None:
    seconds = times(10, 1800)
    dataset.configure(snapshot={"quiet_seconds": "off", "max_wait_seconds": 5.0, "max_changes": "off"})
    daemon, ending, changes = dataset.start(), threading.Event(), 0

    def write() -> None:
        nonlocal changes
        began_s = time.monotonic()
        while not ending.is_set():
            path = dataset.root / f"{rng.randrange(100)}" / f"{rng.randrange(SOAK_FILES // 100)}.png"
            path.parent.mkdir(exist_ok=True)
            if path.exists() and rng.random() < 0.4:
                path.unlink()
            else:
                path.write_bytes(rng.randbytes(rng.randrange(100, 20_000)))
            changes += 1
            ending.wait(max(0.0, began_s + changes / CHANGES_A_SECOND - time.monotonic()))

    writer, watch = threading.Thread(target=write), Watch(psutil.Process(daemon.pid))
    writer.start()
    try:
        for _ in range(seconds):
            watch.look()
            time.sleep(1)
    finally:
        ending.set()
        writer.join()
    taken = dataset.json_of("snapshot", "--timeout", "120")
    assert taken["left_out"] == []
    assert reader.objects(taken["tag"]) == folder(dataset.root)
    _, first_rss, first_fds, first_threads = watch.seen[len(watch.seen) // 10]
    _, last_rss, last_fds, last_threads = watch.seen[-1]
    assert last_rss - first_rss <= GROWTH_MIB
    assert max(fds for *_, fds, _ in watch.seen) - first_fds <= 64 + MOST_OPEN_MORE  # one for each upload under way
    assert max(threads for *_, threads in watch.seen) - first_threads <= MOST_OPEN_MORE
    figures(
        f"seconds at {CHANGES_A_SECOND} changes a second",
        seconds,
        changes=changes,
        snapshots=len(dataset.json_of("log", "--limit", "100000")),
        rss_mib_at_first=round(first_rss, 1),
        rss_mib_at_last=round(last_rss, 1),
        rss_mib_an_hour=round(watch.slope_mib_an_hour(), 1),
        descriptors=f"{first_fds} to {last_fds}",
        threads=f"{first_threads} to {last_threads}",
    )
