"""Listing a directory with all below it, in pieces, and comparing it with what is known. Blocks; for threads.

A directory is watched first and listed afterwards, so that whatever is put into it is seen by one of the two. Its
names are held in memory, those of one directory at a time; of a million files only the names, and of those that
must be read the status, a piece at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from syncd.errors import SourceUnavailableError
from syncd.fingerprint import listing_digest
from syncd.model import IMAGES, Agreed
from syncd.sources import tree
from syncd.sources.judge import unreadable
from syncd.sources.sight import Sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.model import Signature
    from syncd.sources.looker import Looker

PIECE_FILES = 2_000
PIECE_SECONDS = 0.2


class Walk:
    """One listing of a directory ("" or "a/b/") and everything below it."""

    def __init__(self, looker: Looker, directory: str) -> None:
        self.directory = directory
        self._looker = looker
        self._stack = [directory]
        self._here, self._to_read = directory, list[str]()  # names in one directory, last one first
        self._listed: set[str] = set()  # the directories looked at, so that the end finds those it has missed
        self._ended = False
        self._salt = b""  # of the rules in force during a piece

    def add(self, directory: str) -> None:
        """List a directory as well, with all below it; also after the end."""
        self._stack.append(directory)
        self._ended = False

    def advance(self) -> Sight | None:
        """Look at the next piece; None when everything has been looked at.

        Raises:
            SourceUnavailableError: The root is lost or empty.
            WatchUnavailableError: A directory could not be watched.
        """
        if self._ended:
            return None
        sight, started = Sight(), time.monotonic()
        self._salt = self._looker.judge.salt
        with self._looker.opened() as root_fd:
            while not self._looker.stopped.is_set():
                if self._to_read:
                    self._give_out(root_fd, sight)
                elif self._stack:
                    self._compare(root_fd, self._stack.pop(), sight)
                elif self._find_gone(root_fd, sight):
                    self._ended = True
                    break
                if len(sight.changed) >= PIECE_FILES or time.monotonic() - started > PIECE_SECONDS:
                    break
            self._looker.confirm_absences(root_fd, sight)
        return sight

    def _compare(self, root_fd: int, directory: str, sight: Sight) -> None:
        """List one directory; keep the names that must be read, and put the rest into the sight."""
        try:
            with tree.open_beneath(root_fd, directory) as fd:
                if fd is None:  # it has gone meanwhile; the end of the walk, or a hint, deals with that
                    return
                self._listed.add(directory)
                if self._looker.watcher is not None:
                    self._looker.watcher.watch(directory, fd)
                listing = tree.list_directory(fd, most_rows=tree.MOST_ROWS)
                self._here, self._to_read = directory, list[str]()
                digest = self._digest(listing)
                if digest is None or self._looker.inventory.listed_as(IMAGES + directory) != digest:
                    self._compare_files(fd, directory, listing, digest, sight)
        except OSError as error:
            if not directory:
                raise SourceUnavailableError(f"the folder {self._looker.root} cannot be listed: {error}") from error
            self._listed.add(directory)
            sight.faults.append(unreadable(directory[:-1], error))
            sight.unread.append(directory)
            return
        for name in sorted(listing.directories, reverse=True):
            self._descend(f"{directory}{name}/", sight)

    def _digest(self, listing: tree.Listing) -> bytes | None:
        """Return what stands for the files of a directory and the rules; None where each is to be looked at.

        None, too, where there is no file: that is looked at as quickly, and would be remembered for good, as what is
        remembered of a directory goes with its files.
        """
        if not listing.rows or listing.symlinks or listing.others:
            return None
        listing.rows.sort()
        return listing_digest(listing.rows, self._salt)

    def _compare_files(
        self, fd: int, directory: str, listing: tree.Listing, digest: bytes | None, sight: Sight
    ) -> None:
        self._name_oddities(fd, directory, listing, sight)
        absent = len(sight.absent)
        self._to_read = self._differing(fd, directory, listing, sight)
        if digest is not None and listing.rows is not None and not self._to_read and len(sight.absent) == absent:
            keeps = self._looker.judge.rules.keeps
            kept = listing_digest([row for row in listing.rows if keeps(directory + row[0])])
            sight.agreed.append(Agreed(IMAGES + directory, digest, kept))

    def _descend(self, directory: str, sight: Sight) -> None:
        if self._looker.judge.rules.enters(directory):
            fault = self._looker.judge.of_directory_name(directory)
            if fault:
                sight.faults.append(fault)
            else:
                self._stack.append(directory)

    def _name_oddities(self, fd: int, directory: str, listing: tree.Listing, sight: Sight) -> None:
        for name in (*listing.symlinks, *listing.others):
            status = tree.status_of(fd, name)
            fault = self._looker.judge.of_oddity(fd, directory + name, status) if status is not None else None
            if fault:
                sight.faults.append(fault)

    def _differing(self, fd: int, directory: str, listing: tree.Listing, sight: Sight) -> list[str]:
        """Compare sorted names with sorted known names; return those to read, add to the sight those absent."""
        keeps = self._looker.judge.rules.keeps
        names = sorted(name for name in listing.files if keeps(directory + name))
        shown = {name: (mtime, ctime, size, inode) for name, mtime, ctime, size, inode in listing.rows or ()}
        known = _Known(self._looker.inventory.known_in(IMAGES + directory))
        differing: list[str] = []
        for name in names:
            for missing in known.before(name):
                self._confirm_absent(fd, directory, missing, differing, sight)
            signature = known.of(name)
            if signature is None or _differs(fd, name, signature, shown.get(name)):
                differing.append(name)
        for missing in known.before(None):
            self._confirm_absent(fd, directory, missing, differing, sight)
        differing.reverse()
        return differing

    def _confirm_absent(self, fd: int, directory: str, name: str, differing: list[str], sight: Sight) -> None:
        path = directory + name
        if self._looker.judge.rules.concerns(path) and tree.is_file(tree.status_of(fd, name)):
            differing.append(name)  # it came after the listing
        else:
            sight.absent.append(path)

    def _give_out(self, root_fd: int, sight: Sight) -> None:
        try:
            with tree.open_beneath(root_fd, self._here) as fd:
                if fd is None:
                    self._to_read.clear()
                    self._listed.discard(self._here)  # the end of the walk finds what of it is known, and gone
                while self._to_read and fd is not None and len(sight.changed) < PIECE_FILES:
                    self._give_out_one(fd, self._here + self._to_read.pop(), sight)
        except OSError as error:
            self._to_read.clear()
            sight.faults.append(unreadable(self._here.removesuffix("/"), error))
            sight.unread.append(self._here)

    def _give_out_one(self, fd: int, path: str, sight: Sight) -> None:
        fault = self._looker.judge.of_name(path)
        if fault:
            sight.faults.append(fault)
            return
        status = tree.status_of(fd, tree.name_of(path))
        if status is not None and tree.is_file(status):
            self._looker.judge.of_file(path, status, None, sight)
        elif self._looker.inventory.known([IMAGES + path]):  # it was another one when its directory was compared
            sight.absent.append(path)

    def _find_gone(self, root_fd: int, sight: Sight) -> bool:
        """Find the known directories that are not there any more, or not looked into any more.

        One that is there and was not listed came back after its parent was: it is listed now. Return whether there
        was none of these.
        """
        for known in self._looker.inventory.known_directories(IMAGES + self.directory):
            directory = known.removeprefix(IMAGES)
            if directory in self._listed or directory == "":
                continue
            there = self._looker.is_there(root_fd, directory)
            if there:
                self._stack.append(directory)
            elif there is False:  # not None: what cannot be told has been named
                sight.gone.append(directory)
        return not self._stack


class _Known:
    """A sorted stream of known names, read beside a sorted list of names."""

    def __init__(self, stream: Iterator[tuple[str, Signature]]) -> None:
        self._stream = stream
        self._next = next(stream, None)

    def before(self, name: str | None) -> Iterator[str]:
        """Pass, and yield, the known names before this one; None: all that are left."""
        while self._next is not None and (name is None or self._next[0] < name):
            yield self._next[0]
            self._next = next(self._stream, None)

    def of(self, name: str) -> Signature | None:
        """Return what is known of this name, and pass it."""
        if self._next is None or self._next[0] != name:
            return None
        signature = self._next[1]
        self._next = next(self._stream, None)
        return signature


def _differs(fd: int, name: str, known: Signature, shown: tuple[int, int, int, int] | None) -> bool:
    """Compare without making a signature, as this runs for each file; ``shown`` is its status where that is known."""
    if shown is None:
        status = tree.status_of(fd, name)
        if status is None or not tree.is_file(status):
            return True
        shown = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
    return shown != (known.mtime_ns, known.ctime_ns, known.size_bytes, known.inode)
