"""Where something listens on this machine: "127.0.0.1:8410", "[::1]:8410", "localhost:0". Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_LAST_PORT = 65_535
_PORT = re.compile("[0-9]{1,5}")


class ListenAddress(NamedTuple):
    """A host and a port of this machine."""

    host: str  # "127.0.0.1", "::1" or "localhost"
    port: int  # 0: any free one

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """Return what a text names.

    Raises:
        ValueError: It is no such address; the text says what one looks like.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        raise ValueError('must be HOST:PORT, such as "127.0.0.1:8410"')
    bare = host.removeprefix("[").removesuffix("]")
    if host != "localhost" and not _is_ip(host, bare):
        raise ValueError('must begin with localhost or an IP address, such as 127.0.0.1, [::1] or "0.0.0.0"')
    return ListenAddress(bare, int(port))


def _is_ip(host: str, bare: str) -> bool:
    """Return whether it is an address, with brackets around one of IPv6 and around nothing else."""
    if host != (f"[{bare}]" if ":" in bare else bare):
        return False
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True
