"""A machine of one's own with a real systemd: a container that boots, without a network, and forgets all at its end."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Self

from tests.support.daemon import until

ROOT = Path(__file__).parents[2]
BOOT_S = 60.0
COMMAND_S = 120.0
CONFIGURATION = """\
[source]
root = "/srv/images"
settle_seconds = 0.1
[snapshot]
quiet_seconds = 0.5
[service]
state_dir = "/var/lib/syncd"
"""


class Machine:
    """Use it as ``with``.

    Args:
        root: As ``scripts/systemd_root.sh`` makes it; it stays as it is.
        lakefs: The server's binary.
        log: What the console says.
    """

    def __init__(self, root: Path, lakefs: Path, log: Path) -> None:
        self._log, self._leader = log, 0
        self._called = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--private-network"),
            *(f"--bind-ro={lakefs}:/usr/local/bin/lakefs", f"--directory={root}", "--console=pipe", "--boot"),
        ]

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._called, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            until(self._is_up, lambda: f"it boots: {self._log.read_text()}", timeout_s=BOOT_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()  # an orderly shutdown
        try:
            self._process.wait(BOOT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self._leader = int(children[0])
        return self.said("systemctl is-system-running", check=False).strip() in {"running", "degraded"}

    def path(self, name: str) -> Path:
        """Return where a file of it is seen from outside."""
        return Path(f"/proc/{self._leader}/root{name}")

    def write(self, name: str, content: str | bytes, mode: int = 0o644) -> None:
        """Put a file there."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        inside = ["nsenter", f"--target={self._leader}", "--all", "/usr/bin/env", "-i", "PATH=/usr/bin:/bin"]
        return subprocess.run(
            [*inside, "LANG=C.UTF-8", *shlex.split(command)],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def said(self, command: str, *, check: bool = True) -> str:
        """Run a command and return what it says."""
        done = self.run(command)
        if check and done.returncode != 0:
            log = self.run("journalctl --no-pager --output=cat --lines=50").stdout
            raise AssertionError(f"{command}: {done.returncode}\n{done.stderr}{done.stdout}\n{log}")
        return done.stdout

    def shows(self, unit: str) -> dict[str, str]:
        """Return the properties of a unit."""
        return dict(line.split("=", 1) for line in self.said(f"systemctl show {unit}").splitlines() if "=" in line)

    def status_text(self, unit: str) -> str:
        """Return what a unit says of itself; "" while it is started or stopped."""
        return self.shows(unit).get("StatusText", "")

    def log_of(self, unit: str) -> str:
        """Return what a unit has logged, and systemd of it."""
        return self.said(f"journalctl --no-pager --output=cat --unit={unit}")
