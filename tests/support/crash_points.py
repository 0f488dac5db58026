"""Every effect of syncd on its journal, its stores and its own files, as a point where a process can end.

Put around syncd's own functions by the program that a test starts (``crashing_daemon``): syncd has no such switches.
The passages are counted over all threads. Which effect has which number differs a little from run to run, since
requests are under way together: so a point may also be told by its name, ``after LakeFSAPI.commit#2`` for the second
passage of that name. Each passage is recorded so before the process goes on, or ends.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.journal import database
from syncd.sources.tables.spool import Spool
from syncd.store.lakefs_api import LakeFSAPI
from syncd.store.lakefs_lease import LakeFSLease
from syncd.store.lakefs_pins import LakeFSPins
from syncd.store.s3_gateway import S3Gateway

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

STORE_CALLS: tuple[tuple[type, str], ...] = (
    (S3Gateway, "put"),
    (S3Gateway, "copy"),
    (S3Gateway, "delete"),
    (S3Gateway, "head"),
    (LakeFSAPI, "ensure_repository"),
    (LakeFSAPI, "ensure_branch"),
    (LakeFSAPI, "commit"),
    (LakeFSAPI, "merge"),
    (LakeFSAPI, "create_tag"),
    (LakeFSPins, "pin"),
    (LakeFSPins, "unpin"),
    (LakeFSPins, "delete_tag"),
    (LakeFSLease, "prepare"),
    (LakeFSLease, "claim"),
    (LakeFSLease, "note"),
    (LakeFSLease, "forget"),
)
NAMED = ("put", "head", "ensure_branch")  # their first argument says which


class Points:
    """Counts passages, and ends the process at one of them as a power cut would.

    Args:
        last: The passage at which it ends: its number, from 1, or its name; None: it never does.
        record: Where the name of each passage goes, one a line.
    """

    def __init__(self, last: str | None, record: Path | None) -> None:
        self._last, self._lock = last, threading.Lock()
        self._count, self._passages = 0, Counter[str]()
        self._record = (
            None if record is None else os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        )

    def passed(self, name: str) -> None:
        """Count one passage; does not return from the last."""
        with self._lock:  # no other thread passes a point after the last one
            self._count += 1
            self._passages[name] += 1
            point = f"{name}#{self._passages[name]}"
            if self._record is not None:
                os.write(self._record, f"{point}\n".encode())
            if self._last in {point, str(self._count)}:
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Put a point before and after each effect."""
        self._around_transactions()
        self._around(database.migrate, "bring_up_to_date", lambda *_args: "journal migration")
        for place, call in STORE_CALLS:
            self._around_call(place, call)
        self._around_renames()
        self._around(Spool, "sweep", lambda *_args: "spool sweep")

    def _around(self, place: Any, name: str, describe: Callable[..., str]) -> None:
        """Put points around a function that blocks; ``describe`` returns no text where there is no point."""
        original = getattr(place, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **named: Any) -> Any:
            text = describe(*args)
            if text:
                self.passed(f"before {text}")
            result = original(*args, **named)
            if text:
                self.passed(f"after {text}")
            return result

        setattr(place, name, wrapped)

    def _around_call(self, place: type, name: str) -> None:
        """Put points around a coroutine method; its second one is where it was applied, and nobody knows yet."""
        original = getattr(place, name)

        @functools.wraps(original)
        async def wrapped(store: Any, *args: Any, **named: Any) -> Any:
            what = f"{place.__name__}.{name}" + (f" {args[0]}" if name in NAMED else "")
            self.passed(f"before {what}")
            result = await original(store, *args, **named)
            self.passed(f"after {what}")
            return result

        setattr(place, name, wrapped)

    def _around_renames(self) -> None:
        """A file takes its place in the state directory: a body in the spool, or what is known of the lease."""

        def describe(_source: Path, target: Path) -> str:
            if len(target.name) == 64:  # a SHA-256
                return "rename into the spool"
            return "rename in the spool" if target.name.startswith("new-") else f"rename to {target.name}"

        self._around(Path, "replace", describe)

    def _around_transactions(self) -> None:
        original = database._run_together

        def run_together(connection: sqlite3.Connection, jobs: list[Any], *told: Any) -> None:
            name = _name(jobs[0].operation)  # which others share the transaction is a matter of chance
            self.passed(f"before BEGIN {name}")
            original(_Watched(connection, self, name), jobs, *told)  # type: ignore[arg-type]

        database._run_together = run_together


class _Watched:
    """A connection with a point on each side of COMMIT."""

    def __init__(self, connection: sqlite3.Connection, points: Points, name: str) -> None:
        self._connection, self._points, self._name = connection, points, name

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return self._connection.execute(sql, *parameters)
        self._points.passed(f"before COMMIT {self._name}")
        cursor = self._connection.execute(sql, *parameters)
        self._points.passed(f"after COMMIT {self._name}")
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _name(operation: Callable[..., Any]) -> str:
    """Return which write of the journal a job stands for: it is what the lambda of ``Journal.write`` calls."""
    cells = [cell.cell_contents for cell in operation.__closure__ or ()]
    for inner in cells:
        if callable(inner):
            return f"{inner.__module__.rpartition('.')[2]}.{inner.__name__}"
    return operation.__name__
