"""Receivers of notifications: a real HTTP server that answers as it is told, and remembers what came."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

NEVER = 0  # no status: the request is taken, and never answered


@dataclass
class Request:
    """What came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, read."""
        return dict(json.loads(self.body))


@dataclass
class Receiver:
    """A server on loopback, in a thread of its own.

    ``answers`` is used up in order; what comes after gets 200. ``headers`` go with each answer that is no 200.
    """

    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    came: list[Request] = field(default_factory=list)
    port: int = 0
    always: int | None = None

    @property
    def url(self) -> str:
        """Where it listens, with a path that nobody may learn of."""
        return f"http://127.0.0.1:{self.port}/canary-T0123456789"

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return what was sent, read; of one kind if it is named."""
        found = [request.json for request in list(self.came) if request.method == "POST"]
        return [one for one in found if kind is None or one["event"] == kind]

    def paths(self) -> list[str]:
        """Return the paths that were fetched, in order."""
        return [request.path for request in list(self.came) if request.method == "GET"]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take a request, and answer as is wanted now."""
        body = await request.read()
        self.came.append(Request(request.method, request.path_qs, dict(request.headers), body))
        status = self.always if self.always is not None else self.answers.pop(0) if self.answers else 200
        if status == NEVER:
            await asyncio.get_running_loop().create_future()
        return web.Response(status=status, headers=self.headers if status != 200 else None, text="thank you")


@contextmanager
def receiving(*answers: int, **given: Any) -> Iterator[Receiver]:
    """Listen while this is entered."""
    receiver, loop = Receiver(list(answers), **given), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), loop).result(10)

    async def listen() -> web.AppRunner:
        runner = web.AppRunner(_application(receiver), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", receiver.port)
        await site.start()
        receiver.port = runner.addresses[0][1]
        return runner

    runner = call(listen)
    try:
        yield receiver
    finally:
        call(runner.cleanup)
        call(_end_the_rest)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end_the_rest() -> None:
    """End what never answers."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _application(receiver: Receiver) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.answer)
    return app
