"""syncd, ending as if the power failed at one of its effects.

By hand: ``python -m tests.support.crashing_daemon [--point POINT] [--record FILE] -- syncd run --config …``.
Tests start hundreds of them and fork each from one process that has imported syncd and done nothing else: most of a
start is importing. A process of its own it is all the same, in a session of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet
import sqlalchemy.dialects.sqlite

import syncd.service.run
from syncd.cli.app import main as syncd_main
from tests.support import turned_clock
from tests.support.crash_points import Points
from tests.support.daemon import STOP_S, Daemon, Dataset
from tests.support.rights import be_bound_by_modes, enter_mounts

if TYPE_CHECKING:
    from collections.abc import Sequence

PRELOADED = (pyarrow.parquet, sqlalchemy.dialects.sqlite, syncd.service.run)  # what syncd imports once it needs it

_forking = multiprocessing.get_context("forkserver")
# Held for each look at whether a child has ended. Starting one looks at all of them, and of two threads that look at
# one at the same time the second is told 255.
_looking = threading.Lock()
_forking.set_forkserver_preload([__name__])


def run(point: str | None, record: Path | None, command: Sequence[str], *, watched: bool = True) -> None:
    """Be syncd until the end or the point; not watched: without any point, as it is installed."""
    if watched:
        Points(point, record).install()
    sys.argv = list(command)
    syncd_main()


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is about a daemon; each is as it is for the test unless said otherwise.

    Attributes:
        bound: The modes of files bind it, even where the test is root's.
        mounts: Of which process it sees the mounts.
        clock: The file that sets its clock, see ``TurnedClock``.
    """

    bound: bool = False
    mounts: int | None = None
    clock: Path | None = None


class ForkedDaemon(Daemon):
    """A ``syncd run`` that has its imports done before it starts.

    Args:
        dataset: Whose daemon it is; it is added to them.
        point: The passage at which it ends, see ``Points``; None: it does not.
        record: Where it names the points it passes; None: it has none, and ``point`` must be None.
        around: What is about it.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        point: str | None = None,
        record: Path | None = None,
        around: Around = Around(),
    ) -> None:
        self.log_path, self._dataset = dataset.directory / f"daemon-{len(dataset.daemons)}.log", dataset
        self.log_path.touch()
        values = (point, record, dataset.arguments("run"), self.log_path, dataset.environment, dataset.directory)
        self._forked = _forking.Process(target=_become, args=(*values, around))
        with _looking:
            self._forked.start()
        dataset.daemons.append(self)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._forked.pid or 0

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        with _looking:
            return self._forked.exitcode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Wait for its end and return the exit code."""
        multiprocessing.connection.wait([self._forked.sentinel], timeout_s)
        code = self.exit_code
        assert code is not None, f"it has not ended within {timeout_s:g} s:\n{self.log()}"
        return code

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """End it, however it is."""
        self.signal(signal.SIGTERM)
        multiprocessing.connection.wait([self._forked.sentinel], STOP_S)
        self.kill()


def _become(
    point: str | None,
    record: Path | None,
    command: Sequence[str],
    log: Path,
    environment: dict[str, str],
    place: Path,
    around: Around,
) -> None:
    """Give a forked process what a started one would have."""
    os.setsid()
    if around.mounts is not None:
        enter_mounts(around.mounts)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    if around.clock is not None:
        turned_clock.follow(around.clock)
    if around.bound:
        be_bound_by_modes()
    run(point, record, command, watched=record is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--point")
    parser.add_argument("--record", type=Path)
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    run(asked.point, asked.record, asked.command)


if __name__ == "__main__":
    main()
