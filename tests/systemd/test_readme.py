"""What the README says about systemd, backup and upgrade, word by word on a machine of its own.

What fetches packages is left out: such a machine has no network, and syncd is installed there already.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import until
from tests.systemd.test_service import SYNCD, is_in_step, status

if TYPE_CHECKING:
    from tests.support.booted import Machine

pytestmark = [pytest.mark.lakefs]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands(section: str) -> list[list[str]]:
    """Return the commands of a section, block by block."""
    text = re.search(rf"^### {section}\n(.*?)^##", README, re.DOTALL | re.MULTILINE)
    assert text, section
    blocks = re.findall(r"^```sh\n(.*?)^```", text[1], re.DOTALL | re.MULTILINE)
    return [
        [line.partition("  #")[0].replace("sudo ", "") for line in block.splitlines() if not fetches(line)]
        for block in blocks
    ]


def fetches(line: str) -> bool:
    return "pip install" in line or "-m venv" in line


def do(machine: Machine, lines: list[str]) -> None:
    for line in lines:
        machine.said(f"sh -c 'cd /src && {line}'")


@pytest.fixture
def bare(machine: Machine) -> Machine:
    """Without a unit, and with a clone in /src."""
    machine.said("systemctl disable --now syncd", check=False)
    machine.said("rm -rf /etc/syncd /etc/systemd/system/syncd.service /etc/systemd/system/syncd.service.d")
    for name in ("config/syncd.minimal.toml", "systemd/syncd.service"):
        machine.write(f"/src/{name}", (ROOT / name).read_bytes())
    machine.said("systemctl daemon-reload")
    return machine


def test_a_new_user_gets_a_service_a_backup_and_an_upgrade(bare: Machine) -> None:
    install, build, start = commands("Under systemd")
    back_up, put_back = commands("Backup")
    (upgrade,) = commands("Upgrade")
    bare.said("install -d -m 0755 /srv/images")
    bare.write("/srv/images/a.png", b"a")
    do(bare, install)
    bare.said("sh -c 'cp /usr/local/bin/lakefs /opt/built && umount /usr/local/bin/lakefs && rm /usr/local/bin/lakefs'")
    do(bare, [f"export SYNCD_LAKEFS_BINARY=/opt/built; {line}" for line in build])  # it has no network to build one
    do(bare, start)
    bare.said(f"{SYNCD} snapshot")  # sooner than after 30 s of quiet
    until(lambda: is_in_step(bare, 1), "the image is published")
    first = status(bare)["snapshot"]["tag"]
    do(bare, back_up)
    until(lambda: is_in_step(bare, 1), "it works after the backup")
    bare.said("rm /srv/images/a.png")
    bare.write("/srv/images/b.png", b"b")
    bare.write("/srv/images/c.png", b"c")
    bare.said(f"{SYNCD} snapshot")
    until(lambda: is_in_step(bare, 2), "the change is published")
    do(bare, put_back)
    bare.said(f"{SYNCD} snapshot")
    until(lambda: is_in_step(bare, 2), "what has come since is published again")
    assert first in bare.said(f"{SYNCD} log")
    bare.said(f"{SYNCD} verify {first} --read-data")
    do(bare, upgrade)
    until(lambda: is_in_step(bare, 2), "it works after the upgrade")
