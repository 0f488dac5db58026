"""What a test needs of the machine: skipped loudly where it is missing, and a failure under CI."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
CLONE_NEWNS = 0x00020000


def need(programs: Iterable[str], *, packages: str, root: bool = False) -> None:
    """Go on if the programs are there, and root's rights where ``root`` says so.

    Args:
        programs: Their names.
        packages: Debian's, which hold them.
        root: Whether it takes root's rights.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if root and not may_mount():
        missing.append("root's rights")
    if missing:
        lacking(f"missing: {', '.join(missing)}. Debian: apt-get install {packages}")


def lacking(why: str) -> NoReturn:
    """End the test: skipped, or failed where all there is to need can be installed."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def may_mount() -> bool:
    """Return whether this process may make namespaces and mounts; root in a container may not always."""
    if os.geteuid() != 0:
        return False
    child = os.fork()
    if child == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0 else 1)
    return os.waitpid(child, 0)[1] == 0


def python_of(name: str) -> Path:
    """Return the Python of an environment of its own, made from uv.lock: such as "airflow", or "examples"."""
    done = subprocess.run([ROOT / "scripts/integration_env.sh", name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lacking(f"the environment for {name} could not be made:\n{done.stderr}")
    return Path(done.stdout.strip())


def made_by(script: str) -> Sequence[str]:
    """Return the lines a script prints once it has made what a test needs."""
    made = subprocess.run([ROOT / script], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip().split("\n")
