"""A program on a pseudo-terminal, which it takes for one where a person sits."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE_S = 60.0


class Person:
    """Somebody who answers what a program asks."""

    def __init__(
        self, called: Sequence[str | Path], environment: Mapping[str, str], directory: Path | None = None
    ) -> None:
        self.seen = ""
        self._main, its = pty.openpty()
        self.process = subprocess.Popen(
            called,
            stdin=its,
            stdout=its,
            stderr=its,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
        os.close(its)

    def answers(self, question: str, answer: str) -> None:
        self.sees(question)
        self.types(answer)

    def sees(self, said: str) -> None:
        self._read_until(lambda text: said in text, repr(said))

    def types(self, line: str) -> None:
        os.write(self._main, line.encode() + b"\n")

    def ends(self) -> int:
        self._read_until(lambda _: False, "the end")
        os.close(self._main)
        return self.process.wait(30)

    def _read_until(self, holds: Callable[[str], bool], what: str) -> None:
        """Read on, from where the last question ended."""
        deadline, text = time.monotonic() + PATIENCE_S, ""
        while not holds(text):
            ready, _, _ = select.select([self._main], [], [], deadline - time.monotonic())
            if not ready:
                self.process.kill()
            assert ready, f"not within {PATIENCE_S:g} s: {what}\n{self.seen}"
            try:
                more = os.read(self._main, 4096).decode(errors="replace")
            except OSError:  # nobody holds the other end any more
                more = ""
            if not more:
                assert what == "the end", f"it ended before {what}\n{self.seen}"
                return
            text += more
            self.seen += more
