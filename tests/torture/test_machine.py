"""Random histories of the real daemon on a real server: whatever is done to it, the promises hold.

One fault is not among them: a power cut that loses what was written (``test_power_cuts``). A full disk is, where root
runs this.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from mypy_boto3_s3 import S3Client

from syncd.embedded.process import ServerProcess
from tests.support.daemon import until
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.figures import Figures
from tests.torture.history import History, Kind, World

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs, pytest.mark.slow]

STEPS = 20
SETTINGS = {
    "stateful_step_count": STEPS,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.generate,),  # a shorter history would take as long to find as this one took to run
    "print_blob": False,  # the seed repeats it
}
FAULTS = (Fault("drop"), Fault("reset"), Fault("refuse", status=503), Fault("delay", seconds=0.3), Fault("truncate"))
OPERATIONS = ("put", "delete_objects", "commit", "merge", "tag", "head", "uncommitted", "any", "any")
CHANGES = ("create", "create", "rewrite", "replace", "rename", "move_folder", "delete", "delete_folder")

choices = st.integers(0, 2**16)
some_changes = st.lists(st.tuples(st.sampled_from(CHANGES), choices), min_size=1, max_size=4)
changes = st.just([]) | some_changes
kinds = st.builds(
    Kind,
    closure=st.sampled_from(["warn", "off", "hold", "exclude"]),
    prefix=st.sampled_from(["", "data/set/"]),
    quiet_seconds=st.sampled_from([0.2, "off"]),
    batch_objects=st.sampled_from([1000, 3]),
    small_disk=st.booleans(),
    restarts=st.sampled_from([False, False, True]),
)


class RealMachine(RuleBasedStateMachine):
    """One history. A number stands for whichever file, folder or content there is then."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.history: History | None = None

    @initialize(kind=kinds, files=st.lists(choices, min_size=4, max_size=8))
    def begin(self, kind: Kind, files: list[int]) -> None:
        print(f"history {self._world.did['histories'] + 1}: {kind}")  # noqa: T201 - shown when the test fails
        self.history = History(self._world, kind)
        self._change([("create", choice) for choice in files])

    def teardown(self) -> None:
        if self.history is not None:
            self.history.finish()

    # The source.

    @rule(what=some_changes)
    def the_folder_changes(self, what: list[tuple[str, int]]) -> None:
        with self.history.step("the folder changes"):
            self._change(what)

    @rule(what=some_changes, choice=choices)
    def the_folder_and_its_table_change(self, what: list[tuple[str, int]], choice: int) -> None:
        with self.history.step("the folder and its table change"):
            self._change(what)
            print("   ", self.history.place.edit_table(choice, fit=True))  # noqa: T201

    @rule(choice=choices)
    def the_table_does_not_fit(self, choice: int) -> None:
        with self.history.step("the table does not fit"):
            print("   ", self.history.place.edit_table(choice, fit=False))  # noqa: T201

    @precondition(lambda self: self.history.kind.closure in {"off", "warn"} and not self._is_away())
    @rule(choice=choices)
    def something_becomes_unreadable(self, choice: int) -> None:
        """Right after a snapshot, so that what it holds is what must stay."""
        with self.history.step("something becomes unreadable"):
            self.history.take()
            print("   ", self.history.place.hide(choice))  # noqa: T201

    @precondition(lambda self: self.history.place.hidden)
    @rule(choice=choices, more=st.booleans())
    def the_unreadable_changes_and_may_be_read_again(self, choice: int, more: bool) -> None:
        with self.history.step("the unreadable changes", more=more):
            print("   ", self.history.place.change_hidden(choice))  # noqa: T201
            if not more:
                print("   ", self.history.place.reveal(), "revealed")  # noqa: T201

    @precondition(lambda self: not self._is_away())
    @rule()
    def the_folder_goes_away(self) -> None:
        """Only once something is known of it: an empty folder is as good a beginning as any."""
        with self.history.step("the folder goes away"):
            self.history.place.go_away()

    @precondition(lambda self: self._is_away())
    @rule(what=changes)
    def the_folder_comes_back(self, what: list[tuple[str, int]]) -> None:
        with self.history.step("the folder comes back"):
            self._change(what)
            self.history.place.come_back()

    @precondition(lambda self: not self._is_away())
    @rule(what=some_changes)
    def the_kernel_loses_events(self, what: list[tuple[str, int]]) -> None:
        with self.history.step("more events than the kernel keeps"):
            self.history.wait_until_it_listens()
            with self.history.standing_still():
                self.history.place.flood()
                self._change(what)

    # The rest of the world.

    @rule(kill=st.booleans(), during=st.sampled_from(["put", "commit", "merge", "tag", ""]), what=changes)
    def the_daemon_ends_and_starts(self, kill: bool, during: str, what: list[tuple[str, int]]) -> None:
        how = "kill -9" if kill else "SIGTERM"
        with self.history.step(how, during=during):
            self.history.stop(kill=kill, during=during)
            self._change(what)
            self.history.make_room()
            self.history.start()

    @rule(fault=st.sampled_from(FAULTS), operation=st.sampled_from(OPERATIONS), times=st.integers(1, 3))
    def requests_meet_a_fault(self, fault: Fault, operation: str, times: int) -> None:
        with self.history.step("a fault", how=fault, operation=operation, times=times):
            self.history.misbehave(fault, operation, times)

    @precondition(lambda self: self.history.kind.restarts)
    @rule(what=changes)
    def lakefs_is_restarted(self, what: list[tuple[str, int]]) -> None:
        with self.history.step("lakeFS is restarted"):
            self._world.server.stop()
            try:
                self._change(what)
            finally:
                self._world.server.start()

    @precondition(lambda self: self.history.has_small_disk)
    @rule(what=changes)
    def the_journals_disk_is_full_for_a_while(self, what: list[tuple[str, int]]) -> None:
        with self.history.step("the disk is full"):
            self.history.wait_until_it_listens()
            self.history.fill_disk()
            self._change(what)
            self.history.try_to_take()

    @rule(minutes=st.sampled_from([-10, 0, 10]), what=changes)
    def the_clock_is_set(self, minutes: int, what: list[tuple[str, int]]) -> None:
        """As far as lakeFS takes a signature."""
        with self.history.step("the clock is set", minutes_ahead=minutes):
            self._change(what)
            self.history.set_clock(60 * minutes)

    @rule(seconds=st.sampled_from([0.1, 0.4, 1.0]))
    def time_passes(self, seconds: float) -> None:
        with self.history.step("time passes", seconds=seconds):
            moment = time.monotonic() + seconds
            until(lambda: time.monotonic() >= moment, "a moment passes")

    @rule(what=some_changes, choice=choices, fit=st.sampled_from([True, True, False]))
    def a_snapshot_is_asked_for(self, what: list[tuple[str, int]], choice: int, *, fit: bool) -> None:
        with self.history.step("a snapshot"):
            self._change(what)
            if fit:
                print("   ", self.history.place.edit_table(choice, fit=True))  # noqa: T201
            self.history.take()

    @rule()
    def another_snapshot_is_asked_for(self) -> None:
        with self.history.step("another snapshot"):
            self.history.take()

    def _change(self, what: list[tuple[str, int]]) -> None:
        for name, choice in what:
            print("   ", name, getattr(self.history.place, name)(choice))  # noqa: T201

    def _is_away(self) -> bool:
        return self.history is not None and self.history.place.is_away


