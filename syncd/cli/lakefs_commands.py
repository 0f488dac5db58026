"""``syncd lakefs``: the lakeFS server that syncd brings along, by itself."""

from __future__ import annotations

import asyncio
import shlex
import signal
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer
from platformdirs import user_data_path

from syncd.embedded.binary import find_or_build
from syncd.embedded.server import EmbeddedLakeFS
from syncd.errors import EmbeddedServerError

app = typer.Typer(help="The lakeFS server that syncd brings along.", no_args_is_help=True)


@app.command("path")
def path_command(
    lakectl: Annotated[bool, typer.Option("--lakectl", help="The command line client instead.")] = False,
) -> None:
    """Print where the lakeFS binary is, building it first if there is none."""
    typer.echo(find_or_build("lakectl" if lakectl else "lakefs"))


@app.command("up")
def up_command(
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where data and keys are kept.", show_default="the user's data directory"),
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", help="Loopback address and port; port 0 takes any free one.")
    ] = "127.0.0.1:0",
    show_secret: Annotated[bool, typer.Option("--show-secret", help="Print the secret key as well.")] = False,
) -> None:
    """Run a lakeFS server alone, in the foreground, until Ctrl-C or SIGTERM. Data and keys are kept."""
    state_dir = user_data_path("syncd") if directory is None else directory
    server = EmbeddedLakeFS(state_dir, binary=find_or_build("lakefs"), listen=listen)
    asyncio.run(_serve(server, show_secret=show_secret))


async def _serve(server: EmbeddedLakeFS, *, show_secret: bool) -> None:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    async with server:
        typer.echo(_how_to_use(server, show_secret=show_secret))
        waits = [asyncio.create_task(told_to_stop.wait()), asyncio.create_task(server.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if server.died.is_set() and not told_to_stop.is_set():
            raise EmbeddedServerError(
                "The lakeFS server ended by itself",
                cause=f"The end of its log:\n{server.log_tail()}",
                next_step="start it again: data and keys are kept",
            )


def _how_to_use(server: EmbeddedLakeFS, *, show_secret: bool) -> str:
    secret_file = shlex.quote(str(server.secret_path))
    secret = server.secret_access_key if show_secret else f'"$(cat {secret_file})"'
    shown = server.secret_access_key if show_secret else f"in {server.secret_path}"
    return f"""\
lakeFS is up until you press Ctrl-C
  endpoint           {server.endpoint}
  access key id      {server.access_key_id}
  secret access key  {shown}

For lakectl and every other lakeFS client:
  export LAKECTL_SERVER_ENDPOINT_URL={server.endpoint}
  export LAKECTL_CREDENTIALS_ACCESS_KEY_ID={server.access_key_id}
  export LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY={secret}"""
