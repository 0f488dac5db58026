"""Looking at single paths of the folder, and comparing them with what is known. Blocks; for threads.

Nothing is concluded from a root that is lost or empty. That a path is absent is always an ``lstat`` at this moment,
in a directory reached from the root without a symlink.
"""

from __future__ import annotations

import itertools
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncd.errors import SourceUnavailableError
from syncd.model import IMAGES
from syncd.sources import tree
from syncd.sources.file_systems import ground_of
from syncd.sources.judge import not_mounted, unreadable
from syncd.sources.sight import Sight
from syncd.sources.temporary_names import IGNORE_FILE

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Collection, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from syncd.sources.base import Inventory
    from syncd.sources.file_systems import Ground
    from syncd.sources.judge import Judge
    from syncd.sources.watcher import Watcher


class SourceEmptyError(SourceUnavailableError):
    """The folder holds no file that would be synced, though files of it are known."""


@dataclass(kw_only=True)
class Looker:
    """One root, and what it is compared with."""

    root: Path
    identity: tree.Identity  # what the root must be
    inventory: Inventory
    judge: Judge  # replaced when .syncdignore changes
    stopped: threading.Event
    watcher: Watcher | None = None  # each directory that is listed is watched before
    mounted: set[str] = field(default_factory=set)  # directories below the root on which something was ever mounted
    _witness: str = field(default="", init=False)  # a file that was there the last time

    def opened(self) -> AbstractContextManager[int]:
        """Open the root for one piece of work; raises SourceUnavailableError if it is not what it was."""
        return tree.open_root(self.root, self.identity)

    def check_root(self) -> None:
        """Raise SourceUnavailableError if the root is not what it was."""
        with self.opened():
            pass

    def watch_root(self) -> None:
        """Watch the root itself, if there is a watcher.

        Raises:
            SourceUnavailableError: The root is lost.
            WatchUnavailableError: It could not be watched.
        """
        with self.opened() as root_fd:
            if self.watcher is not None:
                self.watcher.watch("", root_fd)

    def wanted(self, path: str) -> bool:
        """Return whether an event of a path may matter, by the rules of the moment; see ``Rules.wanted``."""
        return self.judge.rules.wanted(path)

    def look(self, paths: Mapping[str, bool], suspects: Collection[str] = ()) -> Sight:
        """Look at paths, each with whether everything below it is in question, too.

        Args:
            paths: What to look at.
            suspects: Those of them to read again even if they look as known.

        Raises:
            SourceUnavailableError: The root is lost or empty.
        """
        look = _Look(self, Sight(), suspects)
        with self.opened() as root_fd:
            for directory, group in itertools.groupby(sorted(paths), key=tree.directory_of):
                try:
                    with tree.open_beneath(root_fd, directory) as fd:
                        for path in group:
                            look.at(fd, path, everything=paths[path])
                except OSError as error:
                    look.sight.faults.append(unreadable(directory.removesuffix("/"), error))
                    look.sight.unread.append(directory)
            look.compare()
            self.confirm_absences(root_fd, look.sight)
        return look.sight

    def gone_below(self, directory: str, most: int) -> list[str] | None:
        """Return up to ``most`` live paths below a directory that is gone; None unless it still is.

        Raises:
            SourceUnavailableError: The root is lost or empty.
        """
        with self.opened() as root_fd:
            if self.is_there(root_fd, directory) is not False:
                return None
            keys = itertools.islice(self.inventory.known_below(IMAGES + directory), most)
            sight = Sight(absent=[key.removeprefix(IMAGES) for key in keys])
            self.confirm_absences(root_fd, sight)
            return sight.absent

    def is_there(self, root_fd: int, directory: str) -> bool | None:
        """Return whether there is such a directory that the rules let in; None where that cannot be told."""
        if not self.judge.rules.enters(directory):
            return False
        try:
            with tree.open_beneath(root_fd, directory) as fd:
                return fd is not None
        except OSError:
            return None

    def confirm_absences(self, root_fd: int, sight: Sight) -> None:
        """Take out of a sight what only seems absent, since what was mounted there is not any more.

        Raises:
            SourceEmptyError: Something seems absent, and nothing at all is there.
        """
        if not sight.absent and not sight.gone:
            return
        if not self.holds_something(root_fd):
            raise empty_error(self.root)
        away = self._unmounted(root_fd)  # asked after the look, so that no look can be ahead of the answer
        for directory in away:
            if any(path.startswith(directory) for path in (*sight.absent, *sight.gone)):
                sight.faults.append(not_mounted(directory))
                sight.unread.append(directory)
        if away:
            sight.quiet.extend(path for path in sight.absent if path.startswith(away))
            sight.absent = [path for path in sight.absent if not path.startswith(away)]
            sight.gone = [directory for directory in sight.gone if not directory.startswith(away)]

    def _unmounted(self, root_fd: int) -> tuple[str, ...]:
        """Return the directories on which something was mounted before; without those that are gone themselves."""
        if not self.mounted:
            return ()
        missing = sorted(self.mounted.difference(ground_of(root_fd).below))
        return tuple(directory for directory in missing if self.is_there(root_fd, directory))

    def ground(self) -> Ground:
        """Return what the root lies on, and what is mounted on directories below it that the rules let in."""
        with self.opened() as root_fd:
            ground = ground_of(root_fd)
        below = {directory: kind for directory, kind in ground.below.items() if self.judge.rules.enters(directory)}
        return replace(ground, below=below)

    def holds_something(self, root_fd: int) -> bool:
        """Return whether there is at least one file that would be synced; the one found last is tried first."""
        if not (self._witness and self._is_kept(root_fd, self._witness)):
            self._witness = next(self._kept_files(root_fd), "")
        return bool(self._witness)

    def _is_kept(self, root_fd: int, path: str) -> bool:
        try:
            with tree.open_beneath(root_fd, tree.directory_of(path)) as fd:
                status = tree.status_of(fd, tree.name_of(path)) if fd is not None else None
        except OSError:
            return False
        return tree.is_file(status) and self.judge.rules.concerns(path)

    def _kept_files(self, root_fd: int) -> Iterator[str]:
        rules, stack = self.judge.rules, [""]
        while stack and not self.stopped.is_set():
            directory = stack.pop()
            try:
                with tree.open_beneath(root_fd, directory) as fd:
                    listing = tree.list_directory(fd) if fd is not None else tree.NOTHING
            except OSError:
                continue
            yield from (directory + name for name in listing.files if rules.keeps(directory + name))
            below = (f"{directory}{name}/" for name in listing.directories)
            stack.extend(path for path in below if rules.enters(path))


