"""The `syncd run` that watches while the demo changes things; driven only by what its users have."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from syncd.embedded.child import GuardedChild
from syncd.errors import HeldError, SyncdError
from syncd.service import control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from syncd.demo.place import Place

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.2
STOP_S = 30.0
LAST_LINES = 5

# what of SYNCD_* a demo takes over: all else would mix somebody's real data or server into it
_TAKEN_OVER = ("SYNCD_LAKEFS_BINARY", "SYNCD_LAKECTL_BINARY")
_SYNCD = [sys.executable, "-P", "-m", "syncd"]  # -P: not the one that may lie in the current folder


class Daemon:
    """One running daemon."""

    def __init__(self, place: Place, child: GuardedChild) -> None:
        self._place, self._child = place, child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def report(self, *words: str) -> Any:
        """Run a syncd command on the demo's configuration and return its ``--json`` answer.

        Raises:
            SyncdError: It failed.
        """
        done = subprocess.run(  # noqa: S603 - our own program, on our own configuration
            [*_SYNCD, *words, "--json", "--config", str(self._place.config)],
            capture_output=True,
            text=True,
            check=False,
            env=environment(os.environ),
        )
        if done.returncode:
            raise SyncdError(f"syncd {' '.join(words)} failed: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout)

    def next_snapshot(self, after: str | None, busy: Callable[[str], None]) -> Mapping[str, Any]:
        """Wait for a snapshot that comes by itself, and return the one that holds all that is in place now.

        That is nearly always the same: asking for another makes none where nothing is missing.

        Args:
            after: The tag of the newest one so far; None: there is none.
            busy: Hears what the daemon is doing.

        Raises:
            HeldError: The daemon waits for a person.
            SyncdError: It ended, or took too long.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status = self._call("status")
            snapshot = status.get("snapshot")
            if snapshot and snapshot["tag"] != after:
                return self._call("snapshot", timeout_s=PATIENCE_S, allow_held=False) or snapshot
            if status.get("hold"):
                raise HeldError(f"syncd holds the demo's changes: {status['hold']}")
            if time.monotonic() > deadline:
                raise SyncdError(
                    f"no snapshot came within {PATIENCE_S:g} s", cause=status.get("why") or self._last_words()
                )
            busy(_doing(status))
            if self._child.ended_within(LOOK_EVERY_S):
                raise SyncdError("syncd run ended by itself", cause=self._last_words())

    def _call(self, command: str, **values: Any) -> Mapping[str, Any]:
        """Ask through the control socket, as `syncd status` does; nothing while the daemon does not listen."""
        try:
            return asyncio.run(control.call(self._place.state, command, **values))
        except ConnectionError:
            return {}

    def _last_words(self) -> str:
        lines = self._place.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "it said:\n" + "\n".join(lines[-LAST_LINES:])


@contextmanager
def running(place: Place) -> Iterator[Daemon]:
    """Start `syncd run` as a separate process; stop it at the end, or when this process dies, however it dies.

    Raises:
        EmbeddedServerError: It could not be started.
    """
    child = GuardedChild(
        [*_SYNCD, "run", "--config", str(place.config)],
        environment=environment(os.environ),
        log_path=place.log,
        lock=place.lock,
    )
    try:
        yield Daemon(place, child)
    finally:
        if not child.ended_within(0):
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
        child.ended_within(STOP_S)
        child.end()


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for syncd: none of the settings that belong to somebody's real syncd."""
    return {
        name: value
        for name, value in environ.items()
        if name in _TAKEN_OVER or not (name.startswith("SYNCD_") or name == "CREDENTIALS_DIRECTORY")
    }


def _doing(status: Mapping[str, Any]) -> str:
    if not status:
        return "starting"
    pending = status["pending"]["upload"]
    return f"{status['state']}: {pending:,} to upload" if pending else str(status["state"])
