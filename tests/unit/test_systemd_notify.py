"""What syncd tells systemd, on a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.service import systemd
from syncd.service.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """A manager's address, and what has been said to it since the last time."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@syncd-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if address.startswith("@") else address)
        listening.setblocking(False)

        def said() -> list[str]:
            found = []
            while True:
                try:
                    found.append(listening.recv(4096).decode())
                except BlockingIOError:
                    return found

        yield address, said


def test_it_says_when_it_is_ready_what_it_does_and_when_it_ends(manager: tuple[str, Callable[[], list[str]]]) -> None:
    address, said = manager
    with Notifier(address) as notifier:
        notifier.ready()
        notifier.status("idle: in step\nwith  the source")
        notifier.status("idle: in step with the source")
        notifier.alive()
        notifier.stopping()
        assert said() == ["READY=1", "STATUS=idle: in step with the source", "WATCHDOG=1", "STOPPING=1"]
        before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.reloading()
    (reloading,) = said()
    first, second = reloading.splitlines()
    assert first == "RELOADING=1"
    assert before_us <= int(second.removeprefix("MONOTONIC_USEC=")) <= before_us + 1e6
    notifier.ready()
    assert said() == []


async def test_it_asks_for_time_for_as_long_as_it_takes(
    manager: tuple[str, Callable[[], list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_EXTEND_EVERY_S", 0.01)
    address, said = manager
    heard: list[str] = []
    with Notifier(address) as notifier:
        async with notifier.taking_long(), asyncio.timeout(5):
            while len(heard) < 3:
                heard += said()
                await asyncio.sleep(0.005)
        assert set(heard) == {"EXTEND_TIMEOUT_USEC=30000000"}
        said()
        await asyncio.sleep(0.05)
        assert said() == []


def test_the_environment_is_taken_and_taken_away() -> None:
    environment = {"NOTIFY_SOCKET": "@none", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    with Notifier.from_environment(environment) as notifier:
        assert notifier.watchdog_s == 30.0
    assert environment == {"A": "b"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "30000000"},  # nobody listens
        {"NOTIFY_SOCKET": "@none", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},  # meant for another process
        {"NOTIFY_SOCKET": "@none", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "@none", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "vsock:2:1"},
    ],
)
def test_without_a_watchdog_there_is_none(environment: dict[str, str]) -> None:
    with Notifier.from_environment(environment) as notifier:
        assert notifier.watchdog_s is None


def test_a_manager_that_has_gone_does_no_harm(tmp_path: Path) -> None:
    with Notifier(str(tmp_path / "nobody")) as notifier:
        notifier.ready()
        notifier.status("x" * 10_000)
