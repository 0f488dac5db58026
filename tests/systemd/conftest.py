"""A booted systemd for each module; what it needs is skipped loudly where it is missing, and not under CI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.booted import CONFIGURATION, ROOT, Machine
from tests.support.machine_needs import made_by, need

UNITS = ("syncd.service", "syncd@.service")
QUICK = """\
[Service]
RestartSec=0.2
"""


@pytest.fixture(scope="session")
def systemd_root() -> Path:
    need(["systemd-nspawn", "debootstrap", "nsenter"], packages="systemd-container debootstrap util-linux", root=True)
    return Path(made_by("scripts/systemd_root.sh")[0])


@pytest.fixture
def machine(systemd_root: Path, lakefs_binary: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine with both units, a configuration, and a folder of images that only a group may read."""
    with Machine(systemd_root, lakefs_binary, tmp_path / "console.log") as machine:
        for unit in UNITS:
            machine.write(f"/etc/systemd/system/{unit}", (ROOT / "systemd" / unit).read_text())
        machine.write("/etc/systemd/system/syncd.service.d/quick.conf", QUICK)
        machine.write("/etc/systemd/system/syncd.service.d/group.conf", "[Service]\nSupplementaryGroups=images\n")
        machine.write("/etc/syncd/syncd.toml", CONFIGURATION)
        machine.write("/srv/images/a.png", b"a", mode=0o640)
        machine.said("chgrp -R images /srv/images")
        machine.said("chmod 2750 /srv/images")
        machine.said("systemctl daemon-reload")
        yield machine
