"""``syncd`` as a process of its own, without the second that importing costs each time.

A process that has imported everything waits; each start is a fork of it, which gets its own arguments, environment,
working directory, session and streams, runs the same ``main``, and ends as any Python does. Most tests of commands take
this way. What is about the start itself takes the other one: ``Dataset.arguments`` with ``subprocess``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
_STREAMS = 3
_LONGEST_BYTES = 1 << 17
_INT = struct.Struct("=i")


class Process:
    """A running ``syncd``; what ``subprocess.Popen`` offers of the same names."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self.returncode = pid, None
        self._status = status

    def poll(self) -> int | None:
        """Return how it ended, or None while it runs."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return how it ended: the exit code, or a signal's number, negative."""
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("syncd", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and _readable(self._status, timeout):
            self.returncode = os.waitstatus_to_exitcode(_INT.unpack(os.read(self._status, _INT.size))[0])
            os.close(self._status)
        return self.returncode


def _readable(descriptor: int, timeout_s: float | None) -> bool:
    """Wait; by ``poll``, as long runs have more descriptors than ``select`` can count."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(None if timeout_s is None else timeout_s * 1000))


def start(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdout: int,
    stderr: int,
) -> Process:
    """Start ``syncd`` with these arguments, in a session of its own, without an input.

    Args:
        arguments: Without the command's name.
        env: Its whole environment.
        cwd: Its working directory.
        stdout: A descriptor.
        stderr: A descriptor.
    """
    status, its_status = os.pipe()
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        request = json.dumps({"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}).encode()
        socket.send_fds(_waiting(), [request], [nothing.fileno(), stdout, stderr, its_status])
    os.close(its_status)
    (pid,) = _INT.unpack(os.read(status, _INT.size))
    return Process(pid, status)


def run(arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout_s: float) -> tuple[int, str, str]:
    """Run ``syncd`` to its end; return its exit code and what it said on both streams."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = start(arguments, env=env, cwd=cwd, stdout=stdout.fileno(), stderr=stderr.fileno())
        try:
            code = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
        said = []
        for stream in (stdout, stderr):
            stream.seek(0)
            said.append(stream.read().decode())
        return code, *said


@functools.cache
def _waiting() -> socket.socket:
    """Start what is forked; it ends when this process does, and its socket with it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            pass_fds=[its.fileno()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "200"},  # consoles ask when they are made, as they are imported
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> list[str]:
    """Fork for each request, and tell how each fork ends; returns in a fork, with its arguments."""
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    selector.unregister(key.fileobj)
                    _told_the_end(key.fd, *key.data)
                    continue
                request, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_BYTES, _STREAMS + 1)
                if not request:
                    sys.exit()
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    requests.close()
                    return _become(json.loads(request), descriptors)
                for descriptor in descriptors[:_STREAMS]:
                    os.close(descriptor)
                os.write(descriptors[_STREAMS], _INT.pack(pid))
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, descriptors[_STREAMS]))


def _told_the_end(pidfd: int, pid: int, status: int) -> None:
    os.close(pidfd)
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        os.write(status, _INT.pack(os.waitpid(pid, 0)[1]))
    os.close(status)


def _become(request: Mapping[str, object], descriptors: Sequence[int]) -> list[str]:
    os.setsid()
    for number, descriptor in enumerate(descriptors[:_STREAMS]):
        os.dup2(descriptor, number)
    os.closerange(_STREAMS, 1 << 16)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    return request["arguments"]


def _main() -> NoReturn:
    for module in ("syncd.cli.app", "syncd.client.restoring", "syncd.service.run"):
        importlib.import_module(module)
    arguments = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = ["syncd", *arguments]
    sys.modules["syncd.cli.app"].main()
    sys.exit()


if __name__ == "__main__":
    _main()
