"""Sockets that lie in a directory, for the user who owns it alone."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def bound(path: Path) -> socket.socket:
    """Return a socket bound to a path, not yet listening. One found there is removed: the caller knows it for dead.

    Raises:
        OSError: It cannot be had.
    """
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with short_name(path) as name:
            made.bind(name)
        path.chmod(0o600)
    except OSError:
        made.close()
        raise
    return made


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Yield a name for a socket that fits into the 107 bytes an address may have, however deep the directory."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
