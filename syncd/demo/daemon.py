"""The `syncd run` that watches while the demo changes things; driven only by what its users have."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from syncd.errors import SyncdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncd.demo.place import Place

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.2
STOP_S = 30.0


class Daemon:
    """One running daemon."""

    def __init__(self, place: Place, process: subprocess.Popen[bytes]) -> None:
        self._place, self._process = place, process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def command(self, *words: str) -> str:
        """Run a syncd command on the demo's configuration and return what it prints.

        Raises:
            SyncdError: It failed.
        """
        done = subprocess.run(  # noqa: S603 - our own program, on our own configuration
            [*_syncd(), *words, "--config", str(self._place.config)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SyncdError(f"syncd {' '.join(words)} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def report(self, *words: str) -> Any:
        """Run a command with ``--json`` and return its answer."""
        return json.loads(self.command(*words, "--json"))

    def wait_until_in_step(self, after: str | None) -> Mapping[str, Any]:
        """Return the newest snapshot once there is one after ``after`` and nothing waits any more.

        Raises:
            SyncdError: The daemon ended, or it took too long.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise SyncdError(f"the daemon ended by itself: {self._last_words()}")
            status = self._status()
            snapshot = status.get("snapshot")
            if snapshot and snapshot["tag"] != after and status["state"] == "idle":
                return dict(snapshot)
            time.sleep(LOOK_EVERY_S)
        raise SyncdError(f"no snapshot came within {PATIENCE_S:g} s: {self._last_words()}")

    def wait_until_up(self) -> None:
        """Return once it answers.

        Raises:
            SyncdError: The daemon ended, or it took too long.
        """
        deadline = time.monotonic() + PATIENCE_S
        while self._status().get("state", "stopped") == "stopped":
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SyncdError(f"the daemon did not start: {self._last_words()}")
            time.sleep(LOOK_EVERY_S)

    def _status(self) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = self.report("status")
        except SyncdError:  # no journal yet: it is starting
            return {}
        return answer

    def _last_words(self) -> str:
        lines = self._place.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-5:])


@contextmanager
def running(place: Place) -> Iterator[Daemon]:
    """Start `syncd run` as a separate process; stop it at the end."""
    with place.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program; in a session of its own, as a service would be
            [*_syncd(), "run", "--config", str(place.config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Daemon(place, process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _syncd() -> list[str]:
    return [sys.executable, "-m", "syncd"]
