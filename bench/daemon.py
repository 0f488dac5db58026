"""``syncd run`` as a process of its own: asked through its socket, heard through its log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
from peers import SYNCD
from place import config_of

from syncd.service import control

if TYPE_CHECKING:
    from types import TracebackType

PATIENCE_S = 3600.0
LOOK_EVERY_S = 0.02
# what a change waits for before it is taken and committed: nothing
AT_ONCE = "settle_seconds = 0\n\n[snapshot]\nquiet_seconds = 0.001"
# only what is asked for is committed
ON_REQUEST = 'settle_seconds = 0\n\n[snapshot]\nquiet_seconds = "off"\nmax_wait_seconds = "off"\nmax_changes = "off"'


class NoSnapshotError(Exception):
    """The daemon ended, or made none in time."""


class Daemon:
    """The daemon of one configuration; ends with the context.

    Args:
        state: The folder with its configuration.
    """

    def __init__(self, state: Path) -> None:
        self.state_dir = state / "state"
        self._log = state / "daemon.log"
        command = [str(SYNCD), "run", "--config", str(config_of(state))]
        self.started = time.perf_counter()
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.seen = psutil.Process(self._process.pid)
        self.batches: list[dict[str, Any]] = []
        self._snapshots: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        self._listener.join()

    @property
    def cpu_s(self) -> float:
        """What it has used so far, in seconds of one core."""
        times = self.seen.cpu_times()
        return float(times.user + times.system)

    @property
    def rss_bytes(self) -> int:
        """The memory it holds now."""
        return int(self.seen.memory_info().rss)

    @property
    def peak_bytes(self) -> int:
        """The most memory it has held."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def in_step_s(self) -> float:
        """Wait until the newest snapshot holds what the source holds; return the seconds since the start.

        Raises:
            NoSnapshotError: The daemon ended.
        """
        while not self._answer("in_step", timeout_s=PATIENCE_S)["in_step"]:
            time.sleep(LOOK_EVERY_S)
        return time.perf_counter() - self.started

    def snapshot(self) -> dict[str, Any]:
        """Ask for a snapshot of all that is in place, and return the answer.

        Raises:
            NoSnapshotError: The daemon ended.
        """
        return self._answer("snapshot", timeout_s=PATIENCE_S, allow_held=False)

    def next_snapshot(self) -> dict[str, Any]:
        """Wait for the next snapshot and return its log line, with the moment it was heard.

        Raises:
            NoSnapshotError: None came; the text holds the end of the log.
        """
        with contextlib.suppress(queue.Empty):
            snapshot = self._snapshots.get(timeout=PATIENCE_S)
            if snapshot is not None:
                return snapshot
        raise self._failed("made no snapshot")

    def forget_snapshots(self) -> int:
        """Wait for those made from here on only; return how many were made before."""
        count = 0
        with contextlib.suppress(queue.Empty):
            while self._snapshots.get_nowait() is not None:
                count += 1
        return count

    def sent(self) -> tuple[int, int]:
        """Return how many objects and bytes it has uploaded so far."""
        return sum(one["uploaded"] for one in self.batches), sum(one["sent_bytes"] for one in self.batches)

    def _answer(self, command: str, **request: Any) -> dict[str, Any]:
        """Ask as soon as it listens."""
        while self._process.poll() is None:
            with contextlib.suppress(ConnectionError):
                return dict(asyncio.run(control.call(self.state_dir, command, **request)))
            time.sleep(LOOK_EVERY_S)
        raise self._failed("ended")

    def _failed(self, what: str) -> NoSnapshotError:
        return NoSnapshotError(f"syncd run {what}:\n{self._log.read_text()[-2000:]}")

    def _listen(self) -> None:
        stderr = self._process.stderr
        if stderr is None:
            raise AssertionError("its log is piped")
        with self._log.open("w") as log:
            for line in stderr:
                heard_at = time.perf_counter()
                log.write(line)
                log.flush()
                if '"batch_staged"' in line:
                    self.batches.append(json.loads(line))
                if '"snapshot_published"' in line:
                    self._snapshots.put({**json.loads(line), "heard_at": heard_at})
        self._snapshots.put(None)  # it has ended
