"""The real daemon as a process: a dataset on disk, its configuration, and the commands on it.

Nothing here waits for a fixed time: ``until`` looks again until a condition holds or a deadline passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from syncd.service import control
from tests.support import warm

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from syncd.embedded.process import ServerProcess

T = TypeVar("T")

SYNCD = Path(sys.executable).with_name("syncd")
PATIENCE_S = 30.0  # for what takes well under a second on a quiet machine
LOOK_EVERY_S = 0.03
STOP_S = 30.0

# What a test's daemon does unless the test says otherwise: quick to notice, and no snapshot that nobody asked for.
DEFAULTS: dict[str, dict[str, Any]] = {
    "source": {"include": ["*"], "settle_seconds": 0.1},
    "snapshot": {"quiet_seconds": "off", "max_wait_seconds": "off", "max_changes": "off"},
    "guard": {"max_delete_percent": 100},  # what is deleted here is meant to be
    "service": {"listen": "", "log_format": "json"},
}


def until(condition: Callable[[], T], what: str | Callable[[], str], *, timeout_s: float = PATIENCE_S) -> T:
    """Return the condition's first true value; fail with ``what`` (called if it can be) after the deadline."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what() if callable(what) else what}"
        pause.wait(LOOK_EVERY_S)
    return value


def answer(calling: Coroutine[Any, Any, T]) -> T:
    """Return what a call answers; in a thread, as the browser's tests have a loop in theirs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, calling).result()


DATASETS = pytest.StashKey[list["Dataset"]]()  # those of a test


class Dataset:
    """A folder to watch, a configuration, and the commands of ``syncd`` on it.

    Args:
        directory: Everything lies below it: ``images`` (the root), ``state``, ``syncd.toml``.
        lakefs: The configuration's section, as ``server_section`` makes it; empty: the embedded server.
    """

    def __init__(self, directory: Path, lakefs: Mapping[str, Any] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.root, self.state_dir = directory, directory / "images", directory / "state"
        self.config, self.home = directory / "syncd.toml", directory / "home"
        self.command_prefix: tuple[str, ...] = ()  # such as setpriv
        self.more_environment: dict[str, str] = {}
        self.root.mkdir()
        self.home.mkdir()
        self.sections: dict[str, Any] = {name: dict(values) for name, values in DEFAULTS.items()}
        self.sections["source"]["root"] = str(self.root)
        self.sections["service"]["state_dir"] = str(self.state_dir)
        self.sections["lakefs"] = dict(lakefs or {})
        self.daemons: list[Daemon] = []
        self.configure()

    def configure(self, **sections: Any) -> None:
        """Change keys of some sections (``snapshot={"quiet_seconds": 1}``) and write the file."""
        for name, values in sections.items():
            if name == "tables":
                self.sections["tables"] = values
            else:
                self.sections.setdefault(name, {}).update(values)
        self.config.write_text(to_toml(self.sections))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process: nothing of the person's own lakeFS or syncd."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SYNCD_", "LAKECTL_", "AWS_"))
        }
        if binary := os.environ.get("SYNCD_LAKEFS_BINARY"):
            kept["SYNCD_LAKEFS_BINARY"] = binary
        return {**kept, "HOME": str(self.home), "COLUMNS": "200", **self.more_environment}

    def arguments(self, command: str, *arguments: str) -> list[str]:
        """Return the command line of a command."""
        return [*self.command_prefix, str(SYNCD), *command.split(), *arguments, "--config", str(self.config)]

    def command(self, command: str, *arguments: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        called = self.arguments(command, *arguments)
        if not self.command_prefix:
            told = warm.run(called[1:], env=self.environment, cwd=self.directory, timeout_s=timeout_s)
            return subprocess.CompletedProcess(called, *told)
        return subprocess.run(
            called,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            cwd=self.directory,
        )

    def json_of(self, command: str, *arguments: str, exit_code: int = 0) -> Any:
        """Run a command with ``--json`` and return what it prints."""
        done = self.command(command, *arguments, "--json")
        assert done.returncode == exit_code, done.stderr + done.stdout
        return json.loads(done.stdout)

    def start(self, *, ready: bool = True) -> Daemon:
        """Start the daemon; wait until it answers, unless told otherwise."""
        daemon = Daemon(self, self.directory / f"daemon-{len(self.daemons)}.log")
        self.daemons.append(daemon)
        if ready:
            daemon.wait_until_ready()
        return daemon

    def status(self) -> dict[str, Any]:
        """Ask the running daemon how things stand."""
        return dict(answer(control.call(self.state_dir, "status")))

    def status_until(
        self, condition: Callable[[dict[str, Any]], Any], what: str, *, timeout_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until the status is as wanted, and return it."""
        last: dict[str, Any] = {}

        def holds() -> bool:
            nonlocal last
            with contextlib.suppress(ConnectionError):
                last = self.status()
            return bool(last) and bool(condition(last))

        try:
            until(holds, what, timeout_s=timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast status: {json.dumps(last, indent=1)}") from None
        return last

    def snapshot(self, *, timeout_s: float = 60, allow_held: bool = False) -> dict[str, Any]:
        """Take a snapshot through the daemon's socket, as ``syncd snapshot`` does, without starting a process."""
        calling = control.call(self.state_dir, "snapshot", timeout_s=timeout_s, allow_held=allow_held)
        return dict(answer(calling))

    def close(self) -> None:
        """End every daemon that still runs."""
        for daemon in self.daemons:
            daemon.end()


class Daemon:
    """One ``syncd run``, in a session of its own."""

    def __init__(self, dataset: Dataset, log_path: Path) -> None:
        self.log_path, self._dataset = log_path, dataset
        called = dataset.arguments("run")
        with log_path.open("wb") as log:
            self._process: subprocess.Popen[bytes] | warm.Process
            if dataset.command_prefix:
                self._process = subprocess.Popen(
                    called,
                    env=dataset.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd=dataset.directory,
                )
            else:
                streams = {"stdout": log.fileno(), "stderr": log.fileno()}
                self._process = warm.start(called[1:], env=dataset.environment, cwd=dataset.directory, **streams)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        """Return everything it has said."""
        return self.log_path.read_text(errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines, those of one event if it is named."""
        lines = [
            json.loads(line) for line in self.log().splitlines(keepends=True) if line[0] == "{" and line[-1] == "\n"
        ]
        return [line for line in lines if name is None or line.get("event") == name]

    def wait_until_ready(self) -> None:
        """Wait until it answers; fail at once if it ends."""

        def answers() -> bool:
            assert self.exit_code is None, f"the daemon ended with {self.exit_code}:\n{self.log()}"
            with contextlib.suppress(ConnectionError):
                return bool(self._dataset.status())
            return False

        until(answers, "the daemon answers")

    def wait_for_event(self, name: str, *, timeout_s: float = PATIENCE_S, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the log holds an event so many times."""
        until(lambda: len(self.events(name)) >= count, f"event {name} in the log", timeout_s=timeout_s)
        return self.events(name)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Wait for its end and return the exit code."""
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """Stop it in an orderly way; it must end with 0."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"it ended with {code}:\n{self.log()}"

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End it, however it is."""
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()


def server_section(server: ServerProcess, directory: Path, repository: str, **more: Any) -> dict[str, Any]:
    """Return the ``[lakefs]`` section for a running server; the secret goes to a private file."""
    secret = directory / "lakefs-secret"
    secret.touch(mode=0o600)
    secret.write_text(server.secret_access_key + "\n")
    return {
        "endpoint": server.endpoint,
        "access_key_id": server.access_key_id,
        "secret_access_key_file": str(secret),
        "repository": repository,
        "storage_namespace": f"local://{repository}",
        **more,
    }


def to_toml(sections: Mapping[str, Any]) -> str:
    """Return a configuration file: a JSON text, number, boolean or list of them is TOML as well."""
    lines: list[str] = []
    for name, values in sections.items():
        for header, table in _tables(name, values):
            lines += [header, *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()), ""]
    return "\n".join(lines)


def _tables(name: str, values: Any) -> Sequence[tuple[str, Mapping[str, Any]]]:
    if isinstance(values, list):
        return [(f"[[{name}]]", value) for value in values]
    return [(f"[{name}]", values)] if values else []
