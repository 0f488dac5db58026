"""What every request finds in the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from syncd.thumbnails.thumbnails import Thumbnails
    from syncd.web.comparisons import Comparisons
    from syncd.web.live import Live
    from syncd.web.readers import Readers
    from syncd.window import Window

WINDOW: web.AppKey[Window] = web.AppKey("window")
COMPARISONS: web.AppKey[Comparisons] = web.AppKey("comparisons")
THUMBNAILS: web.AppKey[Thumbnails] = web.AppKey("thumbnails")
READERS: web.AppKey[Readers] = web.AppKey("readers")
LIVE: web.AppKey[Live] = web.AppKey("live")
