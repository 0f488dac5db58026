"""syncd keeps every state of a moving dataset as a named, immutable lakeFS snapshot.

>>> import syncd
>>> with syncd.connect("syncd.toml") as daemon:
...     snapshot = daemon.snapshot(reason="train resnet50")
>>> snapshot = syncd.open("photos", "snap-20261122T101500Z-41")

``syncd.aio`` is the same for asynchronous code. Every error is a ``syncd.SyncdError``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncd.client import aio
    from syncd.client.sync import Connection, Diff, Image, Snapshot, connect, open  # noqa: A004
    from syncd.errors import SyncdError

__version__ = "0.1.0"
__all__ = ["Connection", "Diff", "Image", "Snapshot", "SyncdError", "__version__", "aio", "connect", "open"]

_HOMES = {
    **dict.fromkeys(["Connection", "Diff", "Image", "Snapshot", "connect", "open"], "syncd.client.sync"),
    "SyncdError": "syncd.errors",
}


def __getattr__(name: str) -> Any:
    """Import the library at its first use: a command that needs none of it starts without."""
    if name == "aio":
        return import_module("syncd.client.aio")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
