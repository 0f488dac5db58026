"""The notify protocol of systemd: it is told when syncd is ready, what it does, and that it is alive.

Source: sd_notify(3). Elsewhere than under systemd, or another manager that sets ``NOTIFY_SOCKET``, nothing happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

_LONGEST_STATUS = 300  # characters; `systemctl status` shows one line
EXTENDED_BY_S = 30.0
_EXTEND_EVERY_S = 10.0


class Notifier:
    """Talks to the service manager; a context manager. Nothing it says delays syncd or fails.

    Args:
        address: Of the manager's socket: a path, or "@" and an abstract name; "": there is no manager.
        watchdog_s: How long the manager waits for a sign of life; None: for ever.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address, self._last_status = address, ""
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(0)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Self:
        """Take what the manager has put there, and take it away, so that no child speaks for syncd."""
        address = environment.pop("NOTIFY_SOCKET", "")
        watchdog, for_whom = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        is_ours = for_whom in ("", str(os.getpid()))
        watchdog_s = int(watchdog) / 1e6 if address and is_ours and watchdog.isdecimal() else None
        return cls(address if address.startswith(("/", "@")) else "", watchdog_s or None)

    def __enter__(self) -> Self:
        """Begin to talk."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """The start, or the reading of a changed configuration, is done."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A changed configuration is being read; :meth:`ready` says when that is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in a line what syncd does; the same again is not sent."""
        line = " ".join(text.split())[:_LONGEST_STATUS]
        if line != self._last_status:
            self._last_status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Give the watchdog its sign of life."""
        self._send("WATCHDOG=1")

    @contextlib.asynccontextmanager
    async def taking_long(self) -> AsyncIterator[None]:
        """Ask for more time for as long as this lasts: to start, to end."""
        asking = asyncio.create_task(self._extend())
        try:
            yield
        finally:
            asking.cancel()

    @contextlib.asynccontextmanager
    async def told_of_the_end(self, stopping: asyncio.Event) -> AsyncIterator[None]:
        """Once it is set, say so, and ask for time until this is left."""

        async def tell() -> None:
            await stopping.wait()
            self.stopping()
            await self._extend()

        telling = asyncio.create_task(tell())
        try:
            yield
        finally:
            telling.cancel()

    async def _extend(self) -> None:
        while True:
            self._send(f"EXTEND_TIMEOUT_USEC={EXTENDED_BY_S * 1e6:.0f}")
            await asyncio.sleep(_EXTEND_EVERY_S)

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError):  # a manager that does not listen, or not just now
            self._socket.sendto(text.encode("utf-8", "replace"), name)
