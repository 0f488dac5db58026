"""The folder that a snapshot is pulled into: built beside its old state, and switched in one step.

Who reads the folder meanwhile sees the one snapshot or the other, never some of both. What syncd did not put there is
never lost: a folder with such files is refused, unless they are to go.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.errors import SyncdError, UsageError
from syncd.snapshots import manifest
from syncd.snapshots.manifest import OWN_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AT_FDCWD = -100  # source: linux/fcntl.h
_RENAME_EXCHANGE = 2  # source: linux/fs.h
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}  # of file systems that cannot swap two names
MOST_NAMED = 10


class TargetError(SyncdError):
    """The folder cannot be pulled into as it is."""


@dataclass(frozen=True, slots=True)
class Strange:
    """A file in a pulled folder that is not as it was pulled."""

    path: str
    why: str


class Target:
    """A folder to pull into. Its methods block: they are for threads.

    Args:
        folder: It need not exist; its parent must.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.building = self.folder.parent / f".{self.folder.name}.syncd-new"
        self._manifest = self.building / OWN_DIRECTORY / "manifest"

    @property
    def manifest(self) -> Path:
        """Of the folder that is being built."""
        return self._manifest

    @contextmanager
    def locked(self, locks: Path) -> Iterator[None]:
        """Keep other pulls into the same folder out.

        Raises:
            TargetError: One is under way.
        """
        locks.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()
        number = os.open(locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise TargetError(
                f"another pull into {self.folder} is under way", next_step="wait for it, or pull into another folder"
            ) from error
        finally:
            os.close(number)

    def require_ours(self, *, delete: bool) -> None:
        """Check that nothing is lost if the folder is replaced.

        Args:
            delete: What is not as it was pulled may go.

        Raises:
            TargetError: It holds what syncd did not put there.
            UsageError: It is no folder, or not one that syncd made.
        """
        if not self.folder.parent.is_dir():
            raise UsageError(f"{self.folder.parent} is no folder", next_step=f"mkdir -p {self.folder.parent}")
        if not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir())):
            return
        if not (self.folder / OWN_DIRECTORY / "manifest").is_file():
            raise UsageError(
                f"{self.folder} is there, and is neither empty nor a folder that a pull made",
                next_step="name a folder that does not exist yet, or an empty one",
            )
        if delete:
            return
        strange = list(self._first(self.folder))
        if strange:
            named = "; ".join(f"{one.path!r}: {one.why}" for one in strange[:MOST_NAMED])
            more = "; and more" if len(strange) > MOST_NAMED else ""
            raise TargetError(
                f"{self.folder} is not as it was pulled: {named}{more}",
                cause="someone wrote to it",
                next_step="put these files elsewhere, or pull with --delete to lose them",
            )

    def begin(self) -> None:
        """Make the place to build in; what a killed pull left there goes."""
        shutil.rmtree(self.building, ignore_errors=True)
        self._manifest.parent.mkdir(parents=True)

    def about(self, told: Mapping[str, Any]) -> None:
        """All is built: write down which snapshot it is, for those who read the folder."""
        text = json.dumps(dict(told), indent=2, ensure_ascii=False) + "\n"
        (self.building / OWN_DIRECTORY / "snapshot.json").write_text(text, encoding="utf-8")
        os.utime(self._manifest)  # what is written to the folder from here on is newer

    def switch(self, *, delete: bool) -> Path | None:
        """Put what was built in the folder's place; return where the old state was kept, if someone wrote to it lately.

        Raises:
            TargetError: The folder cannot be replaced.
        """
        if not self.folder.exists():
            os.replace(self.building, self.folder)  # noqa: PTH105 - as its neighbours
            return None
        try:
            _exchange(self.building, self.folder)
        except OSError as error:
            raise TargetError(
                f"{self.folder} cannot be replaced: {error.strerror}",
                cause="it is a mount point, or its parent may not be written to",
                next_step=f"pull into a folder below it: {self.folder / 'data'}",
            ) from error
        old = self.building
        if not delete and (old / OWN_DIRECTORY).is_dir() and any(self._first(old)):
            kept = self.folder.parent / f"{self.folder.name}.before-{os.getpid()}"
            os.rename(old, kept)  # noqa: PTH104
            return kept
        shutil.rmtree(old, ignore_errors=True)
        return None

    def discard(self) -> None:
        """Remove what was built so far."""
        shutil.rmtree(self.building, ignore_errors=True)

    def _first(self, folder: Path) -> Iterator[Strange]:
        """Yield what is not as it was pulled, a few more than are named at the most."""
        for number, one in enumerate(strange_in(folder)):
            yield one
            if number > MOST_NAMED:
                return


def strange_in(folder: Path) -> Iterator[Strange]:
    """Yield the files of a pulled folder that are not as they were pulled; both are walked once, in order."""
    pulled_at_ns = (folder / OWN_DIRECTORY / "manifest").stat().st_mtime_ns
    known = manifest.read(folder / OWN_DIRECTORY / "manifest")
    entry = next(known, None)
    for path, found in _walk(folder, ""):
        while entry is not None and os.fsencode(entry.path) < os.fsencode(path):
            entry = next(known, None)  # deleted there: nothing is lost
        if entry is None or entry.path != path:
            yield Strange(path, "no snapshot brought it")
        elif not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes or found.st_mtime_ns > pulled_at_ns:
            yield Strange(path, "it was changed after it was pulled")


def _walk(folder: Path, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything but folders, in the order of the keys; memory follows the largest folder."""
    entries = [
        (f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name, entry) for entry in os.scandir(folder)
    ]
    for name, entry in sorted(entries, key=lambda one: os.fsencode(one[0])):
        if not below and name == f"{OWN_DIRECTORY}/":
            continue
        if name.endswith("/"):
            yield from _walk(Path(entry.path), below + name)
        else:
            yield below + name, entry.stat(follow_symlinks=False)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step; where the file system cannot, in two."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    failed = ctypes.get_errno()
    if failed not in _NO_EXCHANGE:
        raise OSError(failed, os.strerror(failed), str(other))
    aside = one.with_name(one.name + "-old")
    with suppress(FileNotFoundError):
        shutil.rmtree(aside)
    os.rename(other, aside)  # noqa: PTH104
    os.rename(one, other)  # noqa: PTH104
    os.rename(aside, one)  # noqa: PTH104
