"""Stopped, killed, or without lakeFS for a while: it carries on by itself, and the snapshots stay exact."""

from __future__ import annotations

import collections
import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import lakefs
import pytest
from lakefs.client import Client

from syncd.embedded.process import ServerProcess
from syncd.errors import EXIT_FAILED
from tests.support.altered import running
from tests.support.comparing import Reader, assert_same, folder
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import FaultProxy
from tests.support.writers import Writer

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

STUBBORN = """\
import asyncio
from syncd.retention.retention import Retention
from syncd.service import signals
async def serve(self):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
Retention.serve, signals.REST_S, signals.STOP_BUDGET_S = serve, 1.0, 2.0
"""
MOST_WHILE_REFUSED = 6  # requests in four seconds, to a server that does not take the keys


@pytest.fixture
def own(own_lakefs_server, make_dataset) -> Dataset:
    """A dataset on a server of its own, that can be stopped."""
    return make_dataset(own_lakefs_server)


@pytest.fixture
def own_reader(own_lakefs_server, s3_for, repository_name) -> Reader:
    return Reader(s3_for(own_lakefs_server), repository_name)


def fill(dataset: Dataset, rng: random.Random, count: int, size: int = 800) -> None:
    for number in range(count):
        path = dataset.root / f"d{number % 9}" / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.randbytes(size))


def intents(repository: lakefs.Repository, branch: str) -> list[str]:
    """The intent ids of a branch's own commits, merged ones included."""
    return [
        commit.metadata["syncd.snapshot"]
        for commit in repository.branch(branch).log()
        if "syncd.snapshot" in commit.metadata
    ]


def tags_of(repository: lakefs.Repository) -> dict[str, str]:
    """Every tag and the commit it points at; none while the repository has not been made."""
    try:
        return {tag.id: tag.get_commit().id for tag in repository.tags()}
    except lakefs.exceptions.NotFoundException:
        return {}


def assert_no_intent_twice(repository: lakefs.Repository) -> None:
    """P4: one commit on the staging branch for each intent; the publish branch adds its merge."""
    assert max(collections.Counter(intents(repository, "syncd-staging")).values()) == 1
    assert max(collections.Counter(intents(repository, "main")).values()) <= 2


def test_changes_made_while_it_was_down_are_found(dataset: Dataset, reader: Reader, rng: random.Random) -> None:
    fill(dataset, rng, 100)
    dataset.start()
    first = dataset.snapshot()
    dataset.daemons[-1].stop()
    (dataset.root / "new.png").write_bytes(b"new")
    (dataset.root / "d0/00000.png").write_bytes(b"changed")
    (dataset.root / "d1/00001.png").unlink()
    shutil.rmtree(dataset.root / "d2")
    (dataset.root / "d3").rename(dataset.root / "renamed")
    dataset.start()
    second = dataset.snapshot()
    assert second["tag"] != first["tag"]
    assert_same(reader.objects(second["tag"]), folder(dataset.root))
    assert len(reader.objects(first["tag"])) == 100


