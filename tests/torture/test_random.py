"""Kills at any moment, replies that never come, and histories over a pretended lakeFS: many of each."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import hypothesis
import lakefs
import pytest
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from lakefs.client import Client
from mypy_boto3_s3 import S3Client

from syncd.embedded.process import ServerProcess
from tests.crashes.kills import killed_again_and_again
from tests.faults.changes import Changes
from tests.faults.conftest import Outcome
from tests.property.test_closure_machine import ClosedSyncMachine
from tests.property.test_guard_machine import GuardMachine
from tests.property.test_state_machine import SyncMachine
from tests.support.comparing import Reader
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import Fault, FaultProxy, Rule
from tests.support.figures import Figures
from tests.support.histories import HISTORIES

pytestmark = [pytest.mark.slow]

Times = Callable[[int, int], int]

KILLS_A_COURSE = 50  # then everything is compared, and the next course begins in a new repository
DROPS_A_COURSE = 100
LOST = {"put": 0.05, "delete_objects": 0.4, "commit": 0.4, "merge": 0.4, "tag": 0.4}  # operation -> probability
PATIENCE_S = 240.0  # an object whose replies were lost three times in a row is left alone for two minutes


@pytest.fixture
def make_course(
    lakefs_server: ServerProcess, s3: S3Client, repository_name: str, make_dataset: Callable[..., Dataset]
) -> Callable[..., tuple[Dataset, Reader, lakefs.Repository]]:
    """Make a dataset with a repository of its own, and what reads it."""
    client = Client(
        host=lakefs_server.endpoint,
        username=lakefs_server.access_key_id,
        password=lakefs_server.secret_access_key,
    )

    def make(number: int, **section: object) -> tuple[Dataset, Reader, lakefs.Repository]:
        name = f"{repository_name[-40:].strip('-')}-{number}"
        there = {"repository": name, "storage_namespace": f"local://{name}"}
        dataset = make_dataset(name=f"data-{number}")
        dataset.configure(lakefs={**there, **section})
        return dataset, Reader(s3, name), lakefs.Repository(name, client=client)

    return make


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_it_is_killed_at_any_moment(make_course, rng: random.Random, times: Times, figures: Figures) -> None:
    """P1, P2, P4, P6: nothing is lost, doubled or torn, and no tag moves."""
    kills, snapshots, courses = times(10, 1000), 0, 0
    for number, left in enumerate(range(kills, 0, -KILLS_A_COURSE)):
        course = killed_again_and_again(*make_course(number), rng, min(left, KILLS_A_COURSE))
        snapshots, courses = snapshots + course.snapshots, courses + 1
    figures("kill -9 at any moment", kills, courses=courses, snapshots=snapshots, lost=0, torn=0, twice=0, moved_tags=0)


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_replies_to_what_was_applied_never_come(
    make_course, lakefs_server: ServerProcess, rng: random.Random, times: Times, figures: Figures
) -> None:
    """P1, P4, P6, P8: whatever was applied and not answered for is in one commit, with one merge and one tag."""
    wanted, lost, snapshots = times(40, 1000), Counter[str](), 0
    for number, left in enumerate(range(wanted, 0, -DROPS_A_COURSE)):
        with FaultProxy(lakefs_server.endpoint, random.Random(rng.getrandbits(32))) as proxy:
            snapshot = {"quiet_seconds": 0.2, "max_wait_seconds": 2}
            dataset, reader, versions = make_course(number, endpoint=proxy.endpoint)
            dataset.configure(snapshot=snapshot)
            outcome = Outcome(dataset, reader, versions)
            _lose_replies(dataset, proxy, rng, min(left, DROPS_A_COURSE))
            dataset.snapshot(timeout_s=90)
            outcome.assert_exact(outcome.wait_until_published(timeout_s=PATIENCE_S))
            dataset.daemons[-1].stop()
            snapshots += len(outcome.tags())
            lost.update({kind: count for (kind, how), count in proxy.done.items() if how == "drop"})
    figures("replies lost after the request was applied", lost.total(), **lost, snapshots=snapshots, twice=0, missing=0)


def _lose_replies(dataset: Dataset, proxy: FaultProxy, rng: random.Random, count: int) -> None:
    """Change the folder until so many replies were lost."""
    changes = Changes(dataset.root, rng)
    changes.fill()
    dataset.start()
    dataset.snapshot()
    rules = [Rule([Fault("drop")], kind, probability=share) for kind, share in LOST.items()]
    proxy.misbehave(*rules)
    while sum(rule.used for rule in rules) < count:
        changes.make()
        moment = time.monotonic() + rng.uniform(0.1, 0.8)
        until(lambda at=moment: time.monotonic() >= at, "its time has come")
        assert dataset.daemons[-1].exit_code is None, dataset.daemons[-1].log()
    proxy.misbehave()


@pytest.mark.parametrize("machine", [SyncMachine, ClosedSyncMachine, GuardMachine])
def test_histories_over_a_pretended_lakefs(
    machine: type[RuleBasedStateMachine], seed: int, times: Times, figures: Figures
) -> None:
    """P1 to P6, as the machines of ``tests/property`` say, often: ten thousand in all."""
    made = Counter[str]()

    def one() -> RuleBasedStateMachine:
        made["histories"] += 1
        return machine()

    settings = hypothesis.settings(HISTORIES, max_examples=times(15, 3_400), database=None)
    run_state_machine_as_test(hypothesis.seed(seed)(one), settings=settings)
    steps = settings.stateful_step_count
    figures(f"histories over a pretended lakeFS: {machine.__name__}", made["histories"], steps_each=steps, broken=0)
