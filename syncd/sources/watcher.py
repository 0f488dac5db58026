"""Hints from Linux's inotify: one queue in the kernel, one thread that reads it, our own map of watches on top.

Built on the reader below watchdog's observers, not on an Observer: that one hands each watch to a thread of its own
and holds moves back for half a second, so that no event seen would prove another one handled.

All watches share one queue, in which events stand in the order in which they happened, and the kernel puts an
event there before the call that causes it (open, write, close, rename, unlink) returns. So once the event of a
*cookie* file has come out, everything that happened before the cookie was made has come out: that is what
:meth:`Watcher.cookie` waits for. Not seen at all are writes through a memory map, through a hard link outside the
folder, and from other machines; the safety rescan finds those.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import threading
from typing import TYPE_CHECKING, Any

from syncd.sources.watch_map import Placed, WatchMap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syncd.sources.hints import Hints

# From <sys/inotify.h>: watchdog's names can be imported on Linux only.
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT = 0x400, 0x800, 0x2000
_ONLYDIR, _EXCL_UNLINK, _ISDIR = 0x01000000, 0x04000000, 0x40000000

_MASK = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
    | _DELETE_SELF | _MOVE_SELF | _ONLYDIR | _EXCL_UNLINK
)  # fmt: skip
_COOKIE_MASK = _CREATE | _ONLYDIR
_LEFT = _MOVED_FROM | _DELETE
_ROOT_GONE = _DELETE_SELF | _MOVE_SELF | _UNMOUNT

_REMEDY = {
    errno.ENOSPC: "the limit of inotify watches is reached; raise it: sysctl fs.inotify.max_user_watches=1048576",
    errno.EMFILE: "the limit of inotify instances is reached; raise it: sysctl fs.inotify.max_user_instances=1024",
}
COOKIE_SECONDS = 5.0  # how long one may stay away before the watcher is taken to be dead
_JOIN_SECONDS = 5.0


class WatchUnavailableError(Exception):
    """Events cannot be had; the text says why and what would help. The way on is polling."""


class Watcher:
    """Watches directories and turns what happens in them into hints.

    Args:
        hints: Where the hints go.
        wanted: Asked in the reader's thread, for each event: is this path worth a hint? Those of directories end with
            "/". Must be quick.
        cookie_dir: A directory of syncd's own, for :meth:`cookie`; None: no cookies.

    Raises:
        WatchUnavailableError: inotify cannot be used.
    """

    def __init__(self, hints: Hints, wanted: Callable[[str], bool], cookie_dir: Path | None = None) -> None:
        self._hints, self._wanted, self._cookie_dir = hints, wanted, cookie_dir
        self._map, self._lock, self._numbers = WatchMap(), threading.Lock(), itertools.count()
        self._cookies: dict[str, Callable[[], object]] = {}
        self._folder, self._own = _Callback(self._on_event, self), _CookieCallback(self._on_cookie, self)
        try:
            self._inotify = _start_reader()
            if cookie_dir is not None:
                self._place(os.fsencode(cookie_dir), _COOKIE_MASK, self._own)
        except OSError as error:
            if hasattr(self, "_inotify"):
                self.close()
            raise _unavailable(error) from error

    def watch(self, directory: str, fd: int) -> None:
        """Watch an open directory: what happens in it from now on is hinted with this path.

        One that is watched already, under this or another path, keeps its watch under this path.

        Args:
            directory: Its path: "" or "a/b/".
            fd: Its descriptor: the watch is on this very directory, wherever its path may lead by now.

        Raises:
            WatchUnavailableError: No further directory can be watched.
        """
        with self._lock:
            try:
                placed = self._place(b"/proc/self/fd/%d" % fd, _MASK, self._folder)
            except OSError as error:
                raise _unavailable(error) from error
            self._remove(self._map.put(directory, placed))

    def watches(self, directory: str) -> bool:
        """Return whether a directory is watched."""
        return directory in self._map

    @property
    def has_cookies(self) -> bool:
        """Return whether there is a place for them."""
        return self._cookie_dir is not None

    async def cookie(self, timeout_s: float) -> bool:
        """Return True once everything that happened before this call is in the hints; False if that stays open."""
        if self._cookie_dir is None or not self._inotify.is_alive():  # dead: no need to wait for what cannot come
            return False
        loop, seen = asyncio.get_running_loop(), asyncio.Event()
        path = self._cookie_dir / f"{os.getpid()}-{id(self):x}-{next(self._numbers)}"
        self._cookies[path.name] = lambda: loop.call_soon_threadsafe(seen.set)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.to_thread(_make_and_remove, path)
                await seen.wait()
        except OSError:  # no time left, or the state directory cannot be written
            return False
        finally:
            del self._cookies[path.name]
        return True

    def close(self) -> None:
        """Stop watching, and wait for the reader's thread; blocks for a moment."""
        self._inotify.stop()
        self._inotify.join(_JOIN_SECONDS)

    def _place(self, path: bytes, mask: int, callback: _Callback) -> Placed:
        number = next(self._numbers)  # a new one each time: the reader warns when one is used twice
        wd = self._inotify.add_callback(path, mask, callback, number)
        if wd == -1:  # the reader says nothing of a directory that may not be read
            self._remove([Placed(wd, number)])
            raise PermissionError(errno.EACCES, "permission denied")
        return Placed(wd, number)

    def _remove(self, watches: list[Placed]) -> None:
        if watches:
            self._inotify.remove_callbacks(watches)

    def _on_event(self, event: Any) -> None:
        mask = event.mask
        with self._lock:
            directory = self._map.path(event.wd)
            if directory is None:
                return
            if not event.name:
                self._of_itself(directory, mask)
                return
            path = directory + os.fsdecode(event.name)
            if mask & _ISDIR and mask & _LEFT:
                self._remove(self._map.drop(path + "/"))
            known = path + "/" in self._map
        if not mask & _ISDIR:
            if self._wanted(path):
                self._hints.add(path)
        elif self._wanted(path + "/"):
            # Changed rights of a directory that is watched: a look at it is enough, a listing costs too much.
            self._hints.add(path, tree=not (mask & _ATTRIB and known))

    def _of_itself(self, directory: str, mask: int) -> None:
        """Deal with an event of a watched directory itself. Its parent's watch tells most of it, but the root has none.

        A root that was deleted or unmounted, and is there again at once, may have the same device and inode: no look
        at it tells that its watches have gone with the former one, so it is all listed, and watched, again.
        """
        if not directory and mask & _ROOT_GONE:
            self._hints.check_root()
        if mask & _UNMOUNT:
            self._hints.lost("a file system was unmounted")
        elif not directory and mask & _DELETE_SELF:
            self._hints.lost("the folder was deleted")

    def _on_cookie(self, event: Any) -> None:
        handled = self._cookies.get(os.fsdecode(event.name))
        if handled is not None:
            handled()

    def gone(self, wd: int) -> None:
        """Forget a watch that the kernel has removed by itself; called in the reader's thread."""
        with self._lock:
            self._map.gone(wd)

    def lost(self, why: str) -> None:
        """Note that events were lost; called in the reader's thread."""
        self._hints.lost(why)