@pytest.fixture
def world(
    own_lakefs_server: ServerProcess,
    s3_for: Callable[[ServerProcess], S3Client],
    repository_name: str,
    tmp_path: Path,
    rng: random.Random,
) -> Iterator[World]:
    directory = tmp_path / "histories"
    directory.mkdir()
    with FaultProxy(own_lakefs_server.endpoint, random.Random(rng.getrandbits(32))) as proxy:
        yield World(directory, own_lakefs_server, s3_for(own_lakefs_server), proxy, repository_name[-30:].strip("-"))


def test_whatever_is_done_to_it_the_promises_hold(
    world: World, seed: int, times: Callable[[int, int], int], figures: Figures
) -> None:
    """P1 to P6, P9."""

    def machine() -> RealMachine:
        return RealMachine(world)

    count = times(3, 500)
    settings = hypothesis.settings(max_examples=count, **SETTINGS)
    run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=settings)
    did = world.did
    restarts = {"kills": did["kill -9"], "stops": did["SIGTERM"], "lakefs_restarts": did["lakeFS is restarted"]}
    watching = {"clock_set": did["the clock is set"], "overflows": did["overflows"]}
    disk = {"full_disks": did["the disk is full"], "folder_away": did["the folder goes away"]}
    figures(
        "random histories of the real daemon",
        did["histories"],
        steps=did["steps"],
        snapshots=did["snapshots"],
        faults=did["faults"],
        **restarts,
        **watching,
        **disk,
        broken_promises=0,
    )
