"""Pictures of images: never the image itself, which comes from strangers."""

from __future__ import annotations

import asyncio
import re
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from syncd.errors import UsageError
from syncd.model import IMAGES
from syncd.thumbnails.thumbnails import LARGE, SMALL
from syncd.web.changes import ends, in_address
from syncd.web.keys import COMPARISONS, READERS, THUMBNAILS, WINDOW
from syncd.web.render import page
from syncd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.file_changes import Change

_COMMIT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EDGES = {"small": SMALL, "large": LARGE}
_KEEP = "private, max-age=86400, immutable"  # a commit never changes
_CARD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="256" height="192" viewBox="0 0 256 192">'
    '<rect width="256" height="192" fill="#8884"/>'
    '<g font-family="sans-serif" text-anchor="middle" fill="#888"><text x="128" y="92" font-size="28">{kind}</text>'
    '<text x="128" y="120" font-size="12">{why}</text></g></svg>'
)


def routes() -> Iterable[web.RouteDef]:
    """Return what is answered at which path."""
    return [web.get("/picture/{commit}/{edge}", _picture), web.get("/image", _image)]


async def _picture(request: web.Request) -> web.Response:
    commit, edge, path = (
        request.match_info["commit"],
        _EDGES.get(request.match_info["edge"]),
        request.query.get("path", ""),
    )
    if edge is None or not _COMMIT.fullmatch(commit) or not path.startswith(IMAGES):
        raise web.HTTPNotFound(text="there is no such picture\n")
    shelf = request.app[WINDOW].shelf
    async with request.app[READERS].lend(commit) as objects:
        key = shelf.prefix + path
        found = await objects.head(key)
        if found is None:
            raise web.HTTPNotFound(text="there is no such image\n")
        if found.sha256 is None:
            return _card(path, "its digest is not known")
        made = await request.app[THUMBNAILS].of(found.sha256, found.size_bytes, edge, lambda: objects.get(key))
    if not made.shown:
        return _card(path, made.why_not)
    return web.Response(body=made.body, content_type=made.content_type, headers={"Cache-Control": _KEEP})


def _card(path: str, why: str) -> web.Response:
    """Return what stands for an image that cannot be shown."""
    name = path.rpartition("/")[2]
    kind = name.rpartition(".")[2] if "." in name else "file"
    text = _CARD.format(kind=escape(printable(kind[:12])), why=escape(printable(why[:44])))
    return web.Response(text=text, content_type="image/svg+xml", headers={"Cache-Control": "no-store"})


async def _image(request: web.Request) -> web.Response:
    """Show one image before and after, large, with its rows."""
    left, right = await ends(request)
    path = request.query.get("path", "")

    def read(told: Comparison) -> Change | None:
        return told.one(path)

    async with request.app[COMPARISONS].lend(left, right) as kept:
        change = await kept.read(read)
        if change is None:
            raise UsageError(f"{printable(path)} does not differ between the two")
        (rows,) = await asyncio.to_thread((await kept.labels()).of, [(change.old_path or path, path)])
    return page(
        request,
        "image.html",
        left=left,
        right=right,
        ends=in_address(left, right),
        change=change,
        rows=rows,
    )
