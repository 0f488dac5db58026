"""One history of a real daemon: a dataset, the proxy and the server behind it, and all that is done to them."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lakefs
from lakefs.client import Client
from mypy_boto3_s3 import S3Client

from syncd.embedded.process import ServerProcess
from syncd.errors import EXIT_HELD, EXIT_LAKEFS_UNAVAILABLE, EXIT_SOURCE_UNAVAILABLE
from syncd.service import control
from tests.support.comparing import Reader
from tests.support.crashing_daemon import Around, ForkedDaemon
from tests.support.daemon import Dataset, server_section, until
from tests.support.fault_proxy import PASS, Fault, FaultProxy, Rule
from tests.support.small_disk import SmallDisk
from tests.support.turned_clock import TurnedClock
from tests.torture.judge import Judge, images_in
from tests.torture.place import Place, unfit

DISK = "6m"
MOST_BAD_UPLOADS = 2
PATIENCE_S = 90.0  # after a series of failures the pauses grow to a minute
SHOWN_LOG_CHARACTERS = 12_000
OTHERS = {"other/readme.txt": b"someone else's"}


@dataclass(frozen=True)
class World:
    """What the histories of a test share, and how much they did."""

    directory: Path
    server: ServerProcess
    s3: S3Client
    proxy: FaultProxy
    repository: str
    did: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Kind:
    """What differs between histories."""

    closure: str
    prefix: str
    quiet_seconds: float | str
    batch_objects: int
    small_disk: bool
    restarts: bool  # of lakeFS


class History:
    """Begins with a running daemon on a folder of one image and a table of one row."""

    def __init__(self, world: World, kind: Kind) -> None:
        self.world, self.kind = world, kind
        self._number = world.did["histories"] = world.did["histories"] + 1
        self._directory = world.directory / str(self._number)
        self._directory.mkdir()
        repository = f"{world.repository}-{self._number}"
        self.dataset = Dataset(self._directory / "data", server_section(world.server, self._directory, repository))
        self.place = Place(self.dataset.root, self.dataset.directory / "labels.csv")
        self._configure()
        self._disk: SmallDisk | None = None
        if kind.small_disk and SmallDisk.possible():
            self.dataset.state_dir.mkdir(mode=0o700)
            self._disk = SmallDisk(self.dataset.state_dir, DISK)
            self.dataset.state_dir = self._disk.folder
        client = Client(
            host=world.server.endpoint,
            username=world.server.access_key_id,
            password=world.server.secret_access_key,
        )
        versions = lakefs.Repository(repository, client=client)
        if kind.prefix:
            self._someone_else_was_here(versions)
        self._new_reader = lambda: Reader(world.s3, repository)
        self.judge = Judge(
            self._new_reader(),
            versions,
            place=self.place,
            prefix=kind.prefix,
            closure=kind.closure,
            others=OTHERS if kind.prefix else {},
        )
        self._clock = TurnedClock(self._directory / "clock")
        self._rules: list[Rule] = []  # of the proxy
        self._bad_uploads = 0
        self._broken = False
        self._faults_before = _faults(world.proxy)
        self.start()

    def _configure(self) -> None:
        kind, table = self.kind, {"name": "labels", "csv": str(self.dataset.directory / "labels.csv"), "key": "id"}
        closed = {"image_column": "image", "closure": kind.closure, "closure_wait_seconds": 0.3, "poll_seconds": 0.1}
        self.dataset.configure(
            snapshot={"quiet_seconds": kind.quiet_seconds},
            source={"settle_seconds": 0.05},
            upload={"concurrency": 4, "batch_objects": kind.batch_objects},
            lakefs={"endpoint": self.world.proxy.endpoint, "prefix": kind.prefix, "lease_seconds": 2.0},
            tables=[{**table, **closed}],
        )

    @staticmethod
    def _someone_else_was_here(versions: lakefs.Repository) -> None:
        versions.create(f"local://{versions.id}", default_branch="main")
        for key, body in OTHERS.items():
            versions.branch("main").object(key).upload(data=body)
        versions.branch("main").commit("by someone else")

    @contextlib.contextmanager
    def step(self, what: str, **more: object) -> Iterator[None]:
        """Tell of a step, count it, and remember if it failed."""
        print(f"  {what}", *(f"{name}={value}" for name, value in more.items()), flush=True)  # noqa: T201
        self.world.did["steps"] += 1
        self.world.did[what] += 1
        try:
            yield
        except BaseException:
            self._broken = True
            raise

    # The daemon.

    def start(self) -> None:
        mounts = None if self._disk is None else self._disk.pid
        ForkedDaemon(self.dataset, around=Around(bound=True, mounts=mounts, clock=self._clock.path))

    def stop(self, *, kill: bool, during: str) -> None:
        """End the daemon, while an operation is on its way if one comes soon."""
        before, deadline = len(self.world.proxy.attempts), time.monotonic() + (0.5 if during else 0)

        def on_its_way() -> bool:
            new = self.world.proxy.attempts[before:]
            return time.monotonic() >= deadline or any(one.operation == during for one in new)

        until(on_its_way, "an operation")
        daemon = self.dataset.daemons[-1]
        assert daemon.exit_code is None, f"it has ended by itself:\n{daemon.log()}"
        if kill:
            daemon.kill()
        else:
            self.make_room()  # what is said of the end is written, too
            daemon.signal(signal.SIGTERM)
            code = daemon.wait()
            assert code == 0 or (code == -signal.SIGTERM and not daemon.events()), f"ended with {code}\n{daemon.log()}"

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let the daemon see nothing for as long as this lasts."""
        daemon = self.dataset.daemons[-1]
        daemon.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            daemon.signal(signal.SIGCONT)

    def wait_until_it_listens(self) -> None:
        self.dataset.daemons[-1].wait_until_ready()

    def set_clock(self, ahead_s: float) -> None:
        self._clock.set(ahead_s)

    # The disk and the network.

    @property
    def has_small_disk(self) -> bool:
        return self._disk is not None

    def fill_disk(self) -> None:
        if self._disk is not None:
            self._disk.fill()

    def make_room(self) -> None:
        if self._disk is not None:
            self._disk.make_room()

    def misbehave(self, fault: Fault, operation: str, times: int) -> None:
        """Let some requests meet a fault, besides those that are still to meet another.

        An object that meets three bad answers in a row is left alone for long: so two do between exact snapshots.
        """
        self._rules = [rule for rule in self._rules if rule.times is None or rule.used < rule.times]
        if operation == "put":
            times = min(times, MOST_BAD_UPLOADS - self._bad_uploads)
            self._bad_uploads += times
            self._rules.append(Rule([fault], "put", times=times))
        else:
            self._rules.append(Rule([fault], operation, times=times, where=lambda one: one.operation != "put"))
        self.world.proxy.misbehave(*self._rules)

    # Snapshots.

    def take(self) -> None:
        """P1: the answer to a call holds what is there now; a folder that is away, or a table to wait for, is said."""
        self.make_room()
        if self.place.is_away:
            self._assert_refused({EXIT_HELD, EXIT_SOURCE_UNAVAILABLE})
        elif self._must_be_held():
            answer = self._ask()
            assert answer["held"], f"rows and images do not fit, and it was published: {answer}"
        else:
            answer = self._ask()
            assert not answer["held"], answer["held"]
            if not self.place.hidden:
                assert answer["left_out"] == []
            self.judge.assert_exact(answer["tag"])
            self._bad_uploads = sum((one.times or 0) - one.used for one in self._rules if one.operation == "put")
        self.judge.look()

    def try_to_take(self) -> None:
        """While the journal's disk is full: whether it can is another matter; what it says it took is exact."""
        with contextlib.suppress(control.RemoteError, ConnectionError):
            answer = self.dataset.snapshot(timeout_s=1)
            if not (answer["held"] or answer["left_out"] or self.place.is_away):
                self.judge.assert_exact(answer["tag"])
        assert self.dataset.daemons[-1].exit_code is None, self.dataset.daemons[-1].log()

    def _must_be_held(self) -> bool:
        images = self.place.images({})
        return self.kind.closure == "hold" and any(unfit(self.place.rows, images))

    def _ask(self) -> dict:
        answer: dict = {}

        def answered() -> bool:
            try:
                answer.update(self.dataset.snapshot(timeout_s=PATIENCE_S))
            except control.RemoteError as error:
                if error.exit_code != EXIT_LAKEFS_UNAVAILABLE:
                    raise
            except (ConnectionError, FileNotFoundError):  # it does not listen yet
                daemon = self.dataset.daemons[-1]
                assert daemon.exit_code is None, f"it has ended:\n{daemon.log()}"
            return bool(answer)

        until(answered, "an answer", timeout_s=PATIENCE_S)
        return answer

    def _assert_refused(self, codes: set[int]) -> None:
        said: list[int] = []

        def refused() -> bool:
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                try:
                    answer = self.dataset.snapshot(timeout_s=5)
                except control.RemoteError as error:
                    said.append(error.exit_code)
                else:
                    said.append(EXIT_HELD if answer["held"] else 0)
            return bool(said)

        until(refused, "a refusal")
        assert said[-1] in codes, f"the folder is away, and a snapshot was taken: {said}"

    # The end.

    def finish(self) -> None:
        """Let all be well again: then the last snapshot is exact, and whatever was ever published is still there."""
        try:
            if not self._broken:
                self._make_well()
                self._assert_well()
        except BaseException:
            self._broken = True
            raise
        finally:
            self._close()

    def _make_well(self) -> None:
        self.world.proxy.misbehave()
        self.make_room()
        if self.place.is_away:
            self.place.come_back()
        self.place.reveal()
        self.place.edit_table(0, fit=True)

    def _assert_well(self) -> None:
        answer = self._ask()
        assert (answer["held"], answer["left_out"]) == ("", [])
        self.judge.assert_exact(answer["tag"])
        status = self.dataset.status_until(lambda seen: seen["state"] == "idle", "all is published", timeout_s=60)
        assert (status["failure"], status["problems"], status["hold"]) == ("", [], "")
        self.judge.look()
        self.judge.assert_kept(self._new_reader(), status["snapshot"]["tag"])
        assert images_in(self.judge.published).keys() == self.place.images({}).keys()
        self.dataset.daemons[-1].stop()

    def _close(self) -> None:
        self.world.proxy.misbehave()
        self.dataset.close()
        self.world.did["snapshots"] += self.judge.count
        self.world.did["overflows"] += sum(len(daemon.events("events_lost")) for daemon in self.dataset.daemons)
        self.world.did["faults"] += _faults(self.world.proxy) - self._faults_before
        if self._disk is not None:
            self._disk.close()
        if self._broken:
            print(f"  its files: {self._directory}")  # noqa: T201
            for daemon in self.dataset.daemons[-2:]:
                print(f"--- {daemon.log_path.name}\n{daemon.log()[-SHOWN_LOG_CHARACTERS:]}")  # noqa: T201
        else:
            shutil.rmtree(self._directory)


def _faults(proxy: FaultProxy) -> int:
    return sum(count for (_, how), count in proxy.done.items() if how != str(PASS))
