"""A guarded process never outlives the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from syncd.embedded import guard as guard_script
from syncd.embedded.child import GuardedChild
from syncd.embedded.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GUARD = guard_script.__file__
FOREVER = ["/bin/sleep", "600"]
IGNORES_SIGTERM = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); signal.pause()"

# Starts a guarded command, says its process id, and waits to be killed.
PARENT = """
import sys
from pathlib import Path
from syncd.embedded.child import GuardedChild
from syncd.embedded.locks import FileLock
folder = Path(sys.argv[1])
with FileLock(folder / "lock") as lock:
    child = GuardedChild(sys.argv[2:], environment={}, log_path=folder / "log", lock=lock)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[list[str]], GuardedChild]]:
    started: list[GuardedChild] = []

    def start_one(command: list[str]) -> GuardedChild:
        with FileLock(tmp_path / "lock") as lock:
            child = GuardedChild(command, environment={"A": "b"}, log_path=tmp_path / "log", lock=lock)
        started.append(child)
        return child

    yield start_one
    for child in started:
        child.end()


def start_parent(folder: Path, command: list[str]) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, folder, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout
    return parent, psutil.Process(int(parent.stdout.readline()))


def test_the_command_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """P4: no server is left over after ``kill -9``."""
    parent, command = start_parent(tmp_path, FOREVER)
    with parent:
        parent.kill()
        assert FileLock(tmp_path / "lock").acquire_within(5)
    assert not command.is_running()


def test_the_command_ends_when_its_guard_is_killed(tmp_path: Path) -> None:
    """P4: not even a guard killed together with its parent leaves a server over."""
    parent, command = start_parent(tmp_path, FOREVER)
    with parent:
        os.kill(command.ppid(), signal.SIGKILL)
        assert FileLock(tmp_path / "lock").acquire_within(5)
        parent.kill()


def test_the_command_lives_on_when_the_thread_that_started_it_ends(
    start: Callable[[list[str]], GuardedChild],
) -> None:
    started: list[GuardedChild] = []
    thread = threading.Thread(target=lambda: started.append(start(FOREVER)))
    thread.start()
    thread.join()

    assert not started[0].ended_within(0.3)


def test_a_command_that_ends_by_itself_is_noticed(start: Callable[[list[str]], GuardedChild]) -> None:
    child = start(["/bin/sh", "-c", "exit 7"])
    assert child.ended_within(5)
    assert child.end() == 7
    assert child.ended_within(0)


def test_a_command_that_a_signal_ends_is_noticed(start: Callable[[list[str]], GuardedChild]) -> None:
    child = start(FOREVER)
    os.kill(child.pid, signal.SIGKILL)
    assert child.ended_within(5)
    assert child.end() == 128 + signal.SIGKILL


def test_ending_is_gentle_first(start: Callable[[list[str]], GuardedChild]) -> None:
    """Also in its very first moment, before it has handlers of its own."""
    assert start(FOREVER).end() == 128 + signal.SIGTERM


def test_a_stubborn_command_is_killed() -> None:
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", GUARD, "0.1", sys.executable, "-c", IGNORES_SIGTERM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with guard:
        assert guard.stderr
        assert guard.stderr.readline() == b"ready\n"
        guard.communicate(timeout=10)
    assert guard.returncode == 128 + signal.SIGKILL


def test_terminating_the_guard_terminates_the_command(start: Callable[[list[str]], GuardedChild]) -> None:
    child = start(FOREVER)
    os.kill(psutil.Process(child.pid).ppid(), signal.SIGTERM)
    assert child.ended_within(5)
    assert child.end() == 128 + signal.SIGTERM


def test_the_terminals_ctrl_c_does_not_reach_the_command(start: Callable[[list[str]], GuardedChild]) -> None:
    child = start(FOREVER)
    assert os.getpgid(child.pid) != os.getpgid(0)
    os.kill(psutil.Process(child.pid).ppid(), signal.SIGINT)
    assert not child.ended_within(0.2)


def test_the_command_gets_its_environment_and_the_log_its_words(
    start: Callable[[list[str]], GuardedChild], tmp_path: Path
) -> None:
    child = start(["/bin/sh", "-c", "echo A=$A; echo HOME=$HOME; pwd; echo wrong >&2; cat"])
    assert child.ended_within(5)
    assert child.end() == 0
    assert (tmp_path / "log").read_text() == f"A=b\nHOME=\n{tmp_path}\nwrong\n"


def test_a_command_that_does_not_exist_says_so_in_the_log(
    start: Callable[[list[str]], GuardedChild], tmp_path: Path
) -> None:
    child = start(["/nowhere/lakefs"])
    assert child.ended_within(5)
    assert child.end() == 127
    assert (tmp_path / "log").read_text() == "/nowhere/lakefs: No such file or directory\n"
