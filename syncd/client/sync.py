"""Snapshots from ordinary code, in any thread, beside a running event loop, and in data-loader workers.

Everything is done in an event loop in a thread of its own. Objects of this module may be used in several threads, in a
process that was forked off, and may be pickled: the other process opens what it needs by itself.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from syncd.client import reading
from syncd.client.diff import DiffFacts
from syncd.client.facts import ImageFacts, SnapshotFacts
from syncd.client.opened import Opened
from syncd.client.place import settings_of
from syncd.client.reading import PullOptions
from syncd.client.taking import TakeOptions, take
from syncd.snapshots.reference import LATEST

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AsyncExitStack
    from datetime import datetime

    import pyarrow as pa

    from syncd.client.session import Session
    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.file_changes import Change
    from syncd.snapshots.pull import Pulled
    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.row_changes import RowChange
    from syncd.snapshots.table_objects import TableInfo
    from syncd.store.base import ObjectInfo


def connect(config: str | os.PathLike[str] | None = None, **lakefs: Any) -> Connection:
    """Connect to a repository, and to the daemon that publishes to it.

    Args:
        config: The daemon's configuration file; None: where every command looks for it. Without one, lakeFS is found
            as every lakeFS client finds it (``LAKECTL_*``, ``~/.lakectl.yaml``).
        lakefs: Keys of its section ``[lakefs]``, which come before the file's: ``repository``, ``endpoint``,
            ``access_key_id``, ``secret_access_key``, ``ca_file``, ``publish_branch``, ``prefix`` …

    Raises:
        ConfigError: Something is wrong; it lists all that is.
        UsageError: No server is named anywhere.
    """
    return Connection(Opened(settings_of(config, **lakefs)))


def open(  # noqa: A001 - it is called as syncd.open
    repository: str | None = None,
    ref: str = LATEST,
    *,
    at: str | datetime | None = None,
    config: str | os.PathLike[str] | None = None,
    **lakefs: Any,
) -> Snapshot:
    """Return a snapshot, to be read; no daemon is needed.

    Args:
        repository: Its name; None: the configured one.
        ref: A tag, a commit id or its beginning, a branch, or "latest".
        at: Instead of a name: the newest snapshot there was at a time, "2026-11-01" or "2026-11-01T13:30:00+01:00"
            or a ``datetime``, in UTC unless it says.
        config: As for :func:`connect`.
        lakefs: As for :func:`connect`.

    Raises:
        ConfigError: Something is wrong; it lists all that is.
        UnknownSnapshotError: There is none of this name; it says which are called similarly.
        StoreError: lakeFS does not answer or refuses.
    """
    return connect(config, repository=repository, **lakefs).open(ref, at=at)


class _Closing:
    """What may be closed, or used as ``with``; another use opens it anew."""

    _opened: Opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; another use opens it anew.

        Calls that are under way in other threads end, with a ``ConnectionClosedError``; what was to be left as it was,
        as the folder of a pull, is. That is waited for, but not for long.
        """
        self._opened.close()


