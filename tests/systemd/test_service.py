"""The unit as it is shipped, under a real systemd, with a lakeFS of syncd's own."""

from __future__ import annotations

import io
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from syncd.errors import EXIT_BAD_CONFIGURATION
from tests.support.booted import CONFIGURATION
from tests.support.daemon import until

if TYPE_CHECKING:
    from tests.support.booted import Machine

pytestmark = [pytest.mark.lakefs]

SYNCD = "/opt/syncd/bin/syncd"
MANY = 1500


def status(machine: Machine) -> dict[str, Any]:
    return dict(json.loads(machine.said(f"{SYNCD} status --json")))


def is_in_step(machine: Machine, images: int) -> bool:
    found = machine.run(f"{SYNCD} status --json")
    if found.returncode != 0:
        return False
    seen = json.loads(found.stdout)
    return seen["state"] == "idle" and (seen["snapshot"] or {}).get("images") == images


def signal(machine: Machine, name: str) -> int:
    pid = int(machine.shows("syncd")["MainPID"])
    machine.said(f"sh -c 'kill -{name} {pid}'")
    return pid


def test_the_start_is_over_when_it_is_ready_and_what_it_does_is_shown(machine: Machine) -> None:
    """As a user that exists only while it runs, in a folder that only a group may read."""
    machine.said("systemctl start syncd")
    machine.said(f"{SYNCD} health --live")  # at once: that is what ready means
    until(lambda: is_in_step(machine, 1), "the image is published")
    until(lambda: machine.status_text("syncd") == "idle: in step with the source", "systemctl shows it")
    shown = machine.shows("syncd")
    assert shown["DynamicUser"] == "yes"
    user = machine.path(f"/proc/{shown['MainPID']}/status").read_text()
    assert int(re.findall(r"^Uid:\t(\d+)", user, re.MULTILINE)[0]) >= 61184  # of those made for dynamic users
    assert "CapBnd:\t0000000000000000" in user
    assert "NoNewPrivs:\t1" in user
    figure = re.findall(r"exposure level for syncd.service: ([\d.]+)", machine.said("systemd-analyze security syncd"))
    assert float(figure[0]) <= 1.1


