"""The embedded lakeFS server, for real: it starts, keeps its data, and never outlives its owner."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import psutil
import pytest

from syncd.embedded import ports
from syncd.embedded.installation import Installation, LastStart
from syncd.embedded.locks import FileLock
from syncd.embedded.process import ServerProcess
from syncd.embedded.server import EmbeddedLakeFS
from syncd.embedded.takeover import take_over
from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.lakefs

# Starts a server, says its process id, and waits to be killed.
OWNER = """
import sys
from pathlib import Path
from syncd.embedded.process import ServerProcess
server = ServerProcess(Path(sys.argv[1]), binary=Path(sys.argv[2]))
server.start()
print(server.pid, server.endpoint, flush=True)
sys.stdin.read()
"""


def start_owner(state_dir: Path, binary: Path) -> tuple[subprocess.Popen[str], psutil.Process, str]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, state_dir, binary],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    pid, endpoint = owner.stdout.readline().split()
    return owner, psutil.Process(int(pid)), endpoint


def answers(server: ServerProcess | EmbeddedLakeFS) -> bool:
    host, port = server.endpoint.removeprefix("http://").split(":")
    return ports.answers_as_ours(
        host, int(port), access_key_id=server.access_key_id, secret_access_key=server.secret_access_key
    )


def test_data_survive_a_restart(
    own_lakefs_server: ServerProcess,
    create_repository: Callable[[ServerProcess], str],
    s3_for: Callable[[ServerProcess], S3Client],
) -> None:
    """P4: also when the server is killed."""
    server, s3 = own_lakefs_server, s3_for(own_lakefs_server)
    repository, endpoint = create_repository(own_lakefs_server), server.endpoint
    s3.put_object(Bucket=repository, Key="main/a.txt", Body=b"before")

    server.stop()
    assert not server.is_running
    server.start()

    assert server.endpoint == endpoint
    assert s3.get_object(Bucket=repository, Key="main/a.txt")["Body"].read() == b"before"
    s3.put_object(Bucket=repository, Key="main/a.txt", Body=b"after")

    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    assert server.ended_within(5)
    server.start()

    assert s3.get_object(Bucket=repository, Key="main/a.txt")["Body"].read() == b"after"


def test_a_new_start_finds_the_same_keys_and_the_same_port(lakefs_binary: Path, tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        server = ServerProcess(tmp_path, binary=lakefs_binary)
        server.start()
        seen.add((server.endpoint, server.access_key_id, server.secret_access_key))
        server.stop()
    assert len(seen) == 1


def test_no_secret_is_in_a_command_line_or_in_the_log(lakefs_server: ServerProcess) -> None:
    assert lakefs_server.pid
    server = psutil.Process(lakefs_server.pid)
    said = " ".join(server.cmdline() + server.parent().cmdline())
    keys = lakefs_server.installation.keys()
    log = lakefs_server.installation.log_path.read_text()
    for secret in (keys.secret_access_key, keys.encryption_secret):
        assert secret not in said
        assert secret not in log


def test_when_its_owner_is_killed_the_server_ends_and_the_next_start_works(lakefs_binary: Path, tmp_path: Path) -> None:
    """P4: no human is needed after ``kill -9``; the next start does not even wait for the end of the old one."""
    owner, old, _ = start_owner(tmp_path, lakefs_binary)
    with owner:
        owner.kill()
    server = ServerProcess(tmp_path, binary=lakefs_binary)
    server.start()  # on the old port if nobody was quicker to take it

    assert not old.is_running()
    assert answers(server)
    server.stop()


def test_when_its_owner_is_killed_the_server_ends_by_itself(lakefs_binary: Path, tmp_path: Path) -> None:
    owner, old, _ = start_owner(tmp_path, lakefs_binary)
    with owner:
        owner.kill()
    with FileLock(tmp_path / "lakefs" / "server.lock"):
        assert not old.is_running()


def test_a_server_without_guard_or_owner_is_taken_over(lakefs_binary: Path, tmp_path: Path) -> None:
    """As it is left where the kernel has no parent-death signal and both were killed."""
    first = ServerProcess(tmp_path, binary=lakefs_binary)
    first.start()
    first.stop()
    installation = first.installation
    port = ports.choose("127.0.0.1", preferred=None)
    with FileLock(installation.server_lock_path) as lock:
        orphan = subprocess.Popen(
            [lakefs_binary, "run", "--config", installation.config_path],
            env=installation.environment(host="127.0.0.1", port=port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock.fileno()],
        )
    installation.remember_start(LastStart(pid=orphan.pid, port=port))

    with orphan:
        first.start()
        assert orphan.wait(timeout=10) is not None
    assert answers(first)
    first.stop()


def test_an_unknown_holder_of_the_data_is_not_killed(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.prepare()
    with (
        FileLock(installation.server_lock_path) as lock,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as stranger,
    ):
        lock.release()
        installation.remember_start(LastStart(pid=stranger.pid, port=1))
        with pytest.raises(EmbeddedServerError, match="does not end") as caught:
            take_over(installation, patience_s=(0.1, 0.1))
        assert stranger.poll() is None
        stranger.communicate()
    assert caught.value.next_step == f"find it with: fuser {installation.server_lock_path}"


def test_two_owners_of_one_directory_are_not_possible(
    own_lakefs_server: ServerProcess, lakefs_binary: Path, tmp_path: Path
) -> None:
    second = ServerProcess(tmp_path / "own-lakefs", binary=lakefs_binary)
    with pytest.raises(EmbeddedServerError, match=rf"run by another process \(process {os.getpid()}\)"):
        second.start()
    assert answers(own_lakefs_server)


def test_a_configured_port_that_is_taken_is_an_error(lakefs_binary: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        server = ServerProcess(tmp_path, binary=lakefs_binary, listen=f"127.0.0.1:{port}")
        with pytest.raises(EmbeddedServerError, match=f"cannot listen on 127.0.0.1:{port}: the port is taken"):
            server.start()


def test_a_port_that_is_taken_while_the_server_starts_is_given_up(lakefs_binary: Path, tmp_path: Path) -> None:
    """The start is repeated elsewhere, although somebody on the first port claims to be in good health."""
    wrapper = tmp_path / "slow-lakefs"  # the port is taken after it was chosen, before lakeFS starts
    wrapper.write_text(
        f'#!/bin/sh\n[ -p {tmp_path}/gate ] && read -r line < {tmp_path}/gate\nexec {lakefs_binary} "$@"\n'
    )
    wrapper.chmod(0o755)
    os.mkfifo(tmp_path / "gate")
    server = ServerProcess(tmp_path, binary=wrapper)
    server.installation.prepare()
    server.installation.remember_start(LastStart(pid=1, port=ports.choose("127.0.0.1", preferred=None)))
    first_choice = server.installation.last_start()
    assert first_choice
    starting = Thread(target=server.start)
    starting.start()
    with (tmp_path / "gate").open("w") as gate:  # opens once the wrapper waits there
        impostor = HTTPServer(("127.0.0.1", first_choice.port), HealthyImpostor)
        serving = Thread(target=impostor.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        (tmp_path / "gate").unlink()
        gate.write("go on\n")
    starting.join()

    assert answers(server)
    assert server.endpoint != f"http://127.0.0.1:{first_choice.port}"
    server.stop()
    impostor.shutdown()
    impostor.server_close()
    serving.join()


class HealthyImpostor(BaseHTTPRequestHandler):
    """Feels well, and knows nobody's keys."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_health" else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    binary = tmp_path / "lakefs"
    binary.write_text("#!/bin/sh\necho 'level=fatal msg=\"no such database\"'\nexit 3\n")
    binary.chmod(0o755)
    server = ServerProcess(tmp_path / "state", binary=binary)
    with pytest.raises(EmbeddedServerError) as caught:
        server.start()
    assert caught.value.fact == "The embedded lakeFS ended at once with code 3"
    assert 'level=fatal msg="no such database"' in caught.value.cause
    assert str(server.installation.log_path) in caught.value.next_step
    assert not server.is_running


