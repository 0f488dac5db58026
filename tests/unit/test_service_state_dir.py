"""One daemon for one state directory."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest

from syncd.errors import AlreadyRunningError, JournalError
from syncd.service.state_dir import held


def test_the_directory_is_made_private(tmp_path):
    with held(tmp_path / "a" / "state"):
        assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700


def test_a_second_holder_is_told_who_the_first_is(tmp_path):
    """P9: one writer."""
    with held(tmp_path), pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_a_killed_holder_gives_it_back(tmp_path):
    script = (
        "import sys, os, signal, pathlib\n"
        "from syncd.service.state_dir import held\n"
        "with held(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=30)
    with held(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"service\.state_dir"), held(tmp_path / "file" / "state"):
        pass


def test_on_a_full_disk_it_is_held_all_the_same(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with held(tmp_path), pytest.raises(AlreadyRunningError), held(tmp_path):
        pass
