"""Files that move and files that go: a folder renamed, and a hundred thousand deleted."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import corpus as files
import lakefs
import place as places
import tools
from corpus import Corpus
from daemon import ON_REQUEST, Daemon
from peers import SYNCD, UNDER, Lakectl, Rclone
from record import MIB, Goal, Record

if TYPE_CHECKING:
    from pathlib import Path

    from measure import Cost
    from place import Place

RENAMED, RENAMED_BYTES = 10_000, 19_000
DELETED, LEFT, DELETED_BYTES = 100_000, 10_000, 200


def rename(*, rounds: int, count: int = RENAMED) -> Record:
    """Rename a folder of so many files, again and again."""
    corpus = Corpus(files=count, size_bytes=RENAMED_BYTES, kind="noise")
    record = Record(
        name="rename",
        title=f"A folder of {count:,} files renamed",
        text=(
            "From just before the rename to the snapshot, through the daemon; beside it what the same daemon took to"
            " upload these files in the first place, `lakectl local commit`, and `rclone sync --track-renames`, which"
            " copies on the server, too. Sent: bytes of objects that left the client."
        ),
        corpus=str(corpus),
    )
    with places.place_for(corpus) as place:
        root = place.work_copy
        state = place.fresh("renamed")
        places.configure(place, state, root=root, more=ON_REQUEST)
        with Daemon(state) as daemon:
            daemon.snapshot()
            record.row("syncd, uploading them").add(seconds=time.perf_counter() - daemon.started)
            for _ in range(rounds):
                _, before = daemon.sent()
                cpu_s, started = daemon.cpu_s, time.perf_counter()
                _rename(root)
                daemon.snapshot()
                seconds = time.perf_counter() - started
                sent_bytes = daemon.sent()[1] - before
                row = record.row("syncd, renamed")
                row.add(seconds=seconds, client_CPU_s=daemon.cpu_s - cpu_s, sent_MiB=sent_bytes / MIB)
        _renamed_by_peers(place, record, rounds=rounds)
    renamed = record.row("syncd, renamed")
    record.goals = [
        Goal(what="MiB sent for a rename", value=max(renamed.figures["sent MiB"]), at_most=0),
        Goal(
            what="seconds, × those of uploading",
            value=renamed.middle() / record.row("syncd, uploading them").middle(),
            at_most=1,
        ),
    ]
    return record


def _rename(root: Path) -> None:
    here, there = root / "set-000", root / "moved"
    if not here.exists():
        here, there = there, here
    here.rename(there)


def _renamed_by_peers(place: Place, record: Record, *, rounds: int) -> None:
    lakectl, state, home = Lakectl(parallelism=128), place.fresh("lakectl"), place.fresh("rclone")
    for repository in (state.name, home.name):
        place.repository(repository)
    lakectl.init(place, state, state.name)
    for number in range(rounds + 1):
        costs = {lakectl.name: lakectl.commit(place, state)}
        if tools.rclone():
            costs["rclone sync --track-renames"] = Rclone().sync(place, home, home.name, "main", "--track-renames")
        for name, cost in costs.items() if number else ():
            record.row(name).add(seconds=cost.seconds, client_CPU_s=cost.client_cpu_s)
        _rename(place.work_copy)


def delete(*, rounds: int, deleted: int = DELETED, left: int = LEFT) -> Record:
    """Delete so many files of a folder, and bring that into lakeFS; each round from the same state."""
    corpus = Corpus(files=deleted + left, size_bytes=DELETED_BYTES, kind="noise")
    record = Record(
        name="delete",
        title=f"{deleted:,} files deleted",
        text=(
            "`syncd sync` after the files were deleted from the folder: lists, plans, deletes in batches, commits,"
            " merges, tags. Beside it `lakectl local commit` and `rclone sync` for the same, and `s5cmd rm` of the same"
            " keys."
        ),
        corpus=str(corpus),
    )
    with places.place_for(corpus) as place:
        for number in range(rounds):
            for name, seconds in _deleted(place, deleted, left).items():
                record.row(name).add_cost(seconds)
                print(f"delete, round {number + 1} of {rounds}: {name} {seconds.seconds:.2f} s", flush=True)
    record.rows.sort(key=lambda row: row.middle())
    record.beside_the_best("syncd sync", [row.who for row in record.rows if row.who != "syncd sync"])
    return record


def _deleted(place: Place, deleted: int, left: int) -> dict[str, Cost]:
    """Upload everything once for each, delete, and return what the deletion cost each."""
    root = place.work_copy
    state = place.fresh("deleted")
    config = places.configure(place, state, root=root, more="settle_seconds = 0\n\n[guard]\nmax_delete_percent = 100")
    sync = [SYNCD, "sync", "--json", "--config", config]
    tag = json.loads(place.measured(sync, state).stdout)["tag"]
    lakectl, home = Lakectl(parallelism=128), place.fresh("lakectl")
    repository = lakefs.Repository(state.name, client=place.client())
    for name in ("for-lakectl", "for-rclone", "for-s5cmd"):  # the same state for each: a branch costs nothing
        repository.branch(name).create(tag)
    lakectl.init(place, home, state.name, "for-lakectl")
    gone = sorted(root.glob("set-*"))[: deleted // files.FILES_A_SET]
    for folder in gone:
        shutil.rmtree(folder)
    costs = {"syncd sync": place.measured(sync, state).cost, lakectl.name: lakectl.commit(place, home)}
    lakectl.forget(place)
    if tools.rclone():
        costs["rclone sync"] = Rclone().sync(place, home, state.name, "for-rclone")
    if tools.s5cmd():
        keys = [f"s3://{state.name}/for-s5cmd/{UNDER}/{folder.name}/*" for folder in gone]
        costs["s5cmd rm"] = place.measured([tools.s5cmd(), "rm", *keys], home).cost
    last = json.loads(place.measured([SYNCD, "show", "--json", "--config", config], state).stdout)
    if last["images"] != left:
        raise AssertionError(f"{last['images']} images are left, {left} should be")
    places.discard(place, state.name)
    shutil.rmtree(root)
    files.linked(place.corpus, root)
    time.sleep(places.AT_REST_S)
    return costs
