"""The embedded lakeFS server for asyncio: started on entry, stopped on exit, its death is noticed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from syncd.embedded.process import ServerProcess
from syncd.threads import in_thread_to_its_end

if TYPE_CHECKING:
    from pathlib import Path


class EmbeddedLakeFS:
    """Run a lakeFS inside ``async with``; data and keys in the state directory outlive it.

    If syncd itself is killed, the server goes with it. If the server dies alone, ``died`` is set and stays set
    until ``restart()``, which brings it back with the same address, keys and data.
    """

    def __init__(
        self, state_dir: Path, *, binary: Path, listen: str = "127.0.0.1:0", start_timeout_s: float = 30.0
    ) -> None:
        """See ``ServerProcess``, which does the work."""
        self._process = ServerProcess(state_dir, binary=binary, listen=listen, start_timeout_s=start_timeout_s)
        self.died = asyncio.Event()

    @property
    def endpoint(self) -> str:
        """The address for the S3 gateway, the API and a browser: "http://127.0.0.1:PORT"."""
        return self._process.endpoint

    @property
    def access_key_id(self) -> str:
        """The public half of the key pair."""
        return self._process.access_key_id

    @property
    def secret_access_key(self) -> str:
        """The secret half of the key pair."""
        return self._process.secret_access_key

    @property
    def secret_path(self) -> Path:
        """The file that holds the secret, readable by its owner alone."""
        return self._process.installation.secret_path

    @property
    def pid(self) -> int | None:
        """The server's process id; None while none is started."""
        return self._process.pid

    def log_tail(self) -> str:
        """Return the last lines the server said."""
        return self._process.log_tail()

    async def start(self) -> None:
        """Start the server and return when it is healthy; starting a running one does nothing.

        Raises:
            EmbeddedServerError: It did not start; the text holds the end of its log.
        """
        self._unwatch()
        try:
            await in_thread_to_its_end(self._process.start)
        except asyncio.CancelledError:
            await in_thread_to_its_end(self._process.stop)
            raise
        self.died.clear()
        asyncio.get_running_loop().add_reader(self._process.fileno(), self._on_end)

    async def stop(self) -> int | None:
        """Stop the server; return its exit code, or None if there was none to stop."""
        self._unwatch()
        return await in_thread_to_its_end(self._process.stop)

    async def restart(self) -> None:
        """Start the server again, stopping it first if it lives: same address, same keys, same data.

        Raises:
            EmbeddedServerError: It did not start; calling again later is fine.
        """
        await self.stop()
        await self.start()

    async def wait(self) -> None:
        """Return when the server has died by itself; ``stop()`` does not count."""
        await self.died.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def _on_end(self) -> None:
        self._unwatch()
        self.died.set()

    def _unwatch(self) -> None:
        if self._process.pid is not None:
            asyncio.get_running_loop().remove_reader(self._process.fileno())