def test_what_stands_still_is_killed_and_started_again(machine: Machine) -> None:
    machine.write("/etc/systemd/system/syncd.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
    machine.said("systemctl daemon-reload")
    machine.said("systemctl start syncd")
    until(lambda: is_in_step(machine, 1), "the image is published")
    time.sleep(4)  # what gives signs of life is left alone for longer than that
    assert machine.shows("syncd")["NRestarts"] == "0"
    signal(machine, "STOP")
    until(lambda: machine.shows("syncd")["NRestarts"] == "1", "it is started again")
    machine.write("/srv/images/b.png", b"b", mode=0o644)
    until(lambda: is_in_step(machine, 2), "it goes on")
    assert "Failed with result 'watchdog'" in machine.log_of("syncd")


def test_after_kill_9_it_goes_on_by_itself(machine: Machine) -> None:
    machine.said("systemctl start syncd")
    until(lambda: is_in_step(machine, 1), "the image is published")
    signal(machine, "KILL")
    machine.write("/srv/images/b.png", b"b", mode=0o644)
    until(lambda: is_in_step(machine, 2), "it goes on")
    assert machine.shows("syncd")["NRestarts"] == "1"


def test_a_changed_configuration_is_read_while_it_runs(machine: Machine) -> None:
    machine.said("systemctl start syncd")
    pid = machine.shows("syncd")["MainPID"]
    machine.write("/etc/syncd/syncd.toml", machine.path("/etc/syncd/syncd.toml").read_text().replace("0.5", "0.7"))
    machine.said("systemctl reload syncd")
    until(lambda: '"configuration_reloaded"' in machine.log_of("syncd"), "it is read")
    assert '["snapshot.quiet_seconds"]' in machine.log_of("syncd")
    machine.write("/etc/syncd/syncd.toml", "[source]\nroot = 1\n")
    machine.said("systemctl reload syncd")
    until(lambda: '"configuration_kept"' in machine.log_of("syncd"), "it is kept out")
    assert "/etc/syncd/syncd.toml:2" in machine.log_of("syncd")
    assert (machine.shows("syncd")["MainPID"], machine.shows("syncd")["ActiveState"]) == (pid, "active")


def test_a_wrong_configuration_is_not_tried_again_and_again(machine: Machine) -> None:
    machine.write("/etc/syncd/syncd.toml", "[source]\nroot = 1\n")
    assert machine.run("systemctl start syncd").returncode != 0
    time.sleep(2)
    shown = machine.shows("syncd")
    assert shown["ExecMainStatus"] == str(EXIT_BAD_CONFIGURATION)
    assert (shown["ActiveState"], shown["NRestarts"]) == ("failed", "0")
    assert "/etc/syncd/syncd.toml:2" in machine.log_of("syncd")


def test_it_stops_in_good_order_in_the_middle_of_work(machine: Machine) -> None:
    for number in range(MANY):
        machine.write(f"/srv/images/{number}.png", b"%d" % number)
    machine.said("systemctl start syncd")
    until(lambda: "batch_staged" in machine.log_of("syncd") or status(machine)["state"] == "uploading", "it works")
    machine.said("systemctl stop syncd")
    shown = machine.shows("syncd")
    assert (shown["Result"], shown["ExecMainStatus"]) == ("success", "0")
    assert '"stopped"' in machine.log_of("syncd")
    machine.said("systemctl start syncd")
    until(lambda: is_in_step(machine, MANY + 1), "all is published", timeout_s=90)


def test_a_key_that_is_replaced_is_used_from_the_next_start_on(machine: Machine) -> None:
    """The keys are root's alone, and the service gets them as credentials; the secret is nowhere to be seen."""
    up = f"{SYNCD} lakefs up --dir /var/lib/alone --listen 127.0.0.1:8000 --show-secret"
    machine.write("/etc/systemd/system/lakefs.service", f"[Service]\nExecStart={up}\nEnvironment=HOME=/root\n")
    machine.said("systemctl daemon-reload")
    machine.said("systemctl start lakefs")
    until(lambda: "lakeFS is up" in machine.log_of("lakefs"), "lakeFS is up")
    key_id, secret = re.findall(r"access key(?: id)?  +(\S+)", machine.log_of("lakefs"))
    place = (
        '[lakefs]\nendpoint = "http://127.0.0.1:8000"\nrepository = "photos"\nstorage_namespace = "local://photos"\n'
    )
    machine.write("/etc/syncd/syncd.toml", CONFIGURATION + place)
    loaded = [
        f"LoadCredential=lakefs_{name}:/etc/syncd/lakefs_{name}" for name in ("access_key_id", "secret_access_key")
    ]
    machine.write("/etc/systemd/system/syncd.service.d/keys.conf", "\n".join(["[Service]", *loaded, ""]))
    machine.write("/etc/syncd/lakefs_access_key_id", key_id, mode=0o600)
    machine.write("/etc/syncd/lakefs_secret_access_key", "NoLongerValid0", mode=0o600)
    machine.said("systemctl daemon-reload")
    machine.said("systemctl start syncd")
    until(lambda: machine.status_text("syncd").startswith("failing: "), "it says that the key is refused")
    assert "lakefs.access_key_id" in machine.status_text("syncd")
    machine.write("/etc/syncd/lakefs_secret_access_key", secret, mode=0o600)
    machine.said("systemctl restart syncd")
    until(lambda: machine.status_text("syncd") == "idle: in step with the source", "it works by the new key")
    pid = machine.shows("syncd")["MainPID"]
    for place in (f"/proc/{pid}/environ", f"/proc/{pid}/cmdline"):
        assert secret.encode() not in machine.path(place).read_bytes()
    assert secret not in machine.log_of("syncd")
    assert secret not in machine.said("systemctl show syncd")


def test_with_every_driver_no_memory_is_written_and_executed(machine: Machine) -> None:
    """MemoryDenyWriteExecute stands: a table is published as Parquet, and the drivers of all databases load."""
    table = "CREATE TABLE labels (id INTEGER PRIMARY KEY, image TEXT); INSERT INTO labels VALUES (1, 'a.png')"
    machine.said(f'python3 -c "import sqlite3; sqlite3.connect(\'/srv/labels.db\').executescript(\\"{table}\\")"')
    where = '[[tables]]\nname = "labels"\nurl = "sqlite:////srv/labels.db"\ntable = "labels"\n'
    machine.write("/etc/syncd/syncd.toml", f'{CONFIGURATION}{where}key = "id"\nimage_column = "image"\n')
    machine.said("systemctl start syncd")
    until(lambda: is_in_step(machine, 1), "it is published")
    (rows,) = [one["rows"] for one in status(machine)["tables"]]
    assert rows == 1
    loading = f"{SYNCD.removesuffix('syncd')}python -c 'import psycopg, pymysql, pyarrow.parquet, sqlalchemy, yaml'"
    machine.said(f"systemd-run --wait --pipe --quiet -p MemoryDenyWriteExecute=yes {loading}")


def test_pictures_are_made_behind_all_these_walls(machine: Machine) -> None:
    """The process that decodes them limits itself, which a filter of system calls may forbid."""
    drawn = io.BytesIO()
    Image.new("RGB", (640, 480), "teal").save(drawn, "PNG")
    machine.write("/srv/images/b.png", drawn.getvalue(), mode=0o640)
    machine.said("chgrp -R images /srv/images")
    machine.said("systemctl start syncd")
    until(lambda: is_in_step(machine, 2), "both are published")
    commit = status(machine)["snapshot"]["commit_id"]
    asked = f"http://127.0.0.1:8410/picture/{commit}/small?path=images/b.png"
    got = f'python3 -c \'import urllib.request as u; print(u.urlopen("{asked}").headers["Content-Type"])\''
    assert machine.said(got).strip() == "image/jpeg", machine.log_of("syncd")


def test_each_dataset_has_a_service_of_its_own(machine: Machine) -> None:
    for number, name in enumerate(("cats", "dogs")):
        machine.write(f"/srv/{name}/{name}.png", name)
        text = CONFIGURATION.replace("/srv/images", f"/srv/{name}").replace("/var/lib/syncd", f"/var/lib/syncd/{name}")
        machine.write(f"/etc/syncd/{name}.toml", f'{text}listen = "127.0.0.1:{8411 + number}"\n')
    machine.said("systemctl start syncd@cats syncd@dogs")
    for name in ("cats", "dogs"):
        asking = f"{SYNCD} status --json --config /etc/syncd/{name}.toml"
        until(lambda asking=asking: json.loads(machine.said(asking))["snapshot"], f"{name} are published")
        uri = json.loads(machine.said(asking))["snapshot"]["uri"]
        assert uri.startswith("lakefs://dataset/")
    machine.said("systemctl stop syncd@cats")
    assert machine.shows("syncd@dogs")["ActiveState"] == "active"
