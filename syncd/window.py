"""What those who show a dataset may see of it, and how they come to see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.store.base import ObjectReader, VersionStore
    from syncd.store.pins import PinStore
    from syncd.tallies import Tallies

T = TypeVar("T")


class ReadJournal(Protocol):
    """Runs a read function of the journal's, in a thread, as of one moment."""

    async def __call__(self, query: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Return what it returns.

        Raises:
            JournalError: The journal cannot be read.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where snapshots are read from."""

    read: ReadJournal  # knows the snapshots that were made
    versions: VersionStore
    pins: PinStore
    objects: Callable[[str], AbstractAsyncContextManager[ObjectReader]]  # of a commit
    repository: str
    publish_branch: str
    prefix: str  # in front of every key of syncd's
    pictures: Path  # a file for those that were made


class Actions(Protocol):
    """What may be asked of a running syncd. Every answer has the keys of the command of that name.

    Raises:
        SyncdError: It cannot be done.
    """

    async def snapshot(self, reason: str) -> dict[str, Any]:
        """Have a snapshot taken of what is there now."""

    async def held(self) -> dict[str, Any]:
        """Return what waits for a person: "images", "tables", "branch"."""

    async def answer(self, shown: dict[str, Any], *, discard: bool) -> dict[str, Any]:
        """Approve or discard what was shown of :meth:`held`, and nothing that came later."""

    async def pin(self, reference: str, reason: str) -> dict[str, Any]:
        """Keep a snapshot whatever the keep rules say."""

    async def rescan(self) -> dict[str, Any]:
        """Have every source listed anew."""


class Window(Protocol):
    """A view of one dataset. Looking changes nothing."""

    @property
    def tallies(self) -> Tallies:
        """What has been counted since the start."""

    @property
    def shelf(self) -> Shelf:
        """Where snapshots are read from."""

    @property
    def actions(self) -> Actions | None:
        """What may be asked of it; None: it only shows."""

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
    socket: Path | None = None  # a socket beside it, for this user alone


Serve = Callable[[Window, Listen], AbstractAsyncContextManager[int]]  # listens while entered; gives the port