def test_a_server_that_never_becomes_healthy_is_given_up(tmp_path: Path) -> None:
    binary = tmp_path / "lakefs"
    binary.write_text("#!/bin/sh\nexec sleep 600\n")
    binary.chmod(0o755)
    server = ServerProcess(tmp_path / "state", binary=binary, start_timeout_s=0.2)
    with pytest.raises(EmbeddedServerError, match=r"did not become healthy within 0\.2 s"):
        server.start()
    assert not server.is_running


async def test_its_death_is_noticed_and_it_comes_back_as_it_was(lakefs_binary: Path, tmp_path: Path) -> None:
    async with EmbeddedLakeFS(tmp_path, binary=lakefs_binary) as server:
        before = (server.endpoint, server.access_key_id, server.secret_access_key)
        for _ in range(2):
            assert not server.died.is_set()
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.wait_for(server.wait(), 5)
            await server.restart()
            assert await asyncio.to_thread(answers, server)
            assert (server.endpoint, server.access_key_id, server.secret_access_key) == before


def test_on_a_full_disk_it_is_not_started_and_later_it_is(
    lakefs_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails of the disk is the server's error, and nothing of the attempt stands in the next one's way."""
    server = ServerProcess(tmp_path / "state", binary=lakefs_binary)
    opened = os.open

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def no_lock(path: object, *arguments: object) -> int:
        if str(path).endswith(".lock"):
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, *arguments)

    for name, failing in (("pwrite", full), ("open", no_lock)):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, failing)
            if name == "open":
                with pytest.raises(EmbeddedServerError, match="Too many open files"):
                    server.start()
            else:
                server.start()  # who runs it is only for those who ask
                server.stop()
    server.start()
    assert server.is_running
    server.stop()


async def test_stopping_it_is_no_death(lakefs_binary: Path, tmp_path: Path) -> None:
    server = EmbeddedLakeFS(tmp_path, binary=lakefs_binary)
    async with server:
        await server.start()  # a second start does nothing
        assert await server.stop() == 0
        assert await server.stop() is None
    assert not server.died.is_set()


async def test_a_cancelled_start_leaves_no_server(lakefs_binary: Path, tmp_path: Path) -> None:
    server = EmbeddedLakeFS(tmp_path, binary=lakefs_binary)
    starting = asyncio.create_task(server.start())
    await asyncio.sleep(0)  # let it begin
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert server.pid is None
    lock = FileLock(tmp_path / "lakefs" / "server.lock")
    assert lock.try_acquire()
    lock.release()


def test_before_the_first_start_there_is_nothing_to_tell(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, binary=tmp_path / "lakefs")
    for ask in (lambda: server.endpoint, lambda: server.access_key_id, server.fileno):
        with pytest.raises(ValueError, match="embedded lakeFS"):
            ask()
    assert server.pid is None
    assert server.log_tail() == ""
    assert server.stop() is None


def run_lakefs_command(*arguments: object, **options: object) -> subprocess.Popen[str]:
    code = "from syncd.cli.lakefs_commands import app; app(prog_name='syncd lakefs')"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lakefs_up_runs_until_a_signal_and_tells_how_to_reach_it(
    number: int, lakefs_binary: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"SYNCD_LAKEFS_BINARY": str(lakefs_binary)}
    with run_lakefs_command("up", "--dir", tmp_path / "it's", env=environment) as up:
        assert up.stdout
        lines = [up.stdout.readline() for _ in range(9)]
        up.send_signal(number)
        rest, errors = up.communicate(timeout=20)

    assert (up.returncode, rest, errors) == (0, "", "")
    secret = (tmp_path / "it's" / "lakefs" / "keys" / "secret_access_key").read_text().strip()
    assert secret not in "".join(lines)
    shell = "".join(line for line in lines if line.startswith("  export "))
    asked = (
        "echo $LAKECTL_SERVER_ENDPOINT_URL $LAKECTL_CREDENTIALS_ACCESS_KEY_ID $LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"
    )
    answer = subprocess.run(["sh", "-c", shell + asked], capture_output=True, text=True, check=True).stdout.split()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", answer[0])
    assert answer[1].startswith("SYNCD")
    assert answer[2] == secret


def test_lakefs_up_shows_the_secret_if_asked_and_ends_when_the_server_dies(lakefs_binary: Path, tmp_path: Path) -> None:
    environment = os.environ | {"SYNCD_LAKEFS_BINARY": str(lakefs_binary)}
    with run_lakefs_command("up", "--dir", tmp_path, "--show-secret", env=environment) as up:
        assert up.stdout
        lines = [up.stdout.readline() for _ in range(9)]
        guard = psutil.Process(up.pid).children()[0]
        guard.children()[0].kill()
        _, errors = up.communicate(timeout=20)

    secret = (tmp_path / "lakefs" / "keys" / "secret_access_key").read_text().strip()
    assert f"secret access key  {secret}\n" in "".join(lines)
    assert up.returncode != 0
    assert "The lakeFS server ended by itself" in errors


def test_lakefs_path_prints_the_binary(lakefs_binary: Path) -> None:
    environment = os.environ | {"SYNCD_LAKEFS_BINARY": str(lakefs_binary)}
    with run_lakefs_command("path", env=environment) as path:
        assert path.communicate() == (f"{lakefs_binary}\n", "")
