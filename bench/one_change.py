"""A dataset that grows: what its first sync, its start, its rest and its changes cost at each size."""

from __future__ import annotations

import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import corpus as files
import measure
import place as places
import tools
from corpus import Corpus
from daemon import AT_ONCE, Daemon
from peers import SYNCD, UNDER, Lakectl, Rclone
from record import MIB, Goal, Record, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from measure import Cost
    from place import Place

SIZES = (1_000, 10_000, 100_000, 1_000_000)
FILE_BYTES = 2_000
CHANGES, MANY, THREADS = 11, 1_000, 32
PAUSE_S = 0.3  # between a tag and the next change
SETTLED_S = 15.0  # after a start, before rest is measured: the journal is examined meanwhile
PEERS_UP_TO = 100_000  # files; beyond it most of them take tens of minutes to upload them in the first place
TEXT = (
    "The daemon with the default configuration but `settle_seconds = 0` and `quiet_seconds = 0.001`, on files of"
    f" {FILE_BYTES:,} bytes. One change: from just before the rename that puts the new file in place to the log line"
    f" that names the tag, {CHANGES} times. {MANY:,} changes: from before the first to a snapshot of all. Start: from"
    " the process's start until the newest snapshot is known to hold what the folder holds, all of it listed, once"
    " lakeFS has come to rest; the first start compares each file with what is known of it, later ones whole"
    " directories. Beside it `find ROOT -printf '%s %T@ %p\\n'`. Peers bring the same one changed file. lakeFS alone:"
    " its own client, one request after the other, uploads one object beside as many, commits, merges and tags; between"
    " two changes of syncd's. Own: what syncd takes beyond that. Of 1,000 changes the same is said of commit, merge and"
    " tag without the uploads, and how many snapshots syncd made of them."
)


def one_change(*, sizes: tuple[int, ...] = SIZES, rest_s: float = 60.0, rounds: int = 5) -> Record:
    """Measure each size in turn, with a server of its own."""
    record = Record(name="growth", title="One change among many files", text=TEXT, corpus="", by="files")
    for size in sizes:
        corpus = Corpus(files=size, size_bytes=FILE_BYTES, kind="noise")
        with places.place_for(corpus) as place:
            row = record.row(f"{size:,}")
            _syncd(place, row, size=size, rest_s=rest_s, rounds=rounds)
            if size <= PEERS_UP_TO:
                _peers(place, row, rounds=rounds)
        middles = {name: round(row.middle(name), 3) for name in row.figures}
        print(f"{size:,} files: {middles}", flush=True)
    _goals(record)
    return record


def _syncd(place: Place, row: Row, *, size: int, rest_s: float, rounds: int) -> None:
    state = place.fresh("grown")
    config = places.configure(place, state, root=place.work_copy, more=AT_ONCE)
    first = place.measured([SYNCD, "sync", "--json", "--config", config], state).cost
    row.add(first_sync_s=first.seconds, first_sync_MiB=first.peak_bytes / MIB)
    row.add(lakeFS_busy_afterwards_s=measure.wait_until_idle(place.server))
    for number in range(rounds + 1):
        find_s = _find_s(place.work_copy)
        with Daemon(state) as daemon:
            start_s = daemon.in_step_s()
            if number == 0:  # nothing is known of the directories yet
                row.add(first_start_s=start_s)
            else:
                row.add(find_s=find_s, start_s=start_s, start_CPU_s=daemon.cpu_s)
    with Daemon(state) as daemon:
        daemon.in_step_s()
        time.sleep(SETTLED_S)
        measure.wait_until_idle(place.server)
        _rest(place, daemon, row, rest_s)
        _changes(place, state, daemon, row, size)


