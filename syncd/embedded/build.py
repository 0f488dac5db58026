"""Compile lakeFS once from its pinned Go module, into a cache that several builders may share.

Only the holder of the lock builds, in a folder of its own, and the finished binary appears under its name in
one step. A builder that dies leaves nothing but that folder, which the next holder of the lock removes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.embedded import toolchain
from syncd.embedded.files import sync_folder
from syncd.embedded.locks import FileLock
from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.embedded.progress import Progress

PINNED_VERSION = "1.84.0"

_RECIPE_FILES = ("go.mod", "go.sum")
_FLAGS = (
    "-v",  # names each package as it is compiled, which is the progress shown
    "-trimpath",
    "-buildvcs=false",  # the cache directory may lie in a repository of the user's
    "-ldflags",
    f"-s -w -X github.com/treeverse/lakefs/pkg/version.Version={PINNED_VERSION}",
)
_WORKSPACE_PREFIX = "build-"
_SHOWN_LOG_LINES = 12
_TICK_S = 1.0
_INTERRUPT_TIMEOUT_S = 10.0
_DISK_FULL = "The disk is full; a first build needs about 4 GB for a while"


def recipe_key() -> str:
    """Return 12 hex digits that change with the pinned modules, the compiler's flags and the kind of machine."""
    recipe = hashlib.sha256()
    for name in _RECIPE_FILES:
        recipe.update(Path(__file__).with_name(name).read_bytes())
    recipe.update("\0".join((*_FLAGS, sys.platform, platform.machine())).encode())
    return recipe.hexdigest()[:12]


def build(target: str, destination: Path, *, is_good: Callable[[Path], bool], progress: Progress) -> Path:
    """Build ``lakefs`` or ``lakectl`` and put it at ``destination``; return that path.

    Waits while another process builds, and uses what that one made.

    Args:
        target: The command's name in lakeFS's module.
        destination: ``<cache>/<key>/<target>``; all else lives in ``<cache>``.
        is_good: Says whether a binary can be used.
        progress: Hears what is being done.

    Raises:
        EmbeddedServerError: There is no Go and none could be fetched, the compiler failed, or the disk is full.
    """
    cache = destination.parent.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / "lock")
        if not lock.try_acquire():
            progress.say("waiting for another process that is building lakeFS")
            while not lock.acquire_within(_TICK_S):
                progress.update("waiting for another process that is building lakeFS")
        try:
            if not is_good(destination):
                _remove_leavings(cache)
                _build_locked(target, destination, is_good, progress)
        finally:
            lock.release()
    except OSError as error:
        raise _filesystem_error(error, cache) from error
    return destination


def _build_locked(target: str, destination: Path, is_good: Callable[[Path], bool], progress: Progress) -> None:
    cache = destination.parent.parent
    log = cache / f"build-{target}.log"
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=_WORKSPACE_PREFIX, dir=cache, ignore_cleanup_errors=True) as folder:
        workspace = Path(folder)
        go = toolchain.obtain(workspace, progress)
        progress.say(f"building {target} {PINNED_VERSION} with {go.version}, once; it takes some minutes")
        product = _compile(target, go, workspace, log, progress)
        if not is_good(product):
            raise EmbeddedServerError(
                f"The {target} just built does not run", next_step=f"read {log}, or set SYNCD_LAKEFS_BINARY"
            )
        _install(product, destination)
    log.unlink()
    progress.say(f"built {destination} in {time.monotonic() - started:.0f} s")


def _compile(target: str, go: toolchain.Go, workspace: Path, log: Path, progress: Progress) -> Path:
    module = workspace / "module"
    module.mkdir()
    for name in _RECIPE_FILES:
        shutil.copyfile(Path(__file__).with_name(name), module / name)
    product = workspace / target
    package = f"github.com/treeverse/lakefs/cmd/{target}"
    command = [str(go.executable), "build", *_FLAGS, "-o", str(product), package]
    started = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - a Go found by toolchain.obtain
            command, cwd=module, env=go.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as compiler,
    ):
        try:
            while (code := _wait(compiler, seconds=_TICK_S)) is None:
                progress.update(_state_of_build(target, log, time.monotonic() - started))
        except BaseException:
            _interrupt(compiler)
            raise
    if code != 0:
        raise _compiler_error(target, code, log)
    return product


def _interrupt(compiler: subprocess.Popen[bytes]) -> None:
    """End the compiler so that its own children end before it: nothing writes to the workspace any more."""
    compiler.send_signal(signal.SIGINT)
    if _wait(compiler, seconds=_INTERRUPT_TIMEOUT_S) is None:
        compiler.kill()


def _wait(process: subprocess.Popen[bytes], *, seconds: float) -> int | None:
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


def _state_of_build(target: str, log: Path, elapsed_s: float) -> str:
    lines = log.read_text(errors="replace").splitlines()
    downloaded = sum(line.startswith("go: downloading ") for line in lines)
    compiled = sum(map(_is_progress, lines)) - downloaded
    minutes, seconds = divmod(int(elapsed_s), 60)
    return f"building {target}: {downloaded} modules fetched, {compiled} packages compiled, {minutes}:{seconds:02}"


def _is_progress(line: str) -> bool:
    """Tell the lines of a build that goes well: a download, or a bare package path."""
    return line.startswith("go: downloading ") or re.fullmatch(r"[\w.~/-]+", line) is not None


def _install(product: Path, destination: Path) -> None:
    """Move the binary to its place so that even a power cut leaves all of it or nothing."""
    with product.open("rb") as built:
        os.fsync(built.fileno())
    destination.parent.mkdir(exist_ok=True)
    product.replace(destination)
    sync_folder(destination.parent)


def _remove_leavings(cache: Path) -> None:
    """Remove what dead builders left: while the lock is ours, no living one has a workspace."""
    for leaving in cache.glob(f"{_WORKSPACE_PREFIX}*"):
        if leaving.is_dir():
            shutil.rmtree(leaving, ignore_errors=True)


def _compiler_error(target: str, code: int, log: Path) -> EmbeddedServerError:
    text = log.read_text(errors="replace")
    telling = [line for line in text.splitlines() if line.strip() and not _is_progress(line)]
    cause, next_step = "", "read the log, then try again"
    if "no space left on device" in text:
        cause, next_step = f"{_DISK_FULL}. ", "free some space, or set XDG_CACHE_HOME to a larger disk"
    elif re.search(r"dial tcp|proxyconnect|i/o timeout|no such host|TLS handshake", text):
        cause = "The Go modules could not be downloaded. "
        next_step = "check the network, HTTPS_PROXY and GOPROXY, or set SYNCD_LAKEFS_BINARY to a lakeFS you have"
        next_step += toolchain.outside_of_a_unit()
    said = "".join(f"\n    {line}" for line in telling[-_SHOWN_LOG_LINES:])
    return EmbeddedServerError(
        f"Building {target} {PINNED_VERSION} failed: go build ended with {code}",
        cause=f"{cause}The end of {log}:{said}",
        next_step=next_step,
    )


def _filesystem_error(error: OSError, cache: Path) -> EmbeddedServerError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return EmbeddedServerError(
        f"lakeFS cannot be built in {cache}: {error.strerror or error}",
        cause=_DISK_FULL if full else "",
        next_step=("free some space there, or " if full else "")
        + "set XDG_CACHE_HOME to a directory with room where syncd may write",
    )
