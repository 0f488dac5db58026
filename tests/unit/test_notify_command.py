"""The command that is told: real programs, good and bad."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from syncd.notify.command import Command
from syncd.notify.delivery import UndeliveredError
from syncd.notify.events import Kind
from syncd.notify.notice import Notice

NOTICE = Notice(id="7", kind=Kind.HOLD, body=json.dumps({"id": "7", "text": "x" * 3000}).encode(), made_s=0.0)
SYNCDS_OWN = {
    "PATH": os.environ["PATH"],
    "HOME": "/home/syncd",
    "SYNCD_NOTIFY__WEBHOOK_SECRET": "canary",
    "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": "canary",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "CREDENTIALS_DIRECTORY": "/run/credentials/canary",
    "NOTIFY_SOCKET": "/run/canary",
}


def shell(script: str, *, limit_s: float = 20.0) -> Command:
    return Command(arguments=("/bin/sh", "-c", script), limit_s=limit_s, environment=SYNCDS_OWN)


async def refused(command: Command) -> str:
    with pytest.raises(UndeliveredError) as caught:
        await command.send(NOTICE)
    assert not caught.value.again, "nobody knows how far it came"
    return str(caught.value)


def runs(pid: int) -> bool:
    """Return whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while runs(pid):
            await asyncio.sleep(0.01)


async def test_it_gets_the_event_its_name_and_a_minimal_environment(tmp_path: Path) -> None:
    script = f"cat > {tmp_path}/stdin; cat /proc/self/environ > {tmp_path}/environ; pwd > {tmp_path}/cwd"
    await shell(script).send(NOTICE)
    assert (tmp_path / "stdin").read_bytes() == NOTICE.body
    given = dict(pair.split("=", 1) for pair in (tmp_path / "environ").read_text().rstrip("\0").split("\0"))
    assert given.pop("SYNCD_EVENT") == "hold"
    assert set(given) <= {"PATH", "HOME", "PWD", "OLDPWD", "_", "SHLVL"}
    assert "canary" not in str(given)
    assert (tmp_path / "cwd").read_text() == "/\n"


async def test_there_is_no_shell_in_between(tmp_path: Path) -> None:
    program = f"import sys, pathlib; pathlib.Path({str(tmp_path / 'argv')!r}).write_text(repr(sys.argv[1:]))"
    arguments = (sys.executable, "-c", program, "$HOME; rm -rf x", "`id`", "")
    await Command(arguments=arguments, environment=SYNCDS_OWN).send(NOTICE)
    assert (tmp_path / "argv").read_text() == repr(["$HOME; rm -rf x", "`id`", ""])


async def test_the_first_line_it_says_is_logged_and_made_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    await shell(r"printf 'told \033[31mops\n' >&2; echo more").send(NOTICE)
    said = capsys.readouterr()
    assert "told �[31mops" in said.out + said.err
    assert "more" not in said.out + said.err


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo no such channel; exit 3", "it exited with 3: no such channel"),
        ("exit 1", "it exited with 1"),
        ("kill -9 $$", "it was ended by signal 9"),
    ],
)
async def test_a_command_that_fails_says_why(script: str, says: str) -> None:
    assert await refused(shell(script)) == says


async def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "strange").write_text("#!/absent/interpreter\n")
    (tmp_path / "strange").chmod(0o700)
    for name, why in (
        ("absent", "No such file or directory"),
        ("plain", "Permission denied"),
        ("strange", "No such file or directory"),
    ):
        assert await refused(Command(arguments=(str(tmp_path / name),))) == f"it cannot be started: {why}"


async def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    said = await refused(shell(f"sleep 600 & echo $! > {tmp_path}/child; trap '' TERM; sleep 600", limit_s=1.0))
    assert said == "it was killed after 1 s"
    assert 1 <= time.monotonic() - began < 8
    await gone(int((tmp_path / "child").read_text()))


async def test_what_it_leaves_behind_with_its_output_open_has_the_same_time(tmp_path: Path) -> None:
    said = await refused(shell(f"sleep 600 & echo $! > {tmp_path}/child", limit_s=1.0))
    assert said == "it was killed after 1 s"
    await gone(int((tmp_path / "child").read_text()))


async def test_output_without_end_costs_no_memory_and_ends_with_its_time() -> None:
    before = Path("/proc/self/statm").read_text().split()[1]
    assert (await refused(shell("yes", limit_s=1.0))) == "it was killed after 1 s: y"
    after = Path("/proc/self/statm").read_text().split()[1]
    assert (int(after) - int(before)) * os.sysconf("SC_PAGE_SIZE") < 20 * 1024**2


async def test_the_loop_turns_while_a_command_hangs_and_its_cancellation_kills_it(tmp_path: Path) -> None:
    hanging = asyncio.create_task(shell(f"echo $$ > {tmp_path}/pid; sleep 600").send(NOTICE))
    async with asyncio.timeout(10):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            await asyncio.sleep(0.01)
    pid = int((tmp_path / "pid").read_text())
    assert os.getpgid(pid) == pid, "it has a process group of its own"
    began = time.monotonic()
    hanging.cancel()
    await asyncio.wait({hanging})
    assert hanging.cancelled()
    assert time.monotonic() - began < 2
    await gone(pid)


async def test_no_second_one_is_started_while_the_system_cannot_end_the_first(tmp_path: Path) -> None:
    """As on a file system that hangs: the thread that waits for the first one does not come back."""
    command = shell(f"echo once >> {tmp_path}/count; sleep 600", limit_s=20)
    first = asyncio.create_task(command.send(NOTICE))
    async with asyncio.timeout(10):
        while not (tmp_path / "count").exists():
            await asyncio.sleep(0.01)
    assert await refused(command) == "the one before hangs, and cannot be ended"
    first.cancel()
    await asyncio.wait({first})
    assert (tmp_path / "count").read_text() == "once\n"
