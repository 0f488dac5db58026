"""A CSV file as a table to be cut into parts: its rows as text, in the order of their keys. Blocks; for threads.

The file is checked as one that is published as it is, and then sorted in a file of SQLite's, since memory must not
follow its length.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sqlite3
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.fingerprint import ChangedDuringReadError, OpenForWritingError, signature_of
from syncd.sources.csv_check import BadTableError, TableStoppedError, read_table, rows_of
from syncd.sources.settling import Settling
from syncd.sources.tables.base import Column, Kind, TableChangingError, TableFaultError, TableUnavailableError
from syncd.sources.tables.dialect_errors import value_shown
from syncd.sources.tables.own_disk import translated
from syncd.sources.tables.row_width import FIRST_ROWS, rows_to_fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from syncd.model import Signature
    from syncd.sources.tables.base import Row

_DECLARED = "text"  # a CSV file says nothing of types, and a guess would change with the next row


@dataclass(frozen=True, slots=True)
class _SortedReading:
    """The rows of one version of the file."""

    columns: Sequence[Column]
    key_position: int
    sorted_rows: sqlite3.Connection

    def batches(self) -> Iterator[Sequence[Row]]:
        """See ``TableReading.batches``."""
        found = self.sorted_rows.execute("SELECT fields FROM row ORDER BY key")
        count = FIRST_ROWS
        while rows := found.fetchmany(count):
            count = rows_to_fetch(rows)
            yield [tuple(json.loads(fields)) for (fields,) in rows]


class CsvDatabase:
    """One CSV file; implements ``TableDatabase``.

    Args:
        path: Of the file.
        key: The column whose values are there and unique.
        image_column: A further column that must be there, or None.
        settle_seconds: How long it must have been left alone.
        scratch_dir: Where it is sorted: needs room for all its rows.
        unique_columns: No two columns may have the same name: what it is published as is read by names.
        stopped: Asked while it is read; True ends the reading.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: str,
        image_column: str | None,
        settle_seconds: float,
        scratch_dir: Path,
        unique_columns: bool = True,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path, self._key, self._image_column = path, key, image_column
        self._scratch_dir, self._unique_columns, self._stopped = scratch_dir, unique_columns, stopped
        self._settling = Settling(settle_seconds)

    def probe(self) -> Hashable | None:
        """See ``TableDatabase.probe``: what ``stat`` says of a file that was settled when it was read."""
        return self._signature()

    @contextmanager
    def read(self) -> Iterator[_SortedReading]:
        """See ``TableDatabase.read``. TableChangingError while someone writes the file.

        Raises:
            JournalError: The disk it is sorted on is full, or cannot be written.
        """
        signature = self._signature()
        if not self._settling.seen("", signature, wall_s=time.time(), monotonic_s=time.monotonic()):
            raise TableChangingError(f"{self._path} is still changing")
        with self._scratch() as connection:
            try:
                read_table(self._path, signature, key=self._key, image_column=self._image_column, stopped=self._stopped)
                header = self._sort(connection, signature)
                if self._signature() != signature:
                    raise TableChangingError(f"{self._path} changed while it was read")
            except BadTableError as error:
                raise TableFaultError(f"{self._path}: {error.fact}", next_step="correct the file") from error
            except (ChangedDuringReadError, OpenForWritingError, TableStoppedError) as error:
                raise TableChangingError(error.fact) from error
            except csv.Error as error:
                raise TableChangingError(f"{self._path} changed while it was read") from error
            except OSError as error:
                raise TableUnavailableError(f"{self._path} cannot be read: {error.strerror}") from error
            columns = [Column(name=name, kind=Kind.TEXT, declared=_DECLARED) for name in header]
            yield _SortedReading(columns, header.index(self._key), connection)

    def close(self) -> None:
        """See ``TableDatabase.close``: nothing is kept open."""

    def _signature(self) -> Signature:
        try:
            return signature_of(self._path.stat())
        except OSError as error:
            raise TableUnavailableError(f"{self._path} cannot be opened: {error.strerror}") from error

    def _sort(self, connection: sqlite3.Connection, signature: Signature) -> list[str]:
        """Lay the rows into SQLite's order, that of their keys' bytes; return the header."""
        with self._path.open("rb", buffering=0) as file:
            rows = rows_of(file.fileno())
            header = next(rows, [])
            if header.count(self._key) != 1:
                raise ChangedDuringReadError(f"{self._path} changed while it was read")
            if self._unique_columns and self._signature() == signature:
                _refuse_equal_names(self._path, header)
            position = header.index(self._key)
            connection.executemany(
                "INSERT INTO row VALUES (?, ?)",
                ((row[position].encode(), json.dumps(row, ensure_ascii=False)) for row in rows),
            )
        return header

    @contextmanager
    def _scratch(self) -> Iterator[sqlite3.Connection]:
        try:
            self._scratch_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd, name = tempfile.mkstemp(prefix="sorting-", dir=self._scratch_dir)
            os.close(fd)
        except OSError as error:
            raise translated(error, self._scratch_dir) from error
        try:
            with closing(sqlite3.connect(name, isolation_level=None, check_same_thread=False)) as connection:
                connection.executescript(
                    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32000;"
                    "BEGIN; CREATE TABLE row (key BLOB PRIMARY KEY, fields TEXT NOT NULL) WITHOUT ROWID;"
                )
                os.unlink(name)  # noqa: PTH108 - it stays open: whatever ends this, nothing is left on the disk
                yield connection
        except sqlite3.IntegrityError as error:  # a key twice: the check has seen another version
            raise TableChangingError(f"{self._path} changed while it was read") from error
        except sqlite3.Error as error:
            raise translated(error, self._scratch_dir) from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - a name, as tempfile gives it


def _refuse_equal_names(path: Path, header: Sequence[str]) -> None:
    same = next((name for name in header if header.count(name) > 1), None)
    if same is None:
        return
    if same:
        fact, mend = f"the column {value_shown(same)} is more than once in the header", "rename all but one"
    else:
        *places, last = (str(number) for number, name in enumerate(header, 1) if not name)
        fact, mend = f"columns {', '.join(places)} and {last} of the header have no name", "name them, or delete them"
    raise TableFaultError(
        f"{path}: {fact}",
        cause="who reads Parquet asks for columns by their names",
        next_step=f'{mend}, or have the file published as it is: format = "csv"',
    )
