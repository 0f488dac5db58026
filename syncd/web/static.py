"""Files that never change while this version runs."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from syncd import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
CACHE = "private, max-age=604800, immutable"  # the version is part of the address


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [web.get("/static/{version}/{name}", _static)]


def address(name: str) -> str:
    """Return where a file is found."""
    return f"/static/{__version__}/{name}"


def content(name: str) -> str:
    """Return a file of this folder."""
    return (files("syncd.web") / "static" / name).read_text("utf-8")


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in {one.name for one in (files("syncd.web") / "static").iterdir()}:
        raise web.HTTPNotFound(text="there is no such file\n")
    kind = _KINDS[name.rpartition(".")[2]]
    return web.Response(text=content(name), content_type=kind, headers={"Cache-Control": CACHE})
