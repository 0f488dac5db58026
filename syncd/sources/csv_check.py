"""Reading a CSV file and making sure that it is a whole table. Blocks; for threads. Memory: 8 bytes a row.

The dialect is that of RFC 4180: commas, double quotes, quotes doubled within quotes, UTF-8 with or without a byte
order mark. Lines are counted as an editor counts them, so that a person finds the one that is named.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from array import array
from typing import TYPE_CHECKING, NamedTuple

from syncd.errors import SyncdError
from syncd.fingerprint import ChangedDuringReadError, OpenForWritingError, opened_for_writing, signature_of
from syncd.model import Fingerprint
from syncd.sources.tree import is_file, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from syncd.model import Signature

MOST_LINE_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN_CHARACTERS = 60
_BUCKETS = 256  # so that no more than a 256th of the hashes is sorted, as Python integers, at a time
_MOST_SUSPECTS = 1_000
_TOLD_ROWS = 5_000
_LATER_BITS = (1 << 56) - 1


class BadTableError(SyncdError):
    """The file is whole, but it is not an acceptable table; the text says where and why."""


class TableStoppedError(SyncdError):
    """The reading was given up on request."""


class TableReading(NamedTuple):
    """One version of a table file that can be accepted."""

    fingerprint: Fingerprint
    signature: Signature
    rows: int  # without the header
    columns: int


def read_table(
    path: Path,
    expected: Signature,
    *,
    key: str,
    image_column: str | None,
    stopped: Callable[[], bool] = lambda: False,
    on_rows: Callable[[Sequence[tuple[str, str]]], None] | None = None,
) -> TableReading:
    """Read a table file, fingerprint it and check it.

    Args:
        path: Of the file; symlinks are followed, since the configuration names it.
        expected: What its status was when it was found settled.
        key: The column whose values must be there and be unique.
        image_column: A further column that must be there, or None.
        stopped: Asked now and then; True ends the reading.
        on_rows: Told each row's key and what it has in the image column, some thousands at a time. What it was told
            counts only when this function returns.

    Raises:
        BadTableError: It is not an acceptable table.
        ChangedDuringReadError: It is not the expected file, or it changed, or was replaced, meanwhile.
        OpenForWritingError: A program has it open for writing.
        TableStoppedError: ``stopped`` said so.
        OSError: It is gone or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(fd)
        if not is_file(before):
            raise BadTableError("it is not a file")
        if signature_of(before) != expected:
            raise ChangedDuringReadError(f"{path} changed")
        if opened_for_writing(fd):
            raise OpenForWritingError(f"{path} is open for writing")
        content = _Content(fd)
        check = _Check(key, image_column, stopped, on_rows)
        try:
            check.first_pass(content.lines())
            fingerprint = content.fingerprint()
            check.second_pass(_Content(fd).lines)
        except BadTableError as error:
            _confirm_unchanged(fd, path, expected)  # else the fault may be that of a half-written file
            raise error from None
        _confirm_unchanged(fd, path, expected)
        return TableReading(fingerprint, expected, check.rows, len(check.header))
    finally:
        os.close(fd)


def _confirm_unchanged(fd: int, path: Path, expected: Signature) -> None:
    if signature_of(os.fstat(fd)) != expected or signature_of(path.stat()) != expected:
        raise ChangedDuringReadError(f"{path} changed while it was read")


