"""The pages for people, and what becomes of an error on one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web

from syncd.errors import JournalError, NotFoundStoreError, StoreError, SyncdError, UsageError
from syncd.snapshots.reference import UnknownSnapshotError
from syncd.thumbnails.thumbnails import Thumbnails
from syncd.web import actions, changes, history, now, pictures, rows, static
from syncd.web.comparisons import Comparisons
from syncd.web.keys import COMPARISONS, LIVE, READERS, THUMBNAILS, WINDOW
from syncd.web.live import Live
from syncd.web.readers import Readers
from syncd.web.render import failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncd.web.access import Handler

_STATUS: list[tuple[type[SyncdError], int]] = [
    (UnknownSnapshotError, 404),
    (NotFoundStoreError, 404),
    (UsageError, 400),
    (StoreError, 503),
    (JournalError, 503),
    (SyncdError, 409),
]


def add_to(app: web.Application) -> None:
    """Have the pages served, too."""
    app.middlewares.append(_in_words)
    app.cleanup_ctx.append(_open)
    for part in (static, now, history, changes, rows, pictures, actions):
        app.add_routes(part.routes())


async def _open(app: web.Application) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        shelf = app[WINDOW].shelf
        app[LIVE] = await stack.enter_async_context(Live(app[WINDOW]))
        app[READERS] = await stack.enter_async_context(Readers(shelf))
        app[COMPARISONS] = await stack.enter_async_context(Comparisons(shelf))
        app[THUMBNAILS] = await stack.enter_async_context(Thumbnails(shelf.pictures))
        yield


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SyncdError as error:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        return failure(request, status, error)
