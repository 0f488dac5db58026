"""The daemon's socket: answers, errors, callers that hang up, and directories of any depth."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from syncd.errors import HeldError
from syncd.service.control import SOCKET_NAME, ControlServer, RemoteError, borrowed, call


async def echo(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"heard": request["word"]}


async def refuse(_request: Mapping[str, Any]) -> Mapping[str, Any]:
    raise HeldError("something is held", cause="a reason", next_step="do this")


async def test_a_call_gets_its_answer(tmp_path):
    async with ControlServer(tmp_path, {"echo": echo}):
        assert await call(tmp_path, "echo", word="grüß\n") == {"heard": "grüß\n"}
        assert stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode) == 0o600
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_an_error_arrives_with_its_cause_next_step_and_exit_code(tmp_path):
    async with ControlServer(tmp_path, {"refuse": refuse}):
        with pytest.raises(RemoteError) as raised:
            await call(tmp_path, "refuse")
    error = raised.value
    assert (error.fact, error.cause, error.next_step) == ("something is held", "a reason", "do this")
    assert error.exit_code == HeldError.exit_code


@pytest.mark.parametrize("line", [b"not json\n", b"{}\n", b'{"command": "other"}\n', b"[]\n"])
async def test_a_request_it_does_not_know_is_answered_not_dropped(tmp_path, line):
    async with ControlServer(tmp_path, {"echo": echo}):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
        writer.write(line)
        assert b"does not know" in await reader.readline()
        writer.close()


async def test_no_daemon_is_said_as_such(tmp_path):
    with pytest.raises(ConnectionError):
        await call(tmp_path, "echo", word="x")
    (tmp_path / SOCKET_NAME).touch()  # left by a crash
    with pytest.raises(ConnectionError):
        await call(tmp_path, "echo", word="x")
    async with ControlServer(tmp_path, {"echo": echo}):
        assert await call(tmp_path, "echo", word="x") == {"heard": "x"}


async def test_a_deep_state_directory_is_no_obstacle(tmp_path):
    """A socket's address holds 107 bytes; a path may be longer."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with ControlServer(deep, {"echo": echo}):
        assert await call(deep, "echo", word="x") == {"heard": "x"}


async def test_the_work_ends_with_the_caller_that_hangs_up(tmp_path):
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return {}

    async with ControlServer(tmp_path, {"wait": wait}):
        calling = asyncio.create_task(call(tmp_path, "wait"))
        await started.wait()
        calling.cancel()
        await asyncio.wait_for(ended.wait(), 5)


async def test_stopping_ends_the_calls_that_wait(tmp_path):
    started = asyncio.Event()

    async def wait(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        started.set()
        await asyncio.Event().wait()
        return {}

    async with ControlServer(tmp_path, {"wait": wait}):
        calling = asyncio.create_task(call(tmp_path, "wait"))
        await started.wait()
    with pytest.raises(ConnectionError, match="stopped before"):
        await calling


async def test_no_descriptor_is_left_open(tmp_path):
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with ControlServer(tmp_path, {"echo": echo}):
        await call(tmp_path, "echo", word="x")
        before = descriptors()
        for _ in range(20):
            await call(tmp_path, "echo", word="x")
        await asyncio.sleep(0)
        assert descriptors() <= before + 1


async def test_what_is_borrowed_is_given_back_however_the_caller_goes(tmp_path):
    out: list[str] = []

    @contextlib.asynccontextmanager
    async def lend(request):
        out.append(request["why"])
        try:
            yield
        finally:
            out.remove(request["why"])

    async def until_nothing_is_out():
        async with asyncio.timeout(10):
            while out:
                await asyncio.sleep(0.01)

    async with ControlServer(tmp_path, {"echo": echo}, {"pause": lend}):
        async with borrowed(tmp_path, "pause", why="one"), borrowed(tmp_path, "pause", why="two"):
            assert out == ["one", "two"]
            assert await call(tmp_path, "echo", word="meanwhile") == {"heard": "meanwhile"}
        await until_nothing_is_out()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
        writer.write(b'{"command": "pause", "why": "killed"}\n')
        await reader.readline()
        assert out == ["killed"]
        writer.transport.abort()
        await until_nothing_is_out()
        with pytest.raises(RemoteError, match="does not know"):
            await call(tmp_path, "borrow")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
        writer.write(b'{"command": "pause", "why": "the daemon stops"}\n')
        await reader.readline()
    assert out == []
    writer.close()
