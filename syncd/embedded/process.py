"""The embedded lakeFS server as a plain, synchronous object; ``server`` is the same for asyncio."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from syncd.addresses import ListenAddress
from syncd.embedded import ports
from syncd.embedded.child import GuardedChild
from syncd.embedded.installation import Installation, LastStart
from syncd.embedded.takeover import claim, take_over
from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.embedded.installation import Keys
    from syncd.embedded.locks import FileLock

_HEALTH_POLL_S = 0.05
_PORT_TRIES = 5
_PORT_PAUSE_S = 0.2
_SHOWN_LOG_LINES = 8
_SHOWN_LINE_LENGTH = 400
_TAIL_BYTES = 64_000
_BANNER = ("     ", "│")  # lakeFS greets with its name in large letters and a few links


class ServerProcess:
    """One lakeFS with its data below a state directory; address and keys stay the same for the object's life.

    Where ``listen`` names no port, the first start takes the one of the last time if it is free, else a random
    one. May be used from any thread, by one at a time.
    """

    def __init__(
        self, state_dir: Path, *, binary: Path, listen: str = "127.0.0.1:0", start_timeout_s: float = 30.0
    ) -> None:
        """Check the address; nothing is started or written yet.

        Args:
            state_dir: Everything goes to its folder ``lakefs``.
            binary: As ``find_or_build()`` returns it.
            listen: A loopback address and a port, 0 for any.
            start_timeout_s: How long a start may take; half a second is normal.

        Raises:
            EmbeddedServerError: The address is not a loopback address.
        """
        self._host, port = ports.parse_listen(listen)
        self._port = port or None
        self._binary, self._start_timeout_s = binary.absolute(), start_timeout_s
        self.installation = Installation(state_dir)
        self._keys: Keys | None = None
        self._owner: FileLock | None = None
        self._child: GuardedChild | None = None

    @property
    def endpoint(self) -> str:
        """The address for the S3 gateway, the API and a browser: "http://127.0.0.1:PORT"."""
        if self._port is None:
            raise ValueError("the embedded lakeFS was not started yet")
        return f"http://{ListenAddress(self._host, self._port)}"

    @property
    def access_key_id(self) -> str:
        """The public half of the key pair."""
        return self._started_keys().access_key_id

    @property
    def secret_access_key(self) -> str:
        """The secret half of the key pair."""
        return self._started_keys().secret_access_key

    @property
    def pid(self) -> int | None:
        """The server's process id; None while none is started."""
        return None if self._child is None else self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether a started server still lives."""
        return not self.ended_within(0)

    def ended_within(self, seconds: float) -> bool:
        """Wait at most this long for the server to end; return whether none is running."""
        return self._child is None or self._child.ended_within(seconds)

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the server has ended. Valid until ``stop()``.

        Raises:
            ValueError: There is no server.
        """
        if self._child is None:
            raise ValueError("the embedded lakeFS is not running")
        return self._child.fileno()

    def start(self) -> None:
        """Start the server and return when it is healthy. Starting a running one does nothing.

        A server that outlived its killed owner is ended first. One that died is started again, on the same port.

        Raises:
            EmbeddedServerError: It did not start; the text holds the end of its log.
        """
        if self.is_running:
            return
        self.stop()
        try:
            self.installation.prepare()
            self._owner = claim(self.installation)
            self._keys = self.installation.keys()
            self.installation.write_config(self._keys)
            self.installation.rotate_log()
            self._start_where_free(self._keys)
        except OSError as error:
            self.stop()
            raise EmbeddedServerError(f"The embedded lakeFS cannot be started: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int | None:
        """Stop the server: SIGTERM, after some seconds SIGKILL. Stopping a stopped one does nothing.

        Returns:
            Its exit code, or None if there was none to stop.
        """
        code = None
        if self._child is not None:
            code = self._child.end()
            self._child = None
        if self._owner is not None:
            self._owner.release()
            self._owner = None
        return code

    def log_tail(self) -> str:
        """Return the last lines the server said, cut to a readable width; none if they cannot be read."""
        try:
            text = self._log_from(max(0, self._log_size() - _TAIL_BYTES))
        except OSError:
            return ""
        lines = text.decode(errors="replace").splitlines()
        spoken = [line[:_SHOWN_LINE_LENGTH] for line in lines if line.strip() and not line.startswith(_BANNER)]
        return "\n".join(f"    {line}" for line in spoken[-_SHOWN_LOG_LINES:])

    def _started_keys(self) -> Keys:
        if self._keys is None:
            raise ValueError("the embedded lakeFS was not started yet")
        return self._keys

    def _start_where_free(self, keys: Keys) -> None:
        """Start, again if somebody was quicker to take the port between our choice and the server's start."""
        deadline = time.monotonic() + self._start_timeout_s
        last = self.installation.last_start()
        fixed, preferred = self._port, last.port if last else None
        for _ in range(_PORT_TRIES):
            port = ports.choose(self._host, preferred=preferred) if fixed is None else fixed
            if ports.is_free(self._host, port) and self._start_on(port, keys, deadline):
                self._port = port
                return
            if fixed is not None:
                time.sleep(_PORT_PAUSE_S)  # a passing connection may hold it
        raise EmbeddedServerError(
            f"The embedded lakeFS cannot listen on {ListenAddress(self._host, port)}: the port is taken",
            next_step=f"find who has it with: ss -ltnp sport = :{port}, or choose another port",
        )

    def _start_on(self, port: int, keys: Keys, deadline: float) -> bool:
        """Start the server there and wait until it is healthy; return False if the port was taken."""
        log_start = self._log_size()
        lock = take_over(self.installation)
        try:
            self._child = GuardedChild(
                [str(self._binary), "run", "--config", str(self.installation.config_path)],
                environment=self.installation.environment(host=self._host, port=port),
                log_path=self.installation.log_path,
                lock=lock,
            )
        finally:
            lock.release()  # the server holds it now, so it stays taken until that one is gone
        self.installation.remember_start(LastStart(pid=self._child.pid, port=port))
        while not self._child.ended_within(_HEALTH_POLL_S):
            if ports.answers_as_ours(
                self._host, port, access_key_id=keys.access_key_id, secret_access_key=keys.secret_access_key
            ):
                return True
            if time.monotonic() > deadline:
                self._child.end()
                raise self._start_error(f"did not become healthy within {self._start_timeout_s:g} s")
        code = self._child.end()
        self._child = None
        if b"address already in use" in self._log_from(log_start):
            return False
        raise self._start_error(f"ended at once with code {code}")

    def _start_error(self, what: str) -> EmbeddedServerError:
        path = self.installation.log_path
        return EmbeddedServerError(
            f"The embedded lakeFS {what}",
            cause=f"The end of its log:\n{self.log_tail()}",
            next_step=f"read {path}; if the binary is at fault ({self._binary}), see: syncd lakefs path",
        )

    def _log_size(self) -> int:
        path = self.installation.log_path
        return path.stat().st_size if path.exists() else 0

    def _log_from(self, offset: int) -> bytes:
        if not self.installation.log_path.exists():
            return b""
        with self.installation.log_path.open("rb") as log:
            log.seek(offset)
            return log.read()
