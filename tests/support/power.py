# ruff: noqa: ARG002, N802 - the names and arguments are SQLite's
"""A disk that loses power: what SQLite wrote and did not sync may be there, or not, or torn, in any order.

A virtual file system for APSW, in memory. Its connections do what ``sqlite3``'s do, as far as the journal asks for it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw

SECTOR = 512
VFS_NAME = "syncd-power"


class PowerCutError(Exception):
    """The power went while SQLite was writing or syncing."""


@dataclass
class StoredFile:
    """What is on the disk for certain, and the changes since the last sync, in order: (offset, bytes) or a new size."""

    durable: bytearray = field(default_factory=bytearray)
    current: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)

    def after_a_cut(self, rng: random.Random) -> StoredFile:
        """Return what is found when the power is back: some of the pending changes, each whole, torn, or not at all."""
        found = bytearray(self.durable)
        for change in rng.sample(self.pending, rng.randint(0, len(self.pending))):
            if isinstance(change, int):
                _resize(found, change)
                continue
            offset, data = change
            for start in range(0, len(data), SECTOR):
                if rng.random() < 0.8:
                    _write(found, offset + start, data[start : start + SECTOR])
        return StoredFile(durable=found, current=bytearray(found))


class Disk:
    """Files by name; the power goes at the ``cut_at``-th write or sync."""

    def __init__(self, files: Mapping[str, StoredFile] | None = None, cut_at: int | None = None) -> None:
        self.files = {
            name: StoredFile(bytearray(one.durable), bytearray(one.durable)) for name, one in (files or {}).items()
        }
        self.cut_at, self.effects = cut_at, 0

    def effect(self) -> bool:
        """Count a write; return whether there is power. Only the one at which it goes hears of that."""
        self.effects += 1
        if self.effects == self.cut_at:
            raise PowerCutError
        return self.cut_at is None or self.effects < self.cut_at

    def pull_the_plug(self) -> None:
        """Let the power go between two writes, if it has not gone yet."""
        self.cut_at = min(self.cut_at or self.effects, self.effects)

    def after_a_cut(self, rng: random.Random) -> Disk:
        return Disk({name: one.after_a_cut(rng) for name, one in self.files.items()})


class PowerVFS(apsw.VFS):
    """Leads to the disk that is plugged in."""

    def __init__(self) -> None:
        self.disk = Disk()
        super().__init__(VFS_NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        flags[1] = flags[0]
        return _File(self.disk, path)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.disk.effect():
            self.disk.files.pop(filename, None)

    def xAccess(self, pathname: str, flags: int) -> bool:
        return pathname in self.disk.files

    def xFullPathname(self, name: str) -> str:
        return name


class _File:
    def __init__(self, disk: Disk, name: str) -> None:
        self._disk, self._file = disk, disk.files.setdefault(name, StoredFile())

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._file.current[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.effect():
            self._file.pending.append((offset, bytes(data)))
            _write(self._file.current, offset, data)

    def xTruncate(self, size: int) -> None:
        if self._disk.effect():
            self._file.pending.append(size)
            _resize(self._file.current, size)

    def xSync(self, flags: int) -> None:
        if self._disk.effect():
            self._file.durable = bytearray(self._file.current)
            self._file.pending.clear()

    def xFileSize(self) -> int:
        return len(self._file.current)

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xCheckReservedLock(self) -> bool:
        return False

    def xLock(self, level: int) -> None:
        """Nobody else is there."""

    def xUnlock(self, level: int) -> None:
        """Nobody else is there."""

    def xClose(self) -> None:
        """Nothing is kept open."""


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


class Cursor:
    """Rows, and what ``sqlite3`` says of a statement."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.rowcount, self.lastrowid = connection.changes(), connection.last_insert_rowid()

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class PowerConnection:
    """The part of ``sqlite3.Connection`` that the journal uses."""

    def __init__(self, name: str, vfs: str | None = None) -> None:
        self.apsw = apsw.Connection(name, vfs=vfs)
        self.execute("PRAGMA locking_mode = EXCLUSIVE")  # the memory that processes share is not part of this disk

    @property
    def in_transaction(self) -> bool:
        return bool(self.apsw.in_transaction)

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor:
        return Cursor(self.apsw, self.apsw.execute(statement, values))

    def executemany(self, statement: str, values: Iterable[Any]) -> Cursor:
        return Cursor(self.apsw, self.apsw.executemany(statement, values))
