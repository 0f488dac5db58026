"""A process that ends with the one that started it: ``guard.py`` runs it, this is the handle to it."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncd.embedded.locks import FileLock

GRACE_S = 5.0  # between SIGTERM and SIGKILL; lakeFS needs 0.1 s when nothing is being asked of it

_GUARD_START_TIMEOUT_S = 20.0  # 0.05 s is normal
_GUARD_END_TIMEOUT_S = 5.0  # on top of the grace
_MS = 1000


class GuardedChild:
    """A running command, its guard, and the two pipes to the guard.

    It may be started from any thread. Terminal signals do not reach it, so that Ctrl-C lets syncd finish its work
    before the server goes. Only one thread at a time may use it.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], log_path: Path, lock: FileLock
    ) -> None:
        """Start the command in the log's folder, its output appended to the log.

        Args:
            command: Absolute path and arguments; no secrets, anybody may read them.
            environment: The whole environment.
            log_path: For both outputs.
            lock: Held by the caller; the command inherits it and so holds it as long as it lives.

        Raises:
            EmbeddedServerError: The guard did not start.
        """
        guard = [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), str(GRACE_S)]
        with log_path.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603 - this Python, our guard
                [*guard, *command],
                bufsize=0,
                stdin=subprocess.PIPE,  # held open as long as we live, see guard.py
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=log_path.parent,
                env=environment,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
        assert self._guard.stdin  # noqa: S101 - both are pipes: PIPE above
        assert self._guard.stdout  # noqa: S101
        self._lifeline, self._status = self._guard.stdin, self._guard.stdout
        try:
            self.pid = self._read_pid(log_path)
        except BaseException:
            self.end()
            raise

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the command has ended."""
        return self._status.fileno()

    def ended_within(self, seconds: float) -> bool:
        """Wait at most this long for the command to end; return whether it has."""
        if self._status.closed:
            return True
        poll = select.poll()  # not select(): the number may be above 1023
        poll.register(self._status, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * _MS))

    def end(self) -> int:
        """Stop the command unless it has ended, and clean up.

        Returns:
            Its exit code; 128 and the signal's number if a signal ended it.
        """
        if not self._lifeline.closed:
            self._lifeline.close()
        try:
            code = self._guard.wait(GRACE_S + _GUARD_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()  # on Linux the command dies with it
            code = self._guard.wait()
        self._status.close()
        return code

    def _read_pid(self, log_path: Path) -> int:
        deadline = time.monotonic() + _GUARD_START_TIMEOUT_S
        said = b""
        while not said.endswith(b"\n"):
            piece = self._status.read(1) if self.ended_within(deadline - time.monotonic()) else b""
            if not piece:
                raise EmbeddedServerError(
                    "The guard of the embedded lakeFS did not start", next_step=f"read the end of {log_path}"
                )
            said += piece
        return int(said)