class Connection(_Closing):
    """A repository, and the daemon that publishes to it where that runs. Close it, or use it as ``with``."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def snapshot(self, reason: str = "", *, timeout: float = 60.0, allow_held: bool = False) -> Snapshot:
        """Return a snapshot of all that was in place before this call, byte for byte.

        The running daemon is asked, through its socket; without one this takes the lease for one pass. If nothing
        changed it is the newest snapshot there is. What was still changing when the time ran out is in ``left_out``.

        Args:
            reason: Goes into the commit.
            timeout: Seconds that files still changing are waited for, and a lakeFS that does not answer.
            allow_held: Make it without deletions that wait for a person, rather than fail.

        Raises:
            HeldError: Something waits for a person.
            SyncdError: No snapshot could be made; it says why, and what to do.
        """
        options = TakeOptions(reason=reason, timeout=timeout, allow_held=allow_held)
        answer = self._opened.call(lambda session: take(session.reader.settings, options))
        snapshot = self.open(answer["tag"])
        snapshot.left_out = [(one["path"], one["reason"]) for one in answer["left_out"]]
        return snapshot

    def open(self, ref: str = LATEST, *, at: str | datetime | None = None) -> Snapshot:
        """Return a snapshot that there is; arguments and errors as of :func:`open`."""
        return Snapshot(self._opened, self._opened.call(lambda session: session.find(ref, at)))


class Snapshot(_Closing, SnapshotFacts):
    """One state of the data: it never changes. It may be closed, used as ``with``, copied to other processes."""

    def __init__(self, opened: Opened, found: Pinned) -> None:
        super().__init__(opened.settings, found)
        self._opened = opened

    def images(self, below: str = "") -> Iterator[Image]:
        """Yield the images, sorted by path, as they are listed: memory does not grow with them.

        Args:
            below: Only those of this folder, such as "cats".
        """
        for one in self._opened.iterate(lambda session: reading.images(session, self._found, below)):
            yield Image(self, one)

    def image(self, path: str) -> Image:
        """Return one image.

        Args:
            path: Relative to the watched folder: "cats/1.jpg".

        Raises:
            NotFoundStoreError: The snapshot has none.
        """
        return Image(self, self._opened.call(lambda session: reading.image(session, self._found, path)))

    def tables(self) -> list[TableInfo]:
        """Return what tables there are: name, key, image column, number of rows, form."""
        return self._opened.call(lambda session: reading.tables(session, self._found))

    def table(self, name: str) -> pa.Table:
        """Return a table, all of it; ``.to_pandas()`` and what else Arrow offers.

        Raises:
            MissingExtraError: pyarrow is not installed.
            UnknownTableError: There is no such table; it says which there are.
        """
        return self._opened.call(lambda session: reading.table(session, self._found, name))

    def pull(
        self,
        folder: str | os.PathLike[str],
        *,
        paths: Sequence[str] = (),
        delete: bool = False,
        link: str = "auto",
        cache: str | os.PathLike[str] | None = None,
        progress: Callable[[Pulled], None] = lambda _: None,
    ) -> Pulled:
        """Make a folder exactly this snapshot: ``images/…``, ``tables/…``. Who reads it sees all of the change or none.

        What was fetched before, by any pull on this machine, is not fetched again; a pull that was killed goes on where
        it ended. Hard-linked files are read-only.

        Args:
            folder: It does not exist, is empty, or was made by a pull.
            paths: Only these files and folders, such as "images/cats".
            delete: What someone put into the folder may go; otherwise the pull is refused.
            link: How files get from the cache into the folder: "auto", "reflink", "hardlink" or "copy".
            cache: Another one than ``pull.cache_dir``.
            progress: Called with what is done so far, in another thread, often.

        Raises:
            TargetError: The folder holds what no pull put there.
            PullError: Objects are missing or damaged in lakeFS, or there is no room.
        """
        options = PullOptions(paths=paths, delete=delete, link=link, cache=cache, progress=progress)
        return self._opened.call(lambda session: reading.pull(session, self, Path(folder), options))

    def diff(self, other: Snapshot | str) -> Diff:
        """Return what changed from this snapshot to another one; its cost follows the change. Use it as ``with``.

        Args:
            other: A snapshot of the same repository, or what :func:`open` takes as ``ref``.

        Raises:
            UnknownSnapshotError: There is none of this name.
            UsageError: The other one is of another repository.
        """

        async def compared(session: Session) -> tuple[SnapshotFacts, Comparison, AsyncExitStack]:
            new = await reading.other_end(session, self, other)
            return new, *await reading.compared(session, self, new)

        return Diff(self._opened, self, *self._opened.call(compared))


class Diff(DiffFacts):
    """What changed from one snapshot to another. What it found lies on the disk until it is closed.

    For one thread, in the process that asked.
    """

    def __init__(
        self, opened: Opened, old: SnapshotFacts, new: SnapshotFacts, told: Comparison, stack: AsyncExitStack
    ) -> None:
        super().__init__(old, new, told)
        self._opened, self._stack = opened, stack

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was found."""
        self._opened.call(lambda _: self._stack.aclose())

    def changes(self) -> Iterator[Change]:
        """Yield the paths that differ, sorted: path, kind, size, and the old path of what was renamed."""
        return self._told.changes()

    def rows(self, table: str) -> Iterator[RowChange]:
        """Yield the rows of a table that differ, in the order of their keys: kind, key, old and new values by column.

        Raises:
            UsageError: They cannot be compared, as it says, or the table came or went as a whole.
        """
        return self._told.rows(self._table(table))


class Image(ImageFacts):
    """An image of a snapshot, as it is listed; its bytes come when they are read."""

    def __init__(self, snapshot: Snapshot, info: ObjectInfo) -> None:
        super().__init__(snapshot, info)
        self._of = snapshot

    def read(self) -> bytes:
        """Return its bytes, checked against its digest.

        Raises:
            PermanentStoreError: They are damaged, or gone.
        """
        return self._of._opened.call(lambda session: reading.read(session, self._of._found, self._info))  # noqa: SLF001

    def open(self) -> BinaryIO:
        """Return its bytes as a file, for PIL and others; raises as :meth:`read`."""
        return io.BytesIO(self.read())

    def row(self, table: str | None = None) -> Mapping[str, Any] | None:
        """Return the row that describes it, by column; None if there is none.

        The tables that name images are read at the first call, and kept while the snapshot is open.

        Args:
            table: Its name; None: the first that has a row.
        """
        found = self._of._found  # noqa: SLF001 - of this module
        return self._of._opened.call(lambda session: reading.row(session, found, table, self.path))  # noqa: SLF001