@dataclass(slots=True)
class _Look:
    """One look at some paths, gathering what must be compared so that the inventory is asked once."""

    looker: Looker
    sight: Sight
    suspects: Collection[str]
    present: dict[str, os.stat_result] = field(default_factory=dict)  # regular files with a sound key
    missing: list[str] = field(default_factory=list)  # no such file, but its key could be live

    def at(self, fd: int | None, path: str, *, everything: bool) -> None:
        """Look at one path in its directory (None: there is none)."""
        judge = self.looker.judge
        self.sight.rules_changed |= path == IGNORE_FILE
        try:
            status = tree.status_of(fd, tree.name_of(path)) if fd is not None else None
        except OSError as error:
            self.sight.faults.append(unreadable(path, error))
            return
        if fd is not None and status is not None and stat.S_ISDIR(status.st_mode):
            self._into(fd, path, everything=everything)
        elif everything:
            self._nothing_below(path)
        fault = judge.of_name(path)
        if tree.is_file(status) and judge.rules.concerns(path):
            if fault:
                self.sight.faults.append(fault)
            elif status is not None:
                self.present[path] = status
            return
        if not fault:
            self.missing.append(path)
        oddity = judge.of_oddity(fd, path, status) if fd is not None and status is not None else None
        if oddity:
            self.sight.faults.append(oddity)
        else:
            self.sight.quiet.append(path)

    def _into(self, fd: int, path: str, *, everything: bool) -> None:
        if not self.looker.judge.rules.enters(path + "/"):
            return
        fault = self.looker.judge.of_directory_name(path + "/")
        if fault:
            self.sight.faults.append(fault)
        elif everything:
            self.sight.trees.append(path + "/")
        else:
            self._still_listable(fd, path)

    def _still_listable(self, fd: int, path: str) -> None:
        """Look at a directory whose rights have changed: its files make no events of that."""
        try:
            tree.confirm_listable(fd, tree.name_of(path))
        except FileNotFoundError:
            return  # it has gone meanwhile, and that is another hint
        except OSError as error:
            self.sight.faults.append(unreadable(path, error))
        else:
            self.sight.entered.append(path + "/")

    def _nothing_below(self, path: str) -> None:
        self.sight.vanished.append(path + "/")
        if self.looker.judge.of_directory_name(path + "/") is None:
            known = self.looker.inventory.known_below(f"{IMAGES}{path}/")
            if next(iter(known), None) is not None:
                self.sight.gone.append(path + "/")

    def compare(self) -> None:
        """Sort what was gathered into the sight."""
        keys = [IMAGES + path for path in itertools.chain(self.present, self.missing)]
        known = self.looker.inventory.known(keys) if keys else {}
        for path, status in self.present.items():
            last = None if path in self.suspects else known.get(IMAGES + path)
            self.looker.judge.of_file(path, status, last, self.sight)
        self.sight.absent.extend(path for path in self.missing if IMAGES + path in known)


def empty_error(root: Path) -> SourceEmptyError:
    """Return the error of a root with no file to sync, though some are known."""
    return SourceEmptyError(
        f"the folder {root} is empty",
        cause="an unmounted or half-copied source looks like this, so nothing is deleted",
        next_step="bring the files back; syncd goes on by itself as soon as there is one",
    )
