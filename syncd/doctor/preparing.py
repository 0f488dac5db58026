"""Loads what the checks need before rights are given up: the new user may not be able to read where it lies."""

from __future__ import annotations

import codecs
from contextlib import suppress
from typing import TYPE_CHECKING

from syncd.doctor.tables import prepare
from syncd.sources.hints import Hints
from syncd.sources.watcher import Watcher, WatchUnavailableError

if TYPE_CHECKING:
    from syncd.config import Settings

_CODECS = ("ascii", "idna", "latin-1", "utf-8-sig")  # Python loads each when it is first asked for


def load(settings: Settings | None) -> None:
    """Load codecs, the reader of events, and the drivers of the configured databases."""
    for name in _CODECS:
        codecs.lookup(name)
    with suppress(WatchUnavailableError):
        Watcher(Hints(lambda: None), lambda _path: False).close()
    if settings is not None:
        for table in settings.tables:
            prepare(table)
