"""A folder source at work in a process of its own, so that it can be stopped, or live in namespaces of its own.

The process is told what to do by lines of JSON, and answers each with one:

==========  ==========================================================================================
barrier     wait for the barrier; answers what it left out
look        answers how things stand
write       write a text into a file, as the process sees it: for limits in /proc/sys
run         run a command, as the process sees the world: for mounts
kill        end the watcher's thread by an error
==========  ==========================================================================================
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
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from tests.support.machine_needs import lacking
from tests.support.watching import PATIENCE_SECONDS, Watched, sha256, watched

HERE = Path(__file__).parents[2]
LINE_BYTES = 64 << 20
LOOK_EVERY_S = 0.02
BARRIER_S = 120.0


class SourceProcess:
    """The parent's side."""

    def __init__(self, process: asyncio.subprocess.Process, root: Path) -> None:
        self._process, self._root = process, root

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def root(self) -> Path:
        """The folder as the process sees it, reached from here through its mounts."""
        return Path(f"/proc/{self.pid}/root{self._root}")

    async def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have something done and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()
        answer = await self._process.stdout.readline()
        assert answer, f"the process ended with {await self._process.wait()}"
        return dict(json.loads(answer))

    async def look(self) -> dict[str, Any]:
        """How things stand: ``health``, ``losses``, ``contents``, ``absences`` and so on."""
        return await self.ask("look")

    async def barrier(self) -> dict[str, Any]:
        """Wait for the barrier, which must leave nothing out, and return how things stand."""
        answer = await self.ask("barrier")
        assert answer == {"left_out": []}, answer
        return await self.look()

    async def run(self, *command: str) -> None:
        """Run a command as the process sees the world."""
        answer = await self.ask("run", command=command)
        assert answer["code"] == 0, answer

    async def until(
        self, reached: Callable[[dict[str, Any]], Any], what: str, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait until things stand as wanted."""
        found: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not reached(found := await self.ask("look", contents=False)):
                    await asyncio.sleep(LOOK_EVERY_S)
                return found
        raise AssertionError(f"not within {seconds:g} s: {what}; {found}")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep it from running for a while."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def source_process(
    root: Path, *, prefix: Sequence[str] = (), before: str = "", **settings: Any
) -> AsyncIterator[SourceProcess]:
    """Run a source on a folder in a process of its own.

    Args:
        root: The folder.
        prefix: Before its command line, such as ``unshare -Ur``.
        before: Shell commands that it runs first, as the process sees the world.
        settings: See ``tests.support.watching.make``.
    """
    command = [sys.executable, "-m", __name__, str(root), json.dumps(settings)]
    process = await asyncio.create_subprocess_exec(
        *(*prefix, "sh", "-ec", f'{before}\nexec "$@"', "sh", *command),
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )
    try:
        yield SourceProcess(process, root)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def needs_namespaces(*flags: str) -> list[str]:
    """Return the command that makes namespaces of one's own, such as ``-Ur``; skip where there are none.

    Under CI the test fails instead.
    """
    command = ["unshare", *flags]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        why = tried.stderr.strip() if tried.returncode else ""
    except FileNotFoundError:
        why = "there is no unshare"
    if why:
        lacking(f"no namespaces here, so this is not tested: {why}")
    return command


def hexed(contents: dict[str, bytes]) -> dict[str, str]:
    """Return contents as a process gives them."""
    return {key: digest.hex() for key, digest in contents.items()}


def on_disk(root: Path) -> dict[str, str]:
    """Return what an ordinary walk finds, as a process gives its contents."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if name.endswith((".jpg", ".png")) and not path.is_symlink():
                key = "images/" + os.path.relpath(path, root)  # a Path would cost more than the rest
                found[key] = sha256(path.read_bytes()).hex()
    return found


async def _serve(root: Path, settings: dict[str, Any]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with watched(root, **settings) as world:
        while line := await reader.readline():
            if world.task is not None and world.task.done():
                world.task.result()
            print(json.dumps(await _done(world, json.loads(line))), flush=True)  # noqa: T201 - the answer


async def _done(world: Watched, asked: dict[str, Any]) -> dict[str, Any]:
    match asked["what"]:
        case "barrier":
            return {"left_out": [[found.path, found.reason] for found in await world.barrier(BARRIER_S)]}
        case "write":
            Path(asked["path"]).write_text(asked["text"])
        case "run":
            done = await asyncio.to_thread(
                subprocess.run, asked["command"], capture_output=True, text=True, check=False
            )
            return {"code": done.returncode, "said": done.stderr}
        case "kill":
            _kill_reader(world)
        case "look":
            return _looked(world, contents=asked.get("contents", True))
    return {}


def _looked(world: Watched, *, contents: bool) -> dict[str, Any]:
    health, session = world.source.health(), world.source._session
    watcher = session._work.looker.watcher if session is not None else None
    return {
        "available": health.available,
        "complete": health.complete,
        "reason": health.reason,
        "degraded": health.degraded,
        "losses": world.source.event_losses,
        "watches": watcher is not None,
        "absences": sum(found.fingerprint is None for found in world.inventory.history),
        "absent": sorted({found.key for found in world.inventory.history if found.fingerprint is None}),
        "problems": world.inventory.codes(),
        "recorded": world.inventory.recorded,
        "contents": hexed(world.inventory.contents()) if contents else None,
    }


def _kill_reader(world: Watched) -> None:
    """Make the reader's thread raise at the next event that it handles."""
    session = world.source._session
    watcher = session._work.looker.watcher if session is not None else None
    assert watcher is not None
    threading.excepthook = lambda _: None

    def fail(_: object) -> None:
        raise RuntimeError("killed")

    watcher._inotify.handle_event = fail


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), json.loads(sys.argv[2])))
