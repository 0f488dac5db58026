"""``syncd web``: the page alone, for a repository that a syncd wrote."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.addresses import ListenAddress
from syncd.cli.common import ConfigOption, configured, say
from syncd.errors import SyncdError, UsageError

if TYPE_CHECKING:
    from syncd.config import Settings

DEFAULT = "127.0.0.1:8411"


def web(
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where, on this machine.")] = DEFAULT,
    config: ConfigOption = None,
) -> None:
    """Show snapshots and what changed between them in a browser, read from lakeFS; nothing is written. Until Ctrl-C."""
    said = {"service.listen": listen}
    settings = configured(config, reads_only=True, log_level=logging.WARNING, said=said).settings
    asyncio.run(_web(settings))


async def _web(settings: Settings) -> None:
    from syncd.service.alone import open_alone
    from syncd.service.listening import listen_of
    from syncd.web.application import require_pages
    from syncd.web.server import serve

    require_pages()
    where = listen_of(settings)
    if where is None:
        raise UsageError("--listen names no address", next_step=f"syncd web --listen {DEFAULT}")
    where = replace(where, socket=None)  # that one is the daemon's
    async with open_alone(settings) as alone:
        try:
            async with serve(alone, where) as port:
                say(f"http://{ListenAddress(where.host, port)}/  (Ctrl-C ends it)")
                sys.stdout.flush()
                await asyncio.get_running_loop().create_future()
        except OSError as error:
            raise SyncdError(
                f"{settings.service.listen} cannot be listened at: {os.strerror(error.errno or 0)}",
                next_step="syncd web --listen 127.0.0.1:0 takes a free one",
            ) from error