class _Callback:
    """What the reader calls. Whatever is raised in here would end its thread for good, so nothing is."""

    def __init__(self, handle: Callable[[Any], None], watcher: Watcher) -> None:
        self._handle, self._watcher = handle, watcher

    def on_event(self, event: Any) -> None:
        try:
            self._handle(event)
        except Exception as error:  # noqa: BLE001 - see above; the listing that follows makes up for it
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                self._watcher.lost(f"an event could not be handled: {error!r}")

    def on_watch_deleted(self, wd: int) -> None:
        self._watcher.gone(wd)

    def on_queue_overflow(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._watcher.lost("the kernel's queue of events overflowed")


class _CookieCallback(_Callback):
    """The same for cookies."""

    def on_queue_overflow(self) -> None:
        """Say nothing: the reader tells each of the two of an overflow, and it is one loss."""


def _start_reader() -> Any:
    try:
        # Here, since the import fails where there is no inotify; untyped, since its types are for Linux only.
        from watchdog.observers.inotify_c import InotifyFD  # noqa: PLC0415
    except Exception as error:  # its own error class comes from the module that cannot be imported
        raise WatchUnavailableError(f"inotify cannot be used on this system: {error}") from error
    reader = InotifyFD()
    reader.start()
    return reader


def _unavailable(error: OSError) -> WatchUnavailableError:
    return WatchUnavailableError(_REMEDY.get(error.errno or 0, f"inotify cannot be used: {error.strerror}"))


def _make_and_remove(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    path.unlink()