def test_the_embedded_servers_data_outlive_restarts(
    tmp_path: Path, lakefs_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCD_LAKEFS_BINARY", str(lakefs_binary))
    dataset = Dataset(tmp_path / "embedded")
    try:
        (dataset.root / "a.png").write_bytes(b"a")
        dataset.start()
        first = dataset.snapshot()
        dataset.daemons[-1].stop()
        dataset.start()
        (dataset.root / "b.png").write_bytes(b"b")
        second = dataset.snapshot()
        changed = dataset.json_of("diff", first["tag"], second["tag"])["changes"]
        assert changed == [{"path": "images/b.png", "kind": "added", "bytes": 1}]
        dataset.daemons[-1].kill()
        dataset.start()
        assert dataset.snapshot()["tag"] == second["tag"]
    finally:
        dataset.close()


@pytest.mark.slow
def test_killed_at_random_times_under_load(
    dataset: Dataset, reader: Reader, versions: lakefs.Repository, rng: random.Random
) -> None:
    """P4: after each kill the next start carries on; nothing is lost, doubled or torn, and no tag moves."""
    fill(dataset, rng, 200)
    dataset.configure(snapshot={"quiet_seconds": 0.05, "max_wait_seconds": 0.2})
    known: dict[str, str] = {}
    writer = Writer(dataset.root, 1, rng.getrandbits(32))
    writer.start()
    try:
        for _ in range(6):
            dataset.start(ready=rng.random() < 0.8)
            moment = time.monotonic() + rng.uniform(0.3, 1.6)
            until(lambda at=moment: time.monotonic() >= at, "its time has come")
            dataset.daemons[-1].kill()
            now = tags_of(versions)
            assert now | known == now, "a tag moved or went"
            known = now
    finally:
        writer.stop()
    dataset.start()
    answer = dataset.snapshot()
    assert_same(reader.objects(answer["tag"]), folder(dataset.root))
    assert_same(reader.objects("syncd-staging"), folder(dataset.root))
    assert_no_intent_twice(versions)


def test_lakefs_goes_away_and_comes_back(
    own: Dataset, own_reader: Reader, own_lakefs_server, rng: random.Random
) -> None:
    """P4, P8: the outage is said with its reason; what happened meanwhile is made up for."""
    fill(own, rng, 50)
    own.start()
    own.snapshot()
    own_lakefs_server.stop()
    fill(own, rng, 120)
    (own.root / "d1/00001.png").unlink()
    failing = own.status_until(lambda seen: seen["state"] == "failing", "the outage is noticed")
    assert "127.0.0.1" in failing["failure"]
    done = own.command("snapshot", "--timeout", "0")
    assert done.returncode == 5, done.stderr
    assert "lakeFS" in done.stderr
    own_lakefs_server.start()
    own.status_until(lambda seen: seen["failure"] == "", "it has recovered", timeout_s=90)
    answer = own.snapshot()
    assert_same(own_reader.objects(answer["tag"]), folder(own.root))
    assert len(own.daemons[-1].events("failing")) == 1
    assert len(own.daemons[-1].events("recovered")) == 1


def test_it_waits_for_a_lakefs_that_is_not_there_at_the_start(
    own: Dataset, own_reader: Reader, own_lakefs_server
) -> None:
    own_lakefs_server.stop()
    (own.root / "a.png").write_bytes(b"a")
    own.start()
    own.status_until(lambda seen: seen["state"] == "failing", "the outage is noticed")
    own_lakefs_server.start()
    answer = own.snapshot(timeout_s=90)
    assert_same(own_reader.objects(answer["tag"]), folder(own.root))


@pytest.fixture
def busy(dataset: Dataset, rng: random.Random) -> Iterator[Dataset]:
    """A daemon in the middle of its first batches."""
    fill(dataset, rng, 4000, size=3000)
    dataset.configure(upload={"concurrency": 4, "batch_objects": 1000})
    daemon = dataset.start()
    daemon.wait_for_event("batch_staged")
    return dataset


def test_sigterm_in_a_batch_ends_in_time_and_the_next_start_finishes(busy: Dataset, reader: Reader) -> None:
    """P4: 0 within the budget, nothing unknown, nothing twice."""
    started = time.monotonic()
    busy.daemons[-1].stop()
    assert time.monotonic() - started < 20
    sent = sum(batch["uploaded"] for batch in busy.daemons[-1].events("batch_staged"))
    assert 0 < sent < 4000
    again = busy.start()
    answer = busy.snapshot()
    assert_same(reader.objects(answer["tag"]), folder(busy.root))
    assert sent + sum(batch["uploaded"] for batch in again.events("batch_staged")) == 4000


def test_a_second_signal_stops_at_once(busy: Dataset, reader: Reader) -> None:
    daemon = busy.daemons[-1]
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_event("stopping")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(10) in {0, 128 + signal.SIGTERM}
    busy.start()
    assert_same(reader.objects(busy.snapshot()["tag"]), folder(busy.root))


def test_what_does_not_end_is_ended_by_force_and_named(dataset: Dataset, reader: Reader) -> None:
    (dataset.root / "a.png").write_bytes(b"a")
    with running(dataset, STUBBORN) as (process, log):
        until(lambda: dataset.state_dir.joinpath("syncd.sock").exists(), "it answers")
        dataset.snapshot()
        (dataset.root / "b.png").write_bytes(b"b")
        process.terminate()
        assert process.wait(30) == EXIT_FAILED
    said = next(line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "stopped_by_force")
    assert said["still_running"] == ["serve"]
    dataset.start()
    taken = dataset.snapshot()
    assert_same(reader.objects(taken["tag"]), folder(dataset.root))


def test_a_deleted_state_directory_is_made_good(dataset: Dataset, reader: Reader, rng: random.Random) -> None:
    """A new journal over an old branch: nothing is sent again, and what has gone meanwhile is deleted."""
    fill(dataset, rng, 60)
    dataset.start()
    dataset.snapshot()
    dataset.daemons[-1].stop()
    shutil.rmtree(dataset.state_dir)
    (dataset.root / "d0/00000.png").unlink()
    daemon = dataset.start()
    answer = dataset.snapshot()
    assert (answer["added"], answer["deleted"]) == (0, 1)
    assert sum(batch["uploaded"] for batch in daemon.events("batch_staged")) == 0
    assert_same(reader.objects(answer["tag"]), folder(dataset.root))


def test_the_servers_own_client_agrees(dataset: Dataset, lakefs_server, repository_name) -> None:
    """The tag, the publish branch and the commit are one, as lakeFS itself tells them."""
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    answer = dataset.snapshot()
    client = Client(
        host=lakefs_server.endpoint,
        username=lakefs_server.access_key_id,
        password=lakefs_server.secret_access_key,
    )
    repository = lakefs.Repository(repository_name, client=client)
    assert repository.tag(answer["tag"]).get_commit().id == answer["commit_id"]
    assert repository.branch("main").get_commit().id == answer["commit_id"]
    assert list(repository.branch("main").uncommitted()) == []


def test_keys_that_are_refused_while_it_runs_are_named_tried_rarely_and_work_again(
    own: Dataset, own_reader: Reader, own_lakefs_server: ServerProcess, lakefs_binary: Path, tmp_path: Path
) -> None:
    """P8: someone takes the keys back; here a server that does not know them is in the place of the one that does."""
    (own.root / "a.png").write_bytes(b"a")
    with FaultProxy(own_lakefs_server.endpoint, random.Random(0)) as proxy:
        own.configure(lakefs={"endpoint": proxy.endpoint})
        own.start()
        own.snapshot()
        address = own_lakefs_server.endpoint.removeprefix("http://")
        own_lakefs_server.stop()
        stranger = ServerProcess(tmp_path / "stranger", binary=lakefs_binary, listen=address)
        stranger.start()
        try:
            (own.root / "b.png").write_bytes(b"b")
            seen = own.status_until(lambda seen: "key" in seen["failure"], "it is refused")
            assert "lakefs.access_key_id" in seen["failure"]
            assert own_lakefs_server.secret_access_key not in own.daemons[-1].log()
            before, since_s = len(proxy.attempts), time.monotonic()
            until(lambda: time.monotonic() > since_s + 4, "a while")
            assert len(proxy.attempts) - before <= MOST_WHILE_REFUSED
        finally:
            stranger.stop()
        own_lakefs_server.start()
        taken = own.snapshot()
    assert_same(own_reader.objects(taken["tag"]), folder(own.root))
