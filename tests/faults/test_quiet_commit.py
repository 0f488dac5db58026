"""Seen from the network: syncd writes nothing beside a commit, and uploads without a condition."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.conftest import Outcome
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import Attempt, Fault, FaultProxy, Rule
from tests.support.labels import CsvLabels, configure
from tests.support.writers import Writer

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

WRITERS = 2
SLOW_COMMIT = Fault("delay", seconds=0.1)
SEEN = {"commit": 12, "put": 100, "delete_objects": 8}  # at least


def commits(proxy: FaultProxy) -> list[Attempt]:
    return [one for one in proxy.attempts if one.operation == "commit"]


def writes_to_staging(proxy: FaultProxy) -> list[Attempt]:
    """Return the uploads to the staging branch, and all deletions of many."""
    return [
        one
        for one in proxy.attempts
        if one.operation == "delete_objects" or (one.operation == "put" and "/syncd-staging/" in one.target)
    ]


def written_beside_commits(proxy: FaultProxy) -> list[tuple[Attempt, Attempt]]:
    """Return commits and writes that were under way at one moment: come, and their answers not yet passed on."""
    writes = writes_to_staging(proxy)
    return [
        (commit, write)
        for commit in commits(proxy)
        for write in writes
        if commit.at <= write.answered_at and write.at <= commit.answered_at
    ]


def enough(proxy: FaultProxy) -> bool:
    return all(proxy.done[kind, "pass"] + proxy.done[kind, "delay"] >= count for kind, count in SEEN.items())


def test_nothing_is_written_or_deleted_from_a_commits_begin_to_its_answer(
    behind: Dataset, proxy: FaultProxy, outcome: Outcome, rng: random.Random
) -> None:
    """P1: in lakeFS a deletion beside a commit can be lost though it is acknowledged."""
    behind.configure(snapshot={"quiet_seconds": 0.05, "max_wait_seconds": 0.2})
    proxy.misbehave(Rule([SLOW_COMMIT], "commit"))
    behind.start()
    writers = [Writer(behind.root, number, rng.getrandbits(32)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        until(lambda: enough(proxy) or written_beside_commits(proxy), "enough has happened", timeout_s=60)
    finally:
        for writer in writers:
            writer.stop()
    assert not written_beside_commits(proxy)
    answered_s = [one.answered_at - one.at for one in commits(proxy)]
    assert min(answered_s) >= SLOW_COMMIT.seconds
    writes = writes_to_staging(proxy)
    written = {sum(write.at < commit.at for write in writes) for commit in commits(proxy)}
    assert len(written) >= SEEN["commit"], "there were writes between the commits"
    behind.snapshot()
    outcome.assert_exact(outcome.wait_until_published(timeout_s=20))


def test_no_upload_of_an_image_or_a_table_has_a_condition_and_the_claim_of_the_lease_has_one(
    behind: Dataset, proxy: FaultProxy, tmp_path: Path
) -> None:
    """P1: lakeFS refuses ``If-None-Match`` falsely beside a commit; on the lease's own branch there is none."""
    labels = CsvLabels(tmp_path)
    configure(behind, labels, "off")
    for content in (b"first", b"second"):
        (behind.root / "a.png").write_bytes(content)
        labels.write({content.decode(): "a.png"})
        if not behind.daemons:
            behind.start()
        behind.snapshot()
    uploads = [one for one in writes_to_staging(proxy) if one.operation == "put"]
    assert {one.target.partition("/syncd-staging/")[2] for one in uploads} >= {"images/a.png", "tables/labels.csv"}
    assert len(uploads) >= 4
    assert not any(one.conditional for one in uploads)
    claims = [one for one in proxy.attempts if "-lease/objects?" in one.target]
    assert [one.conditional for one in claims] == [True]
