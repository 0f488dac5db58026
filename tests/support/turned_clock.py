"""A clock of a process's own that someone else can set: a file says how many seconds it is ahead."""

from __future__ import annotations

import datetime as dt
import types
from pathlib import Path

import botocore.compat

import syncd.service.engine
import syncd.store.s3_direct
import syncd.store.translate


class TurnedClock:
    """Set by the test, read by the daemon that was told of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(0)

    def set(self, ahead_s: float) -> None:
        """Set it so far ahead of the machine's, or behind."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{ahead_s}")
        new.replace(self.path)


def follow(path: Path) -> None:
    """Let this process go by that clock: syncd's decisions, the signatures of requests, and what is said of skew.

    The time that only runs, by which asyncio waits, stays as it is, as it does where a machine's clock is set.
    """

    class Turned(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime.now(tz) + dt.timedelta(seconds=float(path.read_text()))

    syncd.service.engine.datetime = Turned
    syncd.store.s3_direct.datetime = Turned
    syncd.store.translate.datetime = Turned
    botocore.compat.datetime = types.SimpleNamespace(**{**vars(dt), "datetime": Turned})
