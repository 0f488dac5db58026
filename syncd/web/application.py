"""Everything that is served, and what becomes of an error."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from syncd.errors import JournalError, SyncdError
from syncd.web import access, probes
from syncd.web.keys import WINDOW

if TYPE_CHECKING:
    from syncd.web.access import Handler
    from syncd.window import Window

log = structlog.get_logger(__name__)

ANSWER_S = 10.0  # the most an answer may take
ACTION_S = 55.0  # what is asked for may take longer
BUSY: web.AppKey[set[web.RequestHandler]] = web.AppKey("busy")  # connections with an answer under way that will end
NEEDED = "jinja2"
# with all else that is loaded: in a running daemon it would hold everything up for a tenth of a second
if find_spec(NEEDED) is not None:
    from syncd.web import pages
WITHOUT_PAGES = f"""\
/livez     the process works
/readyz    snapshots can be made; with ?verbose: what was checked
/metrics   for Prometheus
The page is not installed here ({NEEDED} is missing): pip install 'syncd[web]'
"""


def require_pages() -> None:
    """Make sure that pages can be written.

    Raises:
        SyncdError: Their library is not installed.
    """
    if find_spec(NEEDED) is None:
        raise SyncdError(
            "pages cannot be written here", cause=f"{NEEDED} is not installed", next_step="pip install 'syncd[web]'"
        )


def application(window: Window, *, token: str) -> web.Application:
    """Return everything that is served, not yet listening.

    Args:
        window: The dataset.
        token: What a caller must show; "": nothing.
    """
    app = web.Application(middlewares=[_in_time, access.guard], client_max_size=1 << 20)
    app[WINDOW], app[access.SESSIONS], app[BUSY] = window, access.Sessions(token), set()
    app.on_response_prepare.append(access.add_headers)
    app.add_routes(probes.routes())
    if find_spec(NEEDED) is None:
        app.router.add_get("/", _without_pages)
    else:
        pages.add_to(app)
    return app


@web.middleware
async def _in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bound the time of an answer, and say in plain words what went wrong."""
    limit_s = {"/events": None, "/do/snapshot": ACTION_S}.get(request.path, ANSWER_S)
    busy = request.app[BUSY]
    if limit_s is not None:
        busy.add(request.protocol)
    try:
        async with asyncio.timeout(limit_s):
            return await handler(request)
    except JournalError as error:
        return web.Response(status=503, text=f"{error}\n")
    except TimeoutError:
        return web.Response(status=503, text=f"there is no answer within {limit_s:g} s\n")
    except web.HTTPException:
        raise
    except Exception:
        log.exception("page_failed", path=request.path)
        return web.Response(status=500, text="this page cannot be shown; the log of syncd says why\n")
    finally:
        busy.discard(request.protocol)


async def _without_pages(_request: web.Request) -> web.Response:
    return web.Response(text=WITHOUT_PAGES)
