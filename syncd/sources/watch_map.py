"""Which inotify watch stands for which directory. Pure bookkeeping, no system calls, not locked."""

from __future__ import annotations

from typing import NamedTuple


class Placed(NamedTuple):
    """A watch as the reader knows it."""

    wd: int  # the kernel's number for the directory, the same for each path that ever led to it
    number: int  # ours, for one placing of it


class WatchMap:
    """Paths of directories ("" or "a/b/") and their watches, one to one."""

    def __init__(self) -> None:
        self._placed: dict[str, Placed] = {}
        self._path: dict[int, str] = {}
        self._children: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._placed)

    def __contains__(self, directory: str) -> bool:
        return directory in self._placed

    def path(self, wd: int) -> str | None:
        """Return the path a watch stands for, or None."""
        return self._path.get(wd)

    def put(self, directory: str, placed: Placed) -> list[Placed]:
        """Note a watch under its path, and return what it replaces, to be removed.

        The directory may have had another path (it was moved), the path another directory.
        """
        replaced = []
        former_path = self._path.get(placed.wd)
        if former_path is not None:
            replaced.append(self._forget(former_path))
        if directory in self._placed:
            replaced.append(self._forget(directory))
        self._placed[directory], self._path[placed.wd] = placed, directory
        if directory:
            self._children.setdefault(_parent(directory), set()).add(directory)
        return replaced

    def drop(self, directory: str) -> list[Placed]:
        """Forget a directory and all below it; return their watches, to be removed."""
        dropped, stack = [], [directory]
        while stack:
            path = stack.pop()
            stack.extend(self._children.get(path, ()))
            if path in self._placed:
                dropped.append(self._forget(path))
        return dropped

    def gone(self, wd: int) -> None:
        """Forget a watch that the kernel has removed by itself."""
        path = self._path.get(wd)
        if path is not None:
            self._forget(path)

    def _forget(self, directory: str) -> Placed:
        placed = self._placed.pop(directory)
        del self._path[placed.wd]
        if directory:
            siblings = self._children[_parent(directory)]
            siblings.discard(directory)
            if not siblings:
                del self._children[_parent(directory)]
        return placed


def _parent(directory: str) -> str:
    above, slash, _ = directory[:-1].rpartition("/")
    return above + slash
