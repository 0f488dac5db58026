"""What finding and building say while they work: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

_ERASE_LINE = "\r\x1b[K"


class Progress(Protocol):
    """Where the words go. Whatever it raises ends the work, which cleans up after itself."""

    def say(self, line: str) -> None:
        """Report something worth keeping."""

    def update(self, line: str) -> None:
        """Replace the moving line; may be dropped. Comes about every second while something takes long."""


class TerminalProgress:
    """Progress on a text stream, standard error unless told otherwise."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._moves = self._stream.isatty()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._stream.write(f"{_ERASE_LINE if self._moves else ''}{line}\n")
        self._stream.flush()

    def update(self, line: str) -> None:
        """Write over the moving line; nothing where lines cannot move."""
        if self._moves:
            self._stream.write(f"{_ERASE_LINE}{line}")
            self._stream.flush()
