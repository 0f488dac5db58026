"""The daemon after some lines of Python that change what it does: where it must show what it does about a fault."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.daemon import Dataset

MAIN = "from syncd.cli.app import main; main()"


@contextlib.contextmanager
def running(dataset: Dataset, code: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run the daemon after some lines of Python; lend it and its log."""
    log = dataset.directory / "debug.log"
    with log.open("wb") as file:
        called = [sys.executable, "-c", code + MAIN, *dataset.arguments("run")[1:]]
        process = subprocess.Popen(called, env=dataset.environment, stdout=file, stderr=file)
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()  # the test fails then, and nothing is left behind
