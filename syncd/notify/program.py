"""Runs one program to its end or its time limit; blocks, so a thread is its place."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

MOST_KEPT = 4096  # bytes of the output; the rest is read and let go
LONGEST_LINE = 200  # characters
LOOK_EVERY_S = 0.1  # whether it is to end


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went."""

    fault: str  # "": well
    first_line: str  # of what it wrote, on stdout or stderr


def run(
    arguments: Sequence[str], environment: Mapping[str, str], given: bytes, *, limit_s: float, ending: threading.Event
) -> Outcome:
    """Run a program in a session of its own; at its time limit it is killed with all that it started there.

    It has ended when it has exited and nobody holds its output open any more.

    Args:
        arguments: Its path, and what follows.
        environment: All it gets.
        given: Its stdin: at most what fits a pipe.
        limit_s: The most it may take.
        ending: Once set, its time is over.

    Raises:
        OSError: It cannot be started.
    """
    until_s = time.monotonic() + limit_s
    stdin = _filled_pipe(given)
    try:
        process = subprocess.Popen(  # noqa: S603 - the configuration's own command
            arguments,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(stdin)
    with process:
        said, in_time = _output(process, until_s, ending)
        in_time = in_time and _exited(process, until_s, ending)
        if not in_time:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
    if not in_time:
        return Outcome("it was killed at the end" if ending.is_set() else f"it was killed after {limit_s:g} s", said)
    return Outcome(_fault(process.returncode), said)


def _filled_pipe(given: bytes) -> int:
    """Return the reading end of a pipe that holds this: whoever does not read it keeps nobody waiting."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        os.write(writing, given)
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading


def _output(process: subprocess.Popen[bytes], until_s: float, ending: threading.Event) -> tuple[str, bool]:
    """Return the first line of the output, and whether the output ended in time."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    kept, descriptor = bytearray(), process.stdout.fileno()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    while (left_s := until_s - time.monotonic()) > 0 and not ending.is_set():
        if waiting.poll(1000 * min(left_s, LOOK_EVERY_S)):
            found = os.read(descriptor, MOST_KEPT)
            if not found:
                return _first_line(kept), True
            kept += found[: MOST_KEPT - len(kept)]
    return _first_line(kept), False


def _exited(process: subprocess.Popen[bytes], until_s: float, ending: threading.Event) -> bool:
    while (left_s := until_s - time.monotonic()) > 0 and not ending.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(left_s, LOOK_EVERY_S))
            return True
    return False


def _first_line(kept: bytearray) -> str:
    lines = kept.decode("utf-8", "replace").strip().splitlines()
    line = "".join(char if char.isprintable() else "�" for char in lines[0]) if lines else ""
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def _fault(code: int) -> str:
    if code < 0:
        return f"it was ended by signal {-code}"
    return f"it exited with {code}" if code else ""
