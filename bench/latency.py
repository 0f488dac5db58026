"""How long one changed file takes from the change to the tag, through a running daemon."""

from __future__ import annotations

import contextlib
import json
import queue
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import peers

if TYPE_CHECKING:
    from types import TracebackType

PATIENCE_S = 60.0
PAUSE_S = 0.3  # between a tag and the next change
AT_ONCE = "settle_seconds = 0\n\n[snapshot]\nquiet_seconds = 0.001"


def change_to_tag(place: peers.Place, root: Path, *, changes: int) -> list[float]:
    """Start a daemon on a folder, let it catch up, replace one image after another, and return the seconds of each.

    Measured from just before the rename that puts the new image in place to the log line that names the tag.
    """
    state = place.fresh("daemon")
    peers.configure(place, state, root=root, more=AT_ONCE)
    rng = random.Random(0)
    images = sorted(root.rglob("*.jpg"))
    with Daemon(state) as daemon:
        while daemon.next_snapshot()["images"] < len(images):
            pass
        return [_change(daemon, rng, rng.choice(images), state / "new.jpg") for _ in range(changes)]


def _change(daemon: Daemon, rng: random.Random, image: Path, new: Path) -> float:
    time.sleep(PAUSE_S)
    new.write_bytes(image.read_bytes() + rng.randbytes(8))
    started = time.perf_counter()
    new.replace(image)
    snapshot = daemon.next_snapshot()
    if snapshot["changed"] != 1:
        raise AssertionError(f"the snapshot holds {snapshot['changed']} changes")
    return float(snapshot["heard_at"] - started)


class NoSnapshotError(Exception):
    """The daemon ended, or made none in time."""


class Daemon:
    """``syncd run`` as a process, heard through its log. Ends with the context."""

    def __init__(self, state: Path) -> None:
        self._log = state / "daemon.log"
        command = [str(Path(sys.executable).with_name("syncd")), "run", "--config", str(peers.config_of(state))]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
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

    def next_snapshot(self) -> dict[str, Any]:
        """Wait for the next snapshot and return its log line, with the moment it was heard.

        Raises:
            NoSnapshotError: None came; the text holds the end of the log.
        """
        with contextlib.suppress(queue.Empty):
            snapshot = self._snapshots.get(timeout=PATIENCE_S)
            if snapshot is not None:
                return snapshot
        raise NoSnapshotError(f"syncd run made no snapshot:\n{self._log.read_text()[-2000:]}")

    def _listen(self) -> None:
        stderr = self._process.stderr
        if stderr is None:
            raise AssertionError("its log is piped")
        with self._log.open("w") as log:
            for line in stderr:
                heard_at = time.perf_counter()
                log.write(line)
                log.flush()
                if '"snapshot_published"' in line:
                    self._snapshots.put({**json.loads(line), "heard_at": heard_at})
        self._snapshots.put(None)  # it has ended
