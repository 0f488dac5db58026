"""Much at once, much that has to wait, and little for long: memory, journal, requests and answers stay in bounds."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from syncd.journal.rows import to_time
from tests.support.comparing import Reader, folder
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import FaultProxy
from tests.support.figures import Figures
from tests.support.labels import CsvLabels
from tests.support.planning import seconds
from tests.support.world import World
from tests.torture.storm import fill

pytestmark = [pytest.mark.slow]

Times = Callable[[int, int], int]

HERE = Path(__file__).parents[2]
STORM_FILES = 2000
ANSWER_S = 2.0  # `syncd status`, whatever goes on
STORM_GROWTH_MIB = 48  # of the daemon's memory, beyond what the same files took before the storm
BACKLOG_GROWTH_MIB = 96
JOURNAL_MIB, JOURNAL_KIB_A_FILE = 16, 1.0  # its largest size, with the log it writes ahead
MOST_A_SECOND = 3  # connections to a server that is away
BATCH = 1000
WAVES = 5
DAYS = 14


def peak_mib(dataset: Dataset) -> float:
    """Return the most memory that the newest daemon has ever had."""
    lines = Path(f"/proc/{dataset.daemons[-1].pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def journal_mib(directory: Path) -> float:
    return sum(file.stat().st_size for file in directory.glob("journal.db*")) / (1 << 20)


class Asking:
    """How long the daemon takes to say how things stand."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.longest_s, self.count = 0.0, 0

    def ask(self) -> dict:
        began_s = time.monotonic()
        status = self._dataset.status()
        self.longest_s, self.count = max(self.longest_s, time.monotonic() - began_s), self.count + 1
        return status


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_a_storm_of_small_changes(dataset: Dataset, reader: Reader, seed: int, times: Times, figures: Figures) -> None:
    """P1, P7: memory is bounded while files change faster than they can be sent; the end is exact."""
    changes = times(8_000, 1_000_000)
    dataset.configure(snapshot={"quiet_seconds": 1, "max_wait_seconds": 2})
    fill(dataset.root, STORM_FILES)
    dataset.start()
    dataset.snapshot(timeout_s=90)
    before_mib, asking, began_s = peak_mib(dataset), Asking(dataset), time.monotonic()
    arguments = [str(dataset.root), str(STORM_FILES), str(changes), str(seed)]
    with subprocess.Popen([sys.executable, "-m", "tests.torture.storm", *arguments], cwd=HERE) as storm:
        while storm.poll() is None:
            asking.ask()
    storm_s = time.monotonic() - began_s
    assert storm.returncode == 0
    answer = dataset.snapshot(timeout_s=120)
    assert answer["left_out"] == []
    assert reader.digests(answer["tag"]) == _digests(folder(dataset.root))
    growth_mib = peak_mib(dataset) - before_mib
    assert growth_mib < STORM_GROWTH_MIB
    assert asking.longest_s < ANSWER_S, f"the slowest of {asking.count} answers"
    figures(
        "a storm of small changes",
        changes,
        files=STORM_FILES,
        a_second=round(changes / storm_s),
        peak_mib=round(before_mib + growth_mib),
        growth_mib=round(growth_mib, 1),
        slowest_status_s=round(asking.longest_s, 2),
        different=0,
    )


@pytest.fixture
def proxy(lakefs_server, rng: random.Random) -> Iterator[FaultProxy]:
    with FaultProxy(lakefs_server.endpoint, random.Random(rng.getrandbits(32))) as proxy:
        yield proxy


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_a_backlog_that_grows_while_lakefs_is_away(
    dataset: Dataset, proxy: FaultProxy, reader: Reader, tmp_path: Path, times: Times, figures: Figures
) -> None:
    """P1, P7, P8: all is observed and counted meanwhile, nobody is stormed, and it is made up for, oldest first."""
    files, labels = times(5_000, 100_000), CsvLabels(tmp_path)
    table = {"name": "labels", "key": "id", "poll_seconds": 0.2, **labels.settings}
    dataset.configure(lakefs={"endpoint": proxy.endpoint}, upload={"batch_objects": BATCH}, tables=[table])
    labels.write({"first": "a.png"})
    (dataset.root / "first.png").write_bytes(b"first")
    dataset.start()
    dataset.snapshot()
    before_mib, asking, gone_s = peak_mib(dataset), Asking(dataset), time.monotonic()
    proxy.go_away(listening=True)
    for wave in range(WAVES):
        _create(dataset.root, wave, files // WAVES)
        expected = files // WAVES * (wave + 1)
        until(lambda: asking.ask()["pending"]["upload"] >= expected, "it is observed", timeout_s=60 + files / 1000)  # noqa: B023
    labels.write({"first": "a.png", "second": "b.png"})
    dataset.status_until(lambda seen: seen["tables"][0]["rows"] == 2, "the table is read")
    assert dataset.command("status").stdout.startswith("failing, since ")
    away_s, tries = time.monotonic() - gone_s, sum(one.at > gone_s for one in proxy.attempts)
    assert tries <= MOST_A_SECOND * away_s, f"{tries} connections to a server that was away for {away_s:.0f} s"
    largest_mib = journal_mib(dataset.state_dir)
    assert largest_mib < JOURNAL_MIB + files * JOURNAL_KIB_A_FILE / 1024
    proxy.attempts.clear()
    back_s = time.monotonic()
    proxy.come_back()
    answer = dataset.snapshot(timeout_s=120 + files / 100)
    drained_s = time.monotonic() - back_s
    table_body = (dataset.directory.parent / "labels.csv").read_bytes()
    expected = folder(dataset.root) | {"tables/labels.csv": table_body}
    assert reader.digests(answer["tag"]) == _digests(expected)
    _assert_oldest_first([one.target for one in proxy.attempts if one.operation == "put"])
    growth_mib = peak_mib(dataset) - before_mib
    assert growth_mib < BACKLOG_GROWTH_MIB
    assert asking.longest_s < ANSWER_S
    figures(
        "files that came while lakeFS was away",
        files,
        away_s=round(away_s, 1),
        connections=tries,
        peak_mib=round(before_mib + growth_mib),
        growth_mib=round(growth_mib, 1),
        journal_mib=round(largest_mib, 1),
        slowest_status_s=round(asking.longest_s, 2),
        drained_s=round(drained_s, 1),
        different=0,
    )


def _digests(bodies: Mapping[str, bytes]) -> dict[str, str]:
    return {key: hashlib.md5(body, usedforsecurity=False).hexdigest() for key, body in bodies.items()}


def _create(root: Path, wave: int, count: int) -> None:
    for number in range(count):
        path = root / f"wave-{wave}" / f"{number % 50}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d of %d" % (number, wave))


