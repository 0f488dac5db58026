"""The folder that a snapshot is pulled into: built beside its old state, and switched in one step.

Who reads the folder meanwhile sees the one snapshot or the other, never some of both. What syncd did not put there is
never lost: a folder with such files is refused, unless they are to go; and what comes to be there while a pull is at
work is kept under another name, also by the next pull if this one is killed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import json
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from syncd.errors import SyncdError, UsageError
from syncd.snapshots.manifest import OWN_DIRECTORY
from syncd.snapshots.pulled_folder import description_of, manifest_of, strange_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from syncd.snapshots.pulled_folder import Strange

_AT_FDCWD = -100  # source: linux/fcntl.h
_RENAME_EXCHANGE = 2  # source: linux/fs.h
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}  # of file systems that cannot swap two names
MOST_NAMED = 10


class TargetError(SyncdError):
    """The folder cannot be pulled into as it is."""


class Target:
    """A folder to pull into. Its methods block: they are for threads.

    Args:
        folder: It need not exist; its parent must.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.building = self._beside("new")
        self._aside = self._beside("old")
        self._switched = False

    @property
    def manifest(self) -> Path:
        """Of the folder that is being built."""
        return manifest_of(self.building)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other pulls into the same folder out, whichever cache, machine or user they come from.

        Raises:
            TargetError: One is under way.
            UsageError: There is no place for the folder.
        """
        if not self.folder.parent.is_dir():
            raise UsageError(f"{self.folder.parent} is no folder", next_step=f"mkdir -p {self.folder.parent}")
        path = self._beside("lock")
        number = self._lock(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # before it is let go: nobody else's can be removed
            os.close(number)

    def _lock(self, path: Path) -> int:
        while True:
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(number, path):
                    return number
            except BlockingIOError as error:
                os.close(number)
                raise TargetError(
                    f"another pull into {self.folder} is under way",
                    next_step="wait for it, or pull into another folder",
                ) from error
            except BaseException:
                os.close(number)
                raise
            os.close(number)  # whoever had it has just ended, and removed it

    def require_ours(self, *, delete: bool) -> None:
        """Check that nothing is lost if the folder is replaced.

        Args:
            delete: What is not as it was pulled may go.

        Raises:
            TargetError: It holds what syncd did not put there.
            UsageError: It is no folder, or not one that syncd made.
        """
        if not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir())):
            return
        if not manifest_of(self.folder).is_file():
            raise UsageError(
                f"{self.folder} is there, and is neither empty nor a folder that a pull made",
                next_step="name a folder that does not exist yet, or an empty one",
            )
        if delete:
            return
        strange = list(_first(self.folder))
        if strange:
            named = "; ".join(f"{one.path!r}: {one.why}" for one in strange[:MOST_NAMED])
            more = "; and more" if len(strange) > MOST_NAMED else ""
            raise TargetError(
                f"{self.folder} is not as it was pulled: {named}{more}",
                cause="someone wrote to it",
                next_step="put these files elsewhere, or pull with --delete to lose them",
            )

    def recover(self) -> list[Path]:
        """Deal with what a killed pull left; return where that was kept which someone had written.

        It may have been killed just after the folders were switched, so that what it left is the folder's old state.
        """
        if os.path.lexists(self._aside) and not os.path.lexists(self.folder):
            os.rename(self._aside, self.folder)  # noqa: PTH104 - as its neighbours
        left = (one for one in (self._aside, self.building) if os.path.lexists(one))
        return [kept for one in left if (kept := self._keep_or_remove(one, delete=False))]

    def begin(self) -> None:
        """Make the place to build in."""
        self.manifest.parent.mkdir(parents=True)
        self.manifest.touch()

    def about(self, told: Mapping[str, Any]) -> None:
        """All is built: write down which snapshot it is, for those who read the folder."""
        text = json.dumps(dict(told), indent=2, ensure_ascii=False) + "\n"
        description_of(self.building).write_text(text, encoding="utf-8")
        os.utime(self.manifest)  # what is written to the folder from here on is newer

    def switch(self, *, delete: bool) -> Path | None:
        """Put what was built in the folder's place; return where the old state was kept, if someone wrote to it lately.

        Args:
            delete: What is in a pulled folder and not as it was pulled may go.

        Raises:
            TargetError: The folder cannot be replaced.
        """
        try:
            if os.path.lexists(self.folder):
                _exchange(self.building, self.folder, self._aside)
            else:
                os.rename(self.building, self.folder)  # noqa: PTH104
        except OSError as error:
            raise TargetError(
                f"{self.folder} cannot be replaced: {error.strerror}",
                cause="it is a mount point, or its parent may not be written to",
                next_step=f"pull into a folder below it: {self.folder / 'data'}",
            ) from error
        self._switched = True  # what is in the building's place now is not ours to throw away
        return self._keep_or_remove(self.building, delete=delete) if os.path.lexists(self.building) else None

    def discard(self) -> None:
        """Remove what was built, unless it has taken the folder's place."""
        if not self._switched:
            _remove(self.building)

    def _keep_or_remove(self, old: Path, *, delete: bool) -> Path | None:
        """Remove an old state of the folder, or something half built; return where it went if someone wrote to it."""
        if _may_go(old, delete=delete):
            _remove(old)
            return None
        for number in itertools.count(1):
            kept = self.folder.with_name(f"{self.folder.name}.before-{number}")
            if not os.path.lexists(kept):
                os.rename(old, kept)  # noqa: PTH104
                return kept
        raise AssertionError("numbers do not end")

    def _beside(self, what: str) -> Path:
        return self.folder.with_name(f".{self.folder.name}.syncd-{what}")


def _may_go(old: Path, *, delete: bool) -> bool:
    """Tell whether nobody has written to what a pull puts away."""
    try:
        if not (old / OWN_DIRECTORY).is_dir():
            return not any(old.iterdir())  # it was empty, or not there, when the pull began
        return delete or not description_of(old).is_file() or not any(_first(old))
    except OSError:
        return False  # it cannot be told


def _remove(folder: Path) -> None:
    """Remove a folder; what tells that a pull made it goes last, should this be killed."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != OWN_DIRECTORY:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _first(folder: Path) -> Iterator[Strange]:
    """Yield what is not as it was pulled, one more than is named at the most."""
    yield from itertools.islice(strange_in(folder), MOST_NAMED + 1)


def _is_at(number: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.stat(path, follow_symlinks=False))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _exchange(one: Path, other: Path, aside: Path) -> None:
    """Swap two folders in one step; where the file system cannot, in two, by way of a third name that is free."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    failed = ctypes.get_errno()
    if failed not in _NO_EXCHANGE:
        raise OSError(failed, os.strerror(failed), str(other))
    os.rename(other, aside)  # noqa: PTH104
    os.rename(one, other)  # noqa: PTH104
    os.rename(aside, one)  # noqa: PTH104
