"""Reading .syncdignore, at the top of the folder. Blocks; for threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from syncd.errors import SyncdError
from syncd.fingerprint import OPEN_FLAGS
from syncd.model import ProblemCode
from syncd.sources import tree
from syncd.sources.ignore import BadPatternError, Rules, pattern_fault
from syncd.sources.sight import Fault
from syncd.sources.temporary_names import IGNORE_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 1 << 20


class _UnusableError(SyncdError):
    """The file is there, but its patterns cannot be had."""


def read_lines(root_fd: int) -> list[str]:
    """Return the lines of the folder's .syncdignore; none if there is no such file.

    Raises:
        SyncdError: It is there and cannot be used.
    """
    try:
        fd = os.open(IGNORE_FILE, OPEN_FLAGS, dir_fd=root_fd)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _UnusableError(f"it cannot be read: {error.strerror}") from error
    try:
        if not tree.is_file(os.fstat(fd)):
            raise _UnusableError("it is not a file")
        content = _read(fd)
    finally:
        os.close(fd)
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _UnusableError(f"line {line} is not UTF-8") from error


def _read(fd: int) -> bytes:
    content = bytearray()
    while chunk := os.read(fd, MOST_BYTES):
        content += chunk
        if len(content) > MOST_BYTES:
            raise _UnusableError(f"it is larger than {MOST_BYTES:,} bytes")
    return bytes(content)


def load_rules(
    root_fd: int, include: Sequence[str], exclude: Sequence[str], last_good: Rules | None
) -> tuple[Rules, Fault | None]:
    """Return the rules in force, and what is wrong with .syncdignore, if anything.

    While something is, the last good rules stay; where there are none yet, its sound lines count.
    """
    lines: list[str] = []
    try:
        lines = read_lines(root_fd)
        return Rules(include, exclude, lines), None
    except (OSError, BadPatternError, _UnusableError) as error:
        said = error.fact if isinstance(error, SyncdError) else f"it cannot be read: {error.strerror}"
        stays = "The last good version stays in force" if last_good else "Its other lines are in force"
        fault = Fault(IGNORE_FILE, ProblemCode.UNREADABLE, f"Not all its patterns can be used: {said}. {stays}")
    sound = [line if pattern_fault(line) is None else "" for line in lines]
    return last_good or Rules(include, exclude, sound), fault