def _assert_oldest_first(targets: list[str]) -> None:
    """Within a batch they may go in any order; none before one that is more than a batch ahead of it."""
    waves = [int(target.partition("/wave-")[2].partition("/")[0]) for target in targets if "/wave-" in target]
    newest = 0
    for position, wave in enumerate(waves):
        newest = max(newest, waves[position - BATCH] if position >= BATCH else 0)
        assert wave >= newest, f"upload {position}: wave {wave}, after wave {newest}"


async def test_fourteen_days_of_a_trickle(tmp_path: Path, seed: int, times: Times, figures: Figures) -> None:
    """P4, P7: on a clock that is moved, with a crash a day; a change never waits too long, and the journal is bounded.

    It is never quiet, so that only ``max_wait`` makes snapshots.
    """
    changes = times(DAYS * 96, DAYS * 1440)
    step_s = DAYS * 86_400 / changes
    quiet, max_wait = seconds(1.5 * step_s), seconds(16 * step_s)
    rng, made, sizes, middle = random.Random(seed), [], {}, {}
    async with World(tmp_path, seed=seed, quiet=quiet, max_wait=max_wait) as world:
        for number in range(changes):
            one = rng.randrange(200)
            key = f"images/{one}.png"
            if one % 2 and key in world.files:
                del world.files[key]
            else:
                world.files[key] = b"%d" % number
            await world.look()
            if one % 2 == 0:  # never deleted, so that nothing but a snapshot ends its waiting
                made.append(world.now)
            await _live_until(world, world.now + seconds(step_s))
            if number % (changes // DAYS) == 0:
                await world.crash()
            if number == changes // 2:
                middle = await _rows(world)
        await _live_until(world, world.now + 2 * max_wait)
        assert world.tree("main") == world.files
        sizes = await _rows(world)
        taken = await world.journal.read(_begun)
    longest = max(taken[bisect_left(taken, change)] - change for change in made if change <= taken[-1])
    assert longest <= max_wait
    growing = {name: count for name, count in sizes.items() if count > 2 * middle[name] * 0.9 and count > 300}
    assert growing.keys() <= {"snapshot"}, f"tables that grow for ever: {growing}"
    figures(
        f"changes in {DAYS} simulated days",
        changes,
        snapshots=len(taken),
        longest_wait_s=round(longest.total_seconds()),
        max_wait_s=round(max_wait.total_seconds()),
        journal_mib=round(journal_mib(tmp_path), 2),
        **{f"rows_of_{name}": sizes[name] for name in ("entry", "batch", "problem", "deletion")},
    )


async def _live_until(world: World, moment: datetime) -> None:
    """Let the loop decide and act until a moment, sleeping as it would."""
    while True:
        plan = await world.turn()
        if plan is None or plan.actions:
            continue
        if plan.wake_at is None or plan.wake_at >= moment:
            break
        world.now = max(plan.wake_at, world.now + seconds(1))
    world.now = moment


def _begun(connection: sqlite3.Connection) -> list[datetime]:
    """Return when the snapshots were made, the oldest first."""
    found = connection.execute("SELECT begun_at FROM snapshot ORDER BY sequence")
    return [to_time(at) for (at,) in found]


async def _rows(world: World) -> Counter[str]:
    """Return how many rows each table of the journal has."""

    def count(connection: sqlite3.Connection) -> Counter[str]:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return Counter({name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names})

    return await world.journal.read(count)
