"""A small disk below one folder that only some processes see: a tmpfs in mounts of their own. For root only."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from pathlib import Path

HOLD = 'mount -t tmpfs -o "size=$2,nr_inodes=$3,mode=0777" none "$1" && echo ready && exec sleep infinity'
PIECE = b"\0" * (1 << 16)


class SmallDisk:
    """Mounted from now on, until ``close``; what is on it outlives the processes that use it."""

    def __init__(self, folder: Path, size: str, *, inodes: int = 10_000) -> None:
        command = ["unshare", "--mount", "sh", "-c", HOLD, "sh", str(folder), size, str(inodes)]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        if said != "ready\n":
            self.close()
            raise OSError(f"no small disk can be mounted here: {said}")
        self.folder = Path(f"/proc/{self.pid}/root{folder}")  # as who does not see the mount reaches it

    @staticmethod
    def possible() -> bool:
        """Tell whether this user may mount one."""
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            return False
        return subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0

    @property
    def pid(self) -> int:
        """A process that sees the mount, as long as it is there."""
        return self._holder.pid

    def fill(self) -> None:
        """Leave not one byte."""
        with contextlib.suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(PIECE)

    def use_up_inodes(self) -> None:
        """Leave room for bytes, and for not one more file."""
        with contextlib.suppress(OSError):
            for number in itertools.count():
                (self.folder / f"filler-{number}").touch()

    def make_room(self) -> None:
        """Take back what was filled or used up."""
        for filler in self.folder.glob("filler*"):
            filler.unlink()

    def close(self) -> None:
        """Unmount it, once nobody else sees it."""
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()
