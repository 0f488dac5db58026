"""A session in a thread of its own: opened at its first use, and anew in a process that was forked off or sent it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from syncd.client.portal import Portal
from syncd.client.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from syncd.config import Settings

T = TypeVar("T")


class Opened:
    """Where the synchronous face does its work; thread-safe, and may be pickled (with its settings, keys included)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._current: tuple[Portal, Session] | None = None
        self._close: Callable[[], object] = _nothing
        self._reset()

    def call(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """Return what a coroutine function returns for the session; raises as :meth:`Portal.call`."""
        portal, session = self._open()
        return portal.call(work(session))

    def iterate(self, items: Callable[[Session], AsyncIterator[T]]) -> Iterator[T]:
        """Yield what an asynchronous generator function yields for the session."""
        portal, session = self._open()
        yield from portal.iterate(items(session))

    def close(self) -> None:
        """Close what is open; another use opens it anew. What other threads call meanwhile ends, and says so."""
        with self._lock:
            close, self._current, self._close = self._close, None, _nothing  # also where closing is interrupted
            close()

    def _open(self) -> tuple[Portal, Session]:
        if self._pid != os.getpid():  # forked: the loop's thread, and whoever held the lock, stayed behind
            self._reset()
        with self._lock:
            if self._current is None:
                portal, session = Portal(), Session(self.settings)
                try:
                    portal.call(session.__aenter__())
                except BaseException:
                    portal.close(session.__aexit__())
                    raise
                self._current = portal, session
                self._close = weakref.finalize(self, _end, portal, session, self._pid)
            return self._current

    def _reset(self) -> None:
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._current, self._close = None, _nothing

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.settings = state["settings"]
        self._reset()


def _nothing() -> None:
    pass


def _end(portal: Portal, session: Session, pid: int) -> None:
    if pid == os.getpid():  # else it is the parent's
        portal.close(session.__aexit__())
