"""`syncd demo` as a user runs it: it ends with 0 only if every snapshot is what the folder held, and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

SYNCD = Path(sys.executable).with_name("syncd")
MOST_SECONDS = 60  # on a machine that does the reference work in the reference time
REFERENCE_SECONDS = 0.25  # of a processor of some 3 GHz that has nothing else to do


@pytest.fixture
def environment(tmp_path: Path, lakefs_binary: Path) -> dict[str, str]:
    """An empty home and a temporary directory of its own, so that what is left can be seen."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return os.environ | {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "SYNCD_LAKEFS_BINARY": str(lakefs_binary),
    }


def left_running(directory: Path) -> list[str]:
    """Command lines of processes that know the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found


def reference_seconds() -> float:
    """What a fixed piece of work takes just now: seconds alone say nothing on a machine shared with others."""
    started = time.perf_counter()
    sum(number * number for number in range(3_000_000))
    return time.perf_counter() - started


def test_the_demo_agrees_in_under_a_minute_and_leaves_nothing(tmp_path, environment):
    """P1, P2: every snapshot, read back with boto3, is byte for byte what the folder held."""
    before_s = reference_seconds()
    started = time.monotonic()
    done = subprocess.run([SYNCD, "demo"], capture_output=True, text=True, check=False, env=environment, timeout=240)
    took_s = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"files, [\d,]+ bytes: identical", done.stdout)) >= 4
    assert "DIFFERENT" not in done.stdout
    assert "1,797 images" in done.stdout
    slower = max(1.0, (before_s + reference_seconds()) / 2 / REFERENCE_SECONDS)
    print(f"the demo took {took_s:.1f} s on a machine {slower:.2f} times slower than the reference")  # noqa: T201
    assert took_s < MOST_SECONDS * slower
    assert list((tmp_path / "tmp").iterdir()) == []
    assert left_running(tmp_path) == []


def test_the_demo_that_keeps_running_ends_with_ctrl_c(tmp_path, environment):
    place = tmp_path / "kept"
    demo = subprocess.Popen(
        [SYNCD, "demo", "--keep", "--dir", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment | {"PYTHONUNBUFFERED": "1"},
    )
    said = []
    for line in demo.stdout:
        said.append(line)
        if "Ctrl-C ends it" in line:
            break
    assert demo.poll() is None, "".join(said)
    listed = subprocess.run(
        [SYNCD, "log", "-c", place / "syncd.toml"], capture_output=True, text=True, check=True, env=environment
    )
    assert len(listed.stdout.splitlines()) >= 4
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, rest
    assert place.exists()
    assert left_running(tmp_path) == []
