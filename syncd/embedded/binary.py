"""Where is a lakeFS binary? One a person chose, else the cached one, else one built now."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from syncd.embedded import build
from syncd.embedded.progress import Progress, TerminalProgress
from syncd.errors import EmbeddedServerError
from syncd.presence import expanded, is_file
from syncd.threads import in_thread_to_its_end

Target = Literal["lakefs", "lakectl"]

_VERSION_TIMEOUT_S = 30.0  # 0.1 s is normal; a cold disk reads 94 MB first


def find_or_build(target: Target = "lakefs", *, progress: Progress | None = None) -> Path:
    """Return the path of a ``lakefs`` or ``lakectl`` binary that runs, building it if there is none.

    Looked for in this order: ``$SYNCD_LAKEFS_BINARY`` (``$SYNCD_LAKECTL_BINARY``), ``PATH``, the user's cache
    directory. A binary of another version than the pinned one is used with a word of warning: a person put
    it there. Blocks for some minutes when it has to build.

    Args:
        target: The server or the command line client.
        progress: Hears what is going on; None: standard error.

    Raises:
        EmbeddedServerError: The variable names no working binary, or none could be built.
    """
    progress = progress or TerminalProgress()
    return (
        _from_environment(target, progress)
        or _from_path(target, progress)
        or _from_cache(target)
        or build.build(target, cached_path(target), is_good=_runs, progress=progress)
    )


async def obtain(target: Target = "lakefs", *, progress: Progress | None = None) -> Path:
    """Do the same as ``find_or_build`` without blocking the event loop; a cancellation ends a build that runs."""
    stoppable = _Stoppable(progress or TerminalProgress())
    work = functools.partial(find_or_build, target, progress=stoppable)
    return await in_thread_to_its_end(work, on_cancel=stoppable.stopped.set)


class _StoppedError(Exception):
    """Nobody waits for the build any more."""


class _Stoppable:
    """Progress that ends the work at its next word once it is told to."""

    def __init__(self, inner: Progress) -> None:
        self.stopped = threading.Event()
        self._inner = inner

    def say(self, line: str) -> None:
        self._check()
        self._inner.say(line)

    def update(self, line: str) -> None:
        self._check()
        self._inner.update(line)

    def _check(self) -> None:
        if self.stopped.is_set():
            raise _StoppedError


def cached_path(target: Target) -> Path:
    """Return where the built binary is kept; the name changes with everything that goes into the build."""
    return user_cache_path("syncd") / "lakefs" / f"{build.PINNED_VERSION}-{build.recipe_key()}" / target


def version_of(binary: Path) -> str | None:
    """Return the version a binary tells of itself, "unknown" if it tells none, None if it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - the binary a person chose, or the one built here
            [binary, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+\.\d+\.\d+[-+.\w]*", answer.stdout)
    return found.group() if found else "unknown"


def _from_environment(target: Target, progress: Progress) -> Path | None:
    variable = f"SYNCD_{target.upper()}_BINARY"
    value = os.environ.get(variable)
    if not value:
        return None
    binary = Path(expanded(value)).absolute()
    fact = None
    if not is_file(binary):
        fact = f"${variable} is {value}, which is not a file"
    elif not os.access(binary, os.X_OK):
        fact = f"${variable} is {value}, which is not executable"
    elif (version := version_of(binary)) is None:
        fact = f"${variable} is {value}, which fails when asked for its version"
    else:
        _warn_of_other_version(binary, version, progress)
        return binary
    raise EmbeddedServerError(
        fact, next_step=f"point it at a {target} binary for this machine, or unset it to have one found or built"
    )


def _from_path(target: Target, progress: Progress) -> Path | None:
    found = shutil.which(target)
    if found is None:
        return None
    binary = Path(found).absolute()
    version = version_of(binary)
    if version is None:
        progress.say(f"{binary} does not run, so it is not used")
        return None
    _warn_of_other_version(binary, version, progress)
    return binary


def _from_cache(target: Target) -> Path | None:
    binary = cached_path(target)
    return binary if _runs(binary) else None


def _runs(binary: Path) -> bool:
    return is_file(binary) and version_of(binary) is not None


def _warn_of_other_version(binary: Path, version: str, progress: Progress) -> None:
    if version != build.PINNED_VERSION:
        progress.say(f"warning: {binary} is version {version}; syncd is tested with {build.PINNED_VERSION}")
