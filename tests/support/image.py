"""Runs the built image as an engine would: read-only, as its user, without capabilities, process 1 of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

LAUNCH = """\
import ctypes, json, os, signal, sys, warnings  # the last for execvpe, which no longer finds it later
root, user, directory, environment, binds, command = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), name)
def mount(source, target, kind, flags, options=None):
    call("mount", *(x.encode() if x else None for x in (source, target, kind)), flags, (options or "").encode())
RDONLY, NOSUID, REMOUNT, BIND, REC, PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
call("unshare", 0x20020000)  # mounts and process numbers
child = os.fork()
DIES_WITH_PARENT, DROP_BOUND, NO_NEW_PRIVILEGES = 1, 24, 38
if child:
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(child, number))
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
call("prctl", DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
mount(None, "/", None, REC | PRIVATE)
mount(root, root, None, BIND | REC)
for source, target, writable in binds:
    mount(source, root + target, None, BIND)
    if not writable:
        mount(None, root + target, None, BIND | REMOUNT | RDONLY)
mount("tmpfs", root + "/tmp", "tmpfs", NOSUID, "mode=1777")
mount("proc", root + "/proc", "proc", 0)
for device in ("null", "urandom", "random"):
    mount("/dev/" + device, root + "/dev/" + device, None, BIND)
mount(None, root, None, BIND | REMOUNT | RDONLY)
os.chroot(root)
os.chdir(directory)
for capability in range(64):
    libc.prctl(DROP_BOUND, capability, 0, 0, 0)  # the highest ones are not there
os.setgroups([])
os.setgid(user)
os.setuid(user)
call("prctl", DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)  # the change of user has undone it
call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
os.execvpe(command[0], command, environment)
"""


class Image:
    """The files of an image and what it says of itself.

    Args:
        root: Its files.
        description: As ``buildah inspect --type image`` prints it.
    """

    def __init__(self, root: Path, description: Path) -> None:
        self.root = root
        self.config: dict[str, Any] = json.loads(description.read_text())["Docker"]["config"]
        for target in ("srv/images", "etc/syncd"):  # where volumes are mounted: an engine makes what is missing
            (root / target).mkdir(parents=True, exist_ok=True)
        (root / "etc/syncd/syncd.toml").touch()
        (root / "run/secrets").mkdir(parents=True, exist_ok=True)

    @property
    def size_mib(self) -> float:
        """Of all files, not compressed."""
        files = [path.lstat() for path in self.root.rglob("*")]
        return sum(each.st_blocks * 512 for each in files) / (1 << 20)


class Container:
    """A run of the image; use it as ``with``.

    Args:
        image: Whose.
        images: The folder, mounted read-only at /srv/images.
        state: Mounted writable where the image keeps its volume.
        config: Mounted read-only at /etc/syncd/syncd.toml.
        secrets: Mounted read-only at /run/secrets.
        log: What it says.
    """

    def __init__(self, image: Image, *, images: Path, state: Path, config: Path, secrets: Path, log: Path) -> None:
        self._image, self._log = image, log
        (volume,) = image.config["Volumes"]
        self._binds = [
            (str(images), "/srv/images", False),
            (str(config), "/etc/syncd/syncd.toml", False),
            (str(secrets), "/run/secrets", False),
            (str(state), volume, True),
        ]

    def __enter__(self) -> Self:
        command = [*self._image.config["Entrypoint"], *self._image.config["Cmd"]]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self._launch(command), stdout=log, stderr=log)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def has_begun(self) -> bool:
        """Return whether there is a process 1, and it is no longer what launches it."""
        return bool(_children(self.process.pid)) and b"libc" not in Path(f"/proc/{self.pid}/cmdline").read_bytes()

    def has_child(self) -> bool:
        """Return whether process 1 has started another: an init hears signals by then, and not much before."""
        return bool(_children(self.pid))

    @property
    def pid(self) -> int:
        """Of its process 1, seen from outside."""
        return int(_children(self.process.pid)[0])

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command beside it, in the same files: as ``exec`` and health checks do."""
        return subprocess.run(self._launch(command), capture_output=True, text=True, timeout=60, check=False)

    def log(self) -> str:
        """Return what it has said."""
        return self._log.read_text(errors="replace")

    def _launch(self, command: Sequence[str]) -> list[str]:
        user = int(self._image.config["User"].partition(":")[0])
        environment = dict(line.split("=", 1) for line in self._image.config["Env"])
        where = self._image.config["WorkingDir"]
        asked = [str(self._image.root), user, where, environment, self._binds, list(command)]
        return [sys.executable, "-c", LAUNCH, json.dumps(asked)]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
