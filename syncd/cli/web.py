"""``syncd web``: the page alone, for a repository that a syncd wrote."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.common import ConfigOption, configured, say
from syncd.errors import SyncdError

if TYPE_CHECKING:
    from syncd.config import Settings

DEFAULT = "127.0.0.1:8411"


def web(
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where, on this machine.")] = DEFAULT,
    config: ConfigOption = None,
) -> None:
    """Show snapshots and what changed between them in a browser, read from lakeFS; nothing is written. Until Ctrl-C."""
    settings = configured(config, reads_only=True, log_level=logging.WARNING).settings
    there = settings.model_copy(update={"service": settings.service.model_copy(update={"listen": listen})})
    asyncio.run(_web(there))


async def _web(settings: Settings) -> None:
    from syncd.service.alone import open_alone
    from syncd.service.listening import listen_of
    from syncd.web.server import serve

    where = listen_of(settings)
    if where is None:
        raise SyncdError("--listen names no address", next_step="syncd web --listen 127.0.0.1:8411")
    async with open_alone(settings) as alone:
        try:
            async with serve(alone, where) as port:
                say(f"http://{where.host}:{port}/  (Ctrl-C ends it)")
                sys.stdout.flush()
                await asyncio.get_running_loop().create_future()
        except OSError as error:
            raise SyncdError(
                f"{settings.service.listen} cannot be listened at: {error.strerror}",
                next_step="syncd web --listen 127.0.0.1:8412",
            ) from error
