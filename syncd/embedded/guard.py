"""Stands between syncd and lakeFS, so that the server never outlives whoever started it.

Run as a script, never imported: ``python -I -S guard.py GRACE_SECONDS COMMAND [ARGUMENT ...]``.

Standard input is a pipe whose other end only the parent holds. Its end means that the parent is gone, however
it died and whichever of its threads started us; Linux's parent-death signal alone would fire as soon as
that *thread* ends. Then, or on SIGTERM, the server gets SIGTERM, and SIGKILL after the grace. The parent-death
signal still serves for the last step: this process has one thread, so should it be killed itself, the server goes
with it. Standard output tells the parent the server's process id, and by its end that the server is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

_CAUGHT = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_EXEC_FAILED = 127  # as shells have it
_SIGNALLED = 128


def main(arguments: list[str]) -> int:
    """Run the command under guard; return its exit code, or 128 and its signal's number."""
    grace_s, command = float(arguments[0]), arguments[1:]
    wake_up, written_by_signals = os.pipe()
    for end in (wake_up, written_by_signals):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(written_by_signals)
    for number in _CAUGHT:
        signal.signal(number, _leave_to_the_loop)
    server = _start(command)
    with contextlib.suppress(OSError):  # no parent any more: the loop finds that out
        os.write(sys.stdout.fileno(), b"%d\n" % server)
    return _watch(server, wake_up, grace_s)


def _leave_to_the_loop(number: int, frame: object) -> None:
    """Do nothing here: the signal's number arrives through the wake-up pipe."""


def _start(command: list[str]) -> int:
    """Fork and execute the command; return its process id. Forking is safe: there is one thread."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    guard = os.getpid()
    # Until the server has the default handlers, a signal for it would run ours and be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
    server = os.fork()
    if server:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
        return server
    try:
        signal.set_wakeup_fd(-1)
        for number in (*_CAUGHT, signal.SIGPIPE):  # Python ignores the last, and that would be inherited
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == guard:  # else the guard died before the kernel knew what to do then
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            os.execv(command[0], command)  # noqa: S606 - our own argument vector, no shell wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(_EXEC_FAILED)


def _watch(server: int, wake_up: int, grace_s: float) -> int:
    watched = [sys.stdin.fileno(), wake_up]
    kill_at: float | None = None
    while True:
        timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select(watched, [], [], timeout)
        ended, status = os.waitpid(server, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _SIGNALLED - code
        if not ready:
            os.kill(server, signal.SIGKILL)
            kill_at = None
            continue
        told_to_stop = wake_up in ready and signal.SIGTERM in os.read(wake_up, 512)
        if watched[0] in ready and watched[0] != wake_up:  # nothing is ever written to it: this is its end
            told_to_stop = True
            del watched[0]
        if told_to_stop and kill_at is None:
            os.kill(server, signal.SIGTERM)
            kill_at = time.monotonic() + grace_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
