"""The lock that the kernel gives back."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from syncd.embedded.locks import FileLock

if TYPE_CHECKING:
    from pathlib import Path


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.try_acquire()
    assert not second.try_acquire()
    assert not second.acquire_within(0.06)

    first.release()

    assert second.acquire_within(0)
    second.release()


def test_a_child_that_inherited_the_lock_keeps_it(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    with first, subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[first.fileno()]) as child:
        first.release()
        assert not second.try_acquire()
        child.communicate()

    assert second.try_acquire()
    second.release()


def test_who_finds_it_locked_can_read_by_whom(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.read() == ""
    with lock:
        lock.write("a much longer name")
        lock.write("process 7")
        assert FileLock(tmp_path / "lock").read() == "process 7"


def test_an_open_lock_has_no_descriptor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not locked"):
        FileLock(tmp_path / "lock").fileno()
