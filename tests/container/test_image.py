"""The built image does the main job on a real lakeFS, with no more rights than it says it needs."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from syncd.errors import EXIT_BAD_CONFIGURATION
from tests.support.comparing import Reader, folder
from tests.support.daemon import until
from tests.support.figures import Figures
from tests.support.image import Container, Image

if TYPE_CHECKING:
    from syncd.embedded.process import ServerProcess

pytestmark = [pytest.mark.lakefs]

CONFIGURATION = """\
[source]
root = "/srv/images"
settle_seconds = 0.1
[snapshot]
quiet_seconds = 0.5
[lakefs]
endpoint = "{endpoint}"
access_key_id = "{key}"
secret_access_key_file = "/run/secrets/lakefs"
repository = "{repository}"
storage_namespace = "local://{repository}"
[service]
listen = "127.0.0.1:0"
"""
STOP_S = 15.0
MOST_MIB = 600


@pytest.fixture
def container(
    image: Image, tmp_path: Path, lakefs_server: ServerProcess, repository_name: str
) -> Callable[..., Container]:
    """Make one, with volumes as an engine mounts them; the secret is readable by all, as Kubernetes and compose do."""
    for name in ("images", "state", "secrets"):
        (tmp_path / name).mkdir()
    user, _, group = image.config["User"].partition(":")
    (tmp_path / "state").chmod(0o700)
    shutil.chown(tmp_path / "state", int(user), int(group))
    (tmp_path / "secrets/lakefs").write_text(lakefs_server.secret_access_key)
    (tmp_path / "secrets/lakefs").chmod(0o644)
    values = {"endpoint": lakefs_server.endpoint, "key": lakefs_server.access_key_id, "repository": repository_name}
    (tmp_path / "syncd.toml").write_text(CONFIGURATION.format(**values))

    def make(of: Image = image) -> Container:
        places = {name: tmp_path / name for name in ("images", "state", "secrets")}
        return Container(of, **places, config=tmp_path / "syncd.toml", log=tmp_path / "container.log")

    return make


def health(container: Container, image: Image) -> int:
    kind, *command = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    return container.run(command).returncode


def test_it_syncs_and_is_healthy_without_any_rights(
    container: Callable[..., Container], image: Image, tmp_path: Path, reader: Reader, figures: Figures
) -> None:
    for number in range(20):
        (tmp_path / f"images/{number}.png").write_bytes(b"x%d" % number)
    with container() as running:
        began_s = time.monotonic()
        until(lambda: health(running, image) == 0, running.log, timeout_s=60)
        healthy_s = time.monotonic() - began_s
        waited = running.run(["syncd", "status", "--wait", "--timeout", "60"])
        assert waited.returncode == 0, waited.stdout + waited.stderr
        assert reader.objects("main") == folder(tmp_path / "images")
        address = json.loads(running.run(["syncd", "status", "--json"]).stdout)["http"]["address"]
        asked = f"import urllib.request as u; print(u.urlopen('http://{address}/').read().decode())"
        page = running.run(["python3", "-c", asked])
        assert "Everything that was seen is in" in page.stdout, page.stderr
        of_process_1 = Path(f"/proc/{running.pid}/status").read_text()
        for line in ("Name:\ttini", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
            assert line in of_process_1
        assert "Uid:\t10001\t10001\t10001\t10001" in of_process_1
        touched = running.run(["sh", "-c", "touch /opt/syncd/x /etc/x /srv/images/x /x"])
        assert touched.stderr.count("Read-only file system") == 4
        began_s = time.monotonic()
        running.process.terminate()
        assert running.process.wait(STOP_S) == 0, running.log()
        stopped_s = time.monotonic() - began_s
    assert '"event": "stopped"' in running.log()
    assert image.size_mib <= MOST_MIB
    figures(
        "container image",
        1,
        mib_not_compressed=round(image.size_mib),
        healthy_after_s=round(healthy_s, 1),
        stopped_after_s=round(stopped_s, 1),
    )


def test_it_goes_on_where_it_was_with_the_state_of_its_volume(
    container: Callable[..., Container], image: Image, tmp_path: Path, reader: Reader
) -> None:
    (tmp_path / "images/a.png").write_bytes(b"a")
    for name in ("b.png", "c.png"):
        with container() as running:
            until(lambda running=running: health(running, image) == 0, running.log, timeout_s=60)
            (tmp_path / "images" / name).write_bytes(name.encode())
            assert running.run(["syncd", "status", "--wait"]).returncode == 0
            pid = running.pid
            running.process.kill()
            until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "process 1 has gone with it")
    assert reader.objects("main") == folder(tmp_path / "images")


@pytest.fixture(params=["tini", "python"])
def as_process_1(request: pytest.FixtureRequest, image: Image) -> Image:
    """The image as it is, and as it would be without an init."""
    if request.param == "tini":
        return image
    bare = copy.copy(image)
    bare.config = {**image.config, "Entrypoint": ["syncd"]}
    return bare


def test_an_init_is_needed_to_stop_while_it_starts(container: Callable[..., Container], as_process_1: Image) -> None:
    has_init = "tini" in as_process_1.config["Entrypoint"]
    with container(as_process_1) as running:
        until(running.has_begun, "process 1 is there")
        if has_init:
            until(running.has_child, "the init has started syncd")
        running.process.terminate()
        if has_init:
            assert running.process.wait(STOP_S) in (0, 143)
        else:  # Python is importing, and process 1 hears only what it asked for
            with pytest.raises(subprocess.TimeoutExpired):
                running.process.wait(3)


def test_an_init_is_needed_to_reap_what_others_leave(container: Callable[..., Container], as_process_1: Image) -> None:
    with container(as_process_1) as running:
        until(lambda: health(running, as_process_1) == 0, running.log, timeout_s=60)
        inside = ["nsenter", f"--target={running.pid}", "--pid", "sh", "-c", "(sleep 0.2 &); exit 0"]
        subprocess.run(inside, check=True)
        time.sleep(1)
        left = [child for child in psutil.Process(running.pid).children() if child.status() == psutil.STATUS_ZOMBIE]
        assert bool(left) == ("tini" not in as_process_1.config["Entrypoint"])


def test_a_wrong_configuration_ends_it_with_words(container: Callable[..., Container], tmp_path: Path) -> None:
    (tmp_path / "syncd.toml").write_text('[source]\nroot = "/srv/images"\nrot = 1\n')
    with container() as running:
        assert running.process.wait(60) == EXIT_BAD_CONFIGURATION
    assert "source.rot" in running.log()


def test_it_says_what_it_is(image: Image) -> None:
    labels = image.config["Labels"]
    for name in ("title", "description", "version", "licenses"):
        assert labels[f"org.opencontainers.image.{name}"]
    assert image.config["Volumes"] == {"/var/lib/syncd": {}}
    assert image.config["User"] == "10001:10001"
