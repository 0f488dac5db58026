"""Gets what syncd is measured beside; whatever cannot be had takes no part, and that is said.

s5cmd comes from its Go module, DVC and Oxen come into an environment of their own, rclone from the system.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from measure import GNU_TIME
from place import CACHE

from syncd.embedded.binary import find_or_build

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
S5CMD = "github.com/peak/s5cmd/v2"
S5CMD_VERSION = "v2.3.0"
_GO_MOD = f"module peers\n\ngo 1.21\n\nrequire {S5CMD} {S5CMD_VERSION}\n"
_GO_SOURCE = f'//go:build tools\n\npackage peers\n\nimport _ "{S5CMD}"\n'


@functools.cache
def lakectl() -> Path:
    """Return lakectl, built beside lakeFS."""
    return find_or_build("lakectl")


@functools.cache
def s5cmd() -> Path | None:
    """Return s5cmd, built now if it is not there yet."""
    binary = CACHE / f"s5cmd-{S5CMD_VERSION}"
    go = shutil.which("go")
    if binary.exists() or go is None:
        return binary if binary.exists() else _absent("s5cmd", "there is no Go")
    module = CACHE / "s5cmd-module"
    module.mkdir(parents=True, exist_ok=True)
    (module / "go.mod").write_text(_GO_MOD)
    (module / "peers.go").write_text(_GO_SOURCE)
    command = [go, "build", "-mod=mod", "-o", str(binary), S5CMD]
    done = subprocess.run(command, cwd=module, capture_output=True, text=True, check=False)
    return binary if done.returncode == 0 else _absent("s5cmd", done.stderr[-500:])


@functools.cache
def environment() -> Path | None:
    """Return the ``bin`` folder of the environment that has DVC, Oxen and what draws the plots."""
    folder = CACHE / "peers"
    stamp, wanted = folder / "installed", REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = str(Path(sys.executable).with_name("uv"))
        into = ["--python", str(folder / "bin" / "python")]
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", *into, "--requirement", str(REQUIREMENTS)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return _absent("DVC and Oxen", done.stderr[-500:])
        stamp.write_text(wanted)
    return folder / "bin"


@functools.cache
def rclone() -> Path | None:
    """Return the system's rclone; as root of a Debian it is installed."""
    found = _from_debian("rclone")
    return Path(found) if found else _absent("rclone", "apt-get install rclone brings it")


def need_gnu_time() -> None:
    """Make sure that memory can be measured; as root of a Debian, what does it is installed.

    Raises:
        SystemExit: It cannot.
    """
    if _from_debian(GNU_TIME) is None:
        raise SystemExit("GNU time, which tells how much memory a command took, is not there: apt-get install time")


def versions() -> dict[str, str]:
    """Return the version of each tool that is there."""
    found = {"lakectl": _version([lakectl(), "--version"])}
    if s5cmd():
        found["s5cmd"] = S5CMD_VERSION
    if program := rclone():
        found["rclone"] = _version([program, "version"])
    pinned = dict(line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line)
    if environment():
        found |= {name: pinned[name] for name in ("dvc", "oxenai")}
    return found


def _version(command: list[str | Path]) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"v?\d+\.\d+\S*", said)
    return found[0] if found else said.splitlines()[0]


def _from_debian(name: str) -> str | None:
    if shutil.which(name) is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-y", "-q", name], capture_output=True, check=False)
    return shutil.which(name)


def _absent(name: str, why: str) -> None:
    print(f"{name} takes no part: {why}", file=sys.stderr)