class _Content(io.RawIOBase):
    """A file from its start, hashed while it is read."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        os.lseek(fd, 0, os.SEEK_SET)
        self._fd, self._size_bytes = fd, 0
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = os.readv(self._fd, [buffer])
        self._sha256.update(buffer[:count])
        self._md5.update(buffer[:count])
        self._size_bytes += count
        return count

    def fingerprint(self) -> Fingerprint:
        """Return what was read so far."""
        return Fingerprint(self._sha256.digest(), self._md5.digest(), self._size_bytes)

    def lines(self) -> Iterator[str]:
        """Yield the decoded lines, with their ends, without a byte order mark."""
        file = io.BufferedReader(self, _CHUNK_BYTES)
        number = 0
        while line := file.readline(MOST_LINE_BYTES + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if len(line) > MOST_LINE_BYTES:
                raise BadTableError(f"line {number} is longer than {MOST_LINE_BYTES:,} bytes")
            if b"\0" in line:
                raise BadTableError(f"line {number} holds a NUL byte")
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                raise BadTableError(
                    f"line {number} is not UTF-8 (byte {error.start + 1} of it). Save the file as UTF-8"
                ) from error


def rows_of(fd: int) -> Iterator[list[str]]:
    """Yield the header and the rows of a file that was checked, from its start; ``csv.Error`` where it is another."""
    csv.field_size_limit(MOST_LINE_BYTES)
    return (row for row in csv.reader(_Content(fd).lines(), strict=True) if row)


class _Check:
    """The rules for one table, applied to its lines as they come."""

    def __init__(
        self,
        key: str,
        image_column: str | None,
        stopped: Callable[[], bool],
        on_rows: Callable[[Sequence[tuple[str, str]]], None] | None,
    ) -> None:
        self._key, self._image_column, self._stopped = key, image_column, stopped
        self._on_rows = on_rows if image_column is not None else None
        self.header: list[str] = []
        self.rows = 0
        self._hashes = [array("Q") for _ in range(_BUCKETS)]

    def first_pass(self, lines: Iterator[str]) -> None:
        """Check everything but equal keys, of which only the hashes are kept."""
        told: list[tuple[str, str]] = []
        for line, value, image in self._keys(lines):
            if not value.strip():
                raise BadTableError(f'line {line}: the key column "{self._key}" is empty')
            number = hash(value)
            self._hashes[number & (_BUCKETS - 1)].append((number >> 8) & _LATER_BITS)
            self.rows += 1
            if self._on_rows is not None:
                told.append((value, image))
                if len(told) == _TOLD_ROWS:
                    self._on_rows(told)
                    told = []
        if self._on_rows is not None and told:
            self._on_rows(told)

    def second_pass(self, lines: Callable[[], Iterator[str]]) -> None:
        """Look at the keys whose hashes were equal once more, to tell equal keys from equal hashes."""
        suspects = self._suspects()
        if not suspects:
            return
        first_line: dict[str, int] = {}
        for line, value, _ in self._keys(lines()):
            number = hash(value)
            if (number & (_BUCKETS - 1), (number >> 8) & _LATER_BITS) in suspects:
                if value in first_line:
                    raise BadTableError(
                        f'lines {first_line[value]} and {line} have the same value in the key column "{self._key}":'
                        f" {_short(value)}"
                    )
                first_line[value] = line

    def _suspects(self) -> set[tuple[int, int]]:
        suspects: set[tuple[int, int]] = set()
        for bucket, hashes in enumerate(self._hashes):
            last = -1
            for number in sorted(hashes):
                if number == last and len(suspects) < _MOST_SUSPECTS:  # one equal pair is enough to refuse
                    suspects.add((bucket, number))
                last = number
        self._hashes = []
        return suspects

    def _keys(self, lines: Iterator[str]) -> Iterator[tuple[int, str, str]]:
        """Yield for each row its first line's number, its key, and what it has in the image column, if there is one."""
        csv.field_size_limit(MOST_LINE_BYTES)  # for the whole process; its default is 128 KiB
        reader = csv.reader(lines, strict=True)
        begins, position, image = 1, -1, -1
        try:
            for row in reader:
                if row and position < 0:
                    self.header, position = row, self._position(row, begins)
                    image = position if self._image_column is None else row.index(self._image_column)
                elif row:  # an empty line is none
                    if len(row) != len(self.header):
                        raise BadTableError(f"line {begins} has {len(row)} columns, the header has {len(self.header)}")
                    yield begins, row[position], row[image]
                begins = reader.line_num + 1
                if not begins & 0xFFF and self._stopped():
                    raise TableStoppedError("the reading was stopped")
        except csv.Error as error:
            raise BadTableError(f"line {begins} cannot be parsed: {_explained(error)}") from error
        if position < 0:
            raise BadTableError("it is empty: there is no header")

    def _position(self, header: list[str], line: int) -> int:
        for column in (self._key, self._image_column):
            if column is not None and header.count(column) != 1:
                what = "twice" if column in header else "not"
                raise BadTableError(f'line {line}: the column "{column}" is {what} in the header{_separator(header)}')
        return header.index(self._key)


def _separator(header: list[str]) -> str:
    if len(header) > 1:
        return f": {_short(', '.join(header))}"
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if separator in header[0]:
            return f". Its columns seem to be separated by {name}; syncd reads commas"
    return f": {_short(header[0])}"


def _explained(error: csv.Error) -> str:
    said = str(error)
    if "unexpected end of data" in said:
        return "a quote is opened and never closed"
    if "new-line character" in said:
        return "it holds a carriage return outside of quotes"
    if "field larger" in said:
        return f"a field is larger than {MOST_LINE_BYTES:,} bytes; is a quote not closed?"
    return said


def _short(text: str) -> str:
    text = shown(text)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