def _find_s(root: Path) -> float:
    started = time.perf_counter()
    subprocess.run(["find", root, "-printf", "%s %T@ %p\\n"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _rest(place: Place, daemon: Daemon, row: Row, seconds: float) -> None:
    requests, cpu_s, started = measure.requests_of(place.server), daemon.cpu_s, time.perf_counter()
    time.sleep(seconds)
    elapsed_s = time.perf_counter() - started
    meanwhile = measure.requests_of(place.server) - requests
    row.add(
        rest_CPU_percent=100 * (daemon.cpu_s - cpu_s) / elapsed_s,
        rest_requests_a_minute=60 * sum(meanwhile.values()) / elapsed_s,
        rest_MiB=daemon.rss_bytes / MIB,
    )


def _changes(place: Place, state: Path, daemon: Daemon, row: Row, size: int) -> None:
    rng = random.Random(size)
    root = place.work_copy
    paths = list(files.paths(Corpus(files=size, size_bytes=FILE_BYTES)))
    alone = _Alone(place, state.name)
    daemon.forget_snapshots()

    def content() -> bytes:
        return rng.randbytes(FILE_BYTES)

    for number in range(CHANGES):
        time.sleep(PAUSE_S)
        alone_ms = 1000 * alone.change([rng.choice(paths)], content, str(number))[0]
        time.sleep(PAUSE_S)
        new = _new_file(state, rng)
        cpu_s, started = daemon.cpu_s, time.perf_counter()
        new.replace(root / rng.choice(paths))
        snapshot = daemon.next_snapshot()
        if snapshot["changed"] != 1:
            raise AssertionError(f"the snapshot holds {snapshot['changed']} changes")
        took_ms = 1000 * (snapshot["heard_at"] - started)
        row.add(one_change_ms=took_ms, one_change_CPU_ms=1000 * (daemon.cpu_s - cpu_s))
        row.add(lakeFS_alone_ms=alone_ms, own_ms=took_ms - alone_ms)
    many = rng.sample(paths, MANY)
    _, commits_s = alone.change(many, content, "many")
    row.add(thousand_changes_lakeFS_commits_alone_s=commits_s)
    measure.wait_until_idle(place.server)
    objects_before, _ = daemon.sent()
    daemon.forget_snapshots()
    started = time.perf_counter()
    for path in many:
        _new_file(state, rng).replace(root / path)
    daemon.snapshot()
    row.add(thousand_changes_s=time.perf_counter() - started, thousand_changes_snapshots=daemon.forget_snapshots())
    objects, _ = daemon.sent()
    if objects - objects_before != MANY:
        raise AssertionError(f"{objects - objects_before} objects were sent for {MANY} changes")
    row.add(peak_MiB=daemon.peak_bytes / MIB)


class _Alone:
    """Two branches of the repository, with all that syncd brought there, and nothing but lakeFS's own client.

    Args:
        place: Where the server is.
        repository: With a branch "main".
    """

    def __init__(self, place: Place, repository: str) -> None:
        self._repository, self._sdk = repository, place.client().sdk_client
        for branch in ("alone", "alone-main"):
            self._sdk.branches_api.create_branch(repository, {"name": branch, "source": "main"})

    def change(self, paths: Sequence[str], contents: Callable[[], bytes], tag: str) -> tuple[float, float]:
        """Upload objects, commit, merge and tag; return the seconds of all of it, and of all but the uploads."""
        started, repository, sdk = time.perf_counter(), self._repository, self._sdk

        def upload(path: str, content: bytes) -> None:
            sdk.objects_api.upload_object(repository, "alone", f"{UNDER}/{path}", content=content)

        if len(paths) == 1:
            upload(paths[0], contents())
        else:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(upload, paths, [contents() for _ in paths]))
        uploaded = time.perf_counter()
        sdk.commits_api.commit(repository, "alone", {"message": "alone"})
        merged = sdk.refs_api.merge_into_branch(repository, "alone", "alone-main")
        sdk.tags_api.create_tag(repository, {"id": f"alone-{tag}", "ref": merged.reference})
        ended = time.perf_counter()
        return ended - started, ended - uploaded


def _peers(place: Place, row: Row, *, rounds: int) -> None:
    """Let each peer upload everything, unmeasured, and then bring one changed file."""
    rng = random.Random(0)
    root = place.work_copy
    lakectl, state = Lakectl(parallelism=128), place.fresh("lakectl")
    place.repository(state.name)
    lakectl.init(place, state, state.name)
    others: dict[str, Callable[[], Cost]] = {}
    if s5cmd := tools.s5cmd():
        home = place.fresh("s5cmd")
        place.repository(home.name)
        sync = [s5cmd, "sync", f"{root}/", f"s3://{home.name}/main/{UNDER}/"]
        others["s5cmd sync"] = lambda: place.measured(sync, home).cost
    if tools.rclone():
        there = place.fresh("rclone")
        place.repository(there.name)
        others["rclone sync"] = lambda: Rclone().sync(place, there, there.name)
    every = sorted(root.rglob("*.jpg"))
    for number in range(rounds + 1):
        if number:
            _new_file(state, rng).replace(rng.choice(every))
        costs = {lakectl.name: lakectl.commit(place, state)} | {name: bring() for name, bring in others.items()}
        if number:
            row.add(**{f"{name} ms": 1000 * cost.seconds for name, cost in costs.items()})


def _new_file(state: Path, rng: random.Random) -> Path:
    new = state / "new.jpg"
    new.write_bytes(rng.randbytes(FILE_BYTES))
    return new


def _goals(record: Record) -> None:
    smallest, largest = record.rows[0], record.rows[-1]
    slowest = max(row.middle("one change ms") for row in record.rows)
    growth = largest.middle("one change ms") / smallest.middle("one change ms") - 1
    beyond_ms = largest.middle("own ms") - smallest.middle("own ms")
    thousand = max(row.middle("thousand changes s") for row in record.rows) / smallest.middle("thousand changes s")
    record.goals = [
        Goal(what="one change, ms, at the slowest size", value=slowest, at_most=100),
        Goal(what=f"one change, growth in % from {smallest.who} to {largest.who} files", value=100 * growth, at_most=5),
        Goal(
            what="the same beyond what lakeFS alone grows by",
            value=100 * beyond_ms / smallest.middle("one change ms"),
            at_most=5,
        ),
        Goal(what=f"{MANY:,} changes, slowest × that at {smallest.who}", value=thousand, at_most=1.25),
        Goal(
            what=f"start with {largest.who} files, × find",
            value=largest.middle("start s") / largest.middle("find s"),
            at_most=2,
        ),
        Goal(what=f"MiB at rest with {largest.who} files", value=largest.middle("rest MiB"), at_most=250),
        Goal(what=f"MiB in the first sync of {largest.who} files", value=largest.middle("first sync MiB"), at_most=400),
        Goal(
            what="CPU at rest, % of a core, at most",
            value=max(row.middle("rest CPU percent") for row in record.rows),
            at_most=0.2,
        ),
        Goal(
            what="requests to lakeFS a minute at rest, at most (the lease's heartbeat: two every 15 s)",
            value=max(row.middle("rest requests a minute") for row in record.rows),
            at_most=8,
        ),
    ]
