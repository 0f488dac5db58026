"""Keeps the HTTP address open, if there is one. That it cannot be had is said, and never stops the sync."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from syncd.addresses import ListenAddress, listen_address
from syncd.window import Listen

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.window import Serve, Window

RETRY_S = 30.0
SOCKET = "page.sock"  # in the state directory, for who owns it

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Listening:
    """Where it listens.

    Args:
        listen: Where it is to; None: nowhere.
        serve: Listens while it is entered; None: nobody does.
    """

    listen: Listen | None
    serve: Serve | None
    fault: str = field(default="", init=False)  # why it does not
    address: str = field(default="", init=False)  # "127.0.0.1:8410", with the real port; "": not now

    def as_json(self) -> dict[str, Any]:
        """Return what status shows of it."""
        return {"address": self.address, "fault": self.fault}

    async def keep(self, window: Window) -> None:
        """Listen until cancelled; where the address is taken, try again from time to time."""
        if self.listen is None or self.serve is None:
            return
        while True:
            try:
                async with self.serve(window, self.listen) as port:
                    self.address, self.fault = str(ListenAddress(self.listen.host, port)), ""
                    log.info("listening", address=self.address)
                    await asyncio.get_running_loop().create_future()
            except OSError as error:
                self._failed(error)
            finally:
                self.address = ""
            await asyncio.sleep(RETRY_S)

    def _failed(self, error: OSError) -> None:
        assert self.listen is not None  # noqa: S101 - see keep
        fault = (
            f"page, health and metrics are not served at {ListenAddress(self.listen.host, self.listen.port)}:"
            f" {os.strerror(error.errno) if error.errno else error}; set another address as service.listen"
        )
        if fault != self.fault:
            log.warning("not_listening", why=fault, retry_in_s=RETRY_S)
        self.fault = fault


def listen_of(settings: Settings) -> Listen | None:
    """Return where to listen; None: nowhere."""
    asked = settings.service
    if not asked.listen:
        return None
    address = listen_address(asked.listen)
    token = asked.listen_token.get_secret_value() if asked.listen_token else ""
    return Listen(
        host=address.host,
        port=address.port,
        token=token,
        socket=asked.state_dir / SOCKET,
    )
