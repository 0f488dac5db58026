"""What those who show a running syncd may see of it, and how they come to see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from syncd.tallies import Tallies


class Window(Protocol):
    """A view of one dataset. Looking changes nothing."""

    @property
    def tallies(self) -> Tallies:
        """What has been counted since the start."""

    async def status(self) -> dict[str, Any]:
        """Return how things stand, with the keys of ``syncd status --json``.

        Raises:
            JournalError: The journal cannot be read.
        """

    def health(self) -> dict[str, Any]:
        """Return ``{"live": …, "ready": …}``, each with ``ok`` and ``checks``, as ``syncd health --json`` prints it."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen, and for whom."""

    host: str
    port: int
    token: str = ""  # what a caller must show to see more than whether all is well; "": nothing, on this machine


Serve = Callable[[Window, Listen], AbstractAsyncContextManager[int]]  # listens while entered; gives the port
