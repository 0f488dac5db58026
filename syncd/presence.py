"""What a path means and what is there, as far as this user can tell: what they may not look into is not there.

``Path.exists`` and its like raise there, which is no answer to that question: the state of a service with a user of its
own, for one, lies below a folder that is root's alone.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_there(path: Path) -> bool:
    """Return whether there is something."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Return whether there is a regular file."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Return whether there is a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def expanded(text: str) -> str:
    """Return a path with the home folder it begins with; that of nobody known stays as it is."""
    return os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises for those
