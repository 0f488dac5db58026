"""What a service manager and whoever asks for health hear of the real daemon, on a real lakeFS."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.embedded.process import ServerProcess
    from tests.support.daemon import Dataset

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

WATCHDOG_S = 0.6


class Manager:
    """Listens as systemd does."""

    def __init__(self, path: Path) -> None:
        self.path, self.heard = path, list[str]()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def hears(self, text: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard += self.socket.recv(4096).decode().splitlines()
        return any(text in line for line in self.heard)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.socket.close()


@pytest.fixture
def managed(dataset: Dataset, manager: Manager) -> Dataset:
    watchdog = {"WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}
    dataset.more_environment = {"NOTIFY_SOCKET": str(manager.path), **watchdog}
    return dataset


def test_it_is_told_of_the_start_of_what_goes_on_and_of_the_end(managed: Dataset, manager: Manager) -> None:
    (managed.root / "a.png").write_bytes(b"a")
    daemon = managed.start()
    until(lambda: manager.hears("READY=1"), "it is ready")
    assert manager.heard[0].startswith("EXTEND_TIMEOUT_USEC=")
    managed.snapshot()
    until(lambda: manager.hears("STATUS=idle: in step with the source"), "it says what it does")
    manager.heard.clear()
    for _ in range(5):
        until(lambda: manager.hears("WATCHDOG=1"), "it gives signs of life", timeout_s=5)
        manager.heard.clear()
    daemon.stop()
    assert manager.hears("STOPPING=1")


def test_a_process_that_stands_still_gives_no_sign_of_life(managed: Dataset, manager: Manager) -> None:
    daemon = managed.start()
    until(lambda: manager.hears("WATCHDOG=1"), "it gives signs of life")
    daemon.signal(signal.SIGSTOP)
    try:
        manager.hears("")
        manager.heard.clear()
        with pytest.raises(AssertionError, match="signs of life"):
            until(lambda: manager.hears("WATCHDOG=1"), "it gives signs of life", timeout_s=3 * WATCHDOG_S)
    finally:
        daemon.signal(signal.SIGCONT)
    until(lambda: manager.hears("WATCHDOG=1"), "it gives signs of life")


def test_no_child_can_speak_for_it(managed: Dataset, manager: Manager, lakefs_binary: Path) -> None:
    managed.sections["lakefs"] = {}  # it starts a lakeFS of its own
    managed.more_environment["SYNCD_LAKEFS_BINARY"] = str(lakefs_binary)
    managed.configure()
    daemon = managed.start()
    until(lambda: manager.hears("READY=1"), "it is ready", timeout_s=60)
    children = psutil.Process(daemon.pid).children(recursive=True)
    assert children
    assert not any("NOTIFY_SOCKET" in child.environ() for child in children)


def test_health_says_what_is_not_well(make_dataset: Callable[..., Dataset], own_lakefs_server: ServerProcess) -> None:
    dataset = make_dataset(own_lakefs_server)
    none = dataset.command("health")
    assert none.returncode == 1
    assert "no daemon listens" in none.stderr
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    dataset.snapshot()
    checks = dataset.json_of("health")["checks"]
    assert [check["name"] for check in checks] == ["loop", "source images", "journal", "lakefs", "lease"]
    assert all(check == {"name": check["name"], "ok": True, "why": ""} for check in checks)
    dataset.root.rename(dataset.root.with_name("away"))
    dataset.status_until(lambda seen: not seen["sources"][0]["available"], "the folder is missed")
    failed = dataset.command("health")
    assert failed.returncode == 1
    assert "fail  source images: " in failed.stdout
    assert "does not exist" in failed.stdout
    assert dataset.command("health", "--live").returncode == 0
    dataset.root.with_name("away").rename(dataset.root)
    own_lakefs_server.stop()
    (dataset.root / "b.png").write_bytes(b"b")
    dataset.status_until(lambda seen: seen["failure"], "lakeFS is missed")
    unready = dataset.json_of("health", exit_code=1)
    (lakefs,) = [check for check in unready["checks"] if check["name"] == "lakefs"]
    assert not lakefs["ok"]
    assert own_lakefs_server.endpoint in lakefs["why"]


def test_the_state_word_says_since_when(dataset: Dataset) -> None:
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    dataset.snapshot()
    first = dataset.status_until(lambda seen: seen["state"] == "idle", "it is in step")
    assert dataset.status()["since"] == first["since"]
    assert f"idle, since {first['since'][:10]}" in dataset.command("status").stdout
    (dataset.root / "b.png").write_bytes(b"b")
    changed = dataset.status_until(lambda seen: seen["state"] == "waiting", "it waits")
    assert changed["since"] > first["since"]
