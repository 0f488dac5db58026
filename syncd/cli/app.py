"""The ``syncd`` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from syncd import __version__
from syncd.cli import config_commands, lakefs_commands, retention_commands, table_commands
from syncd.cli.approve import approve
from syncd.cli.bundle import bundle
from syncd.cli.common import messages
from syncd.cli.demo import demo
from syncd.cli.diff import diff
from syncd.cli.doctor import doctor
from syncd.cli.health import health
from syncd.cli.history import explain, log, show_snapshot
from syncd.cli.init import init
from syncd.cli.look import plan, status
from syncd.cli.pins import pin, pins_app, unpin
from syncd.cli.pull import pull
from syncd.cli.restore import restore
from syncd.cli.run import run
from syncd.cli.tail import tail
from syncd.cli.take import snapshot, sync
from syncd.cli.top import top
from syncd.cli.verify import verify
from syncd.cli.web import web
from syncd.errors import EXIT_FAILED, SyncdError
from syncd.words import printable

app = typer.Typer(
    name="syncd",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Watch a folder of images and its tables, and keep every state as a named lakeFS snapshot.",
)
app.command()(run)
app.command()(sync)
app.command()(snapshot)
app.command()(plan)
app.command()(status)
app.command()(top)
app.command()(web)
app.command()(tail)
app.command()(health)
app.command()(doctor)
app.command()(bundle)
app.command()(approve)
app.command()(log)
app.command(name="show")(show_snapshot)
app.command()(diff)
app.command()(pull)
app.command()(restore)
app.command()(verify)
app.command()(explain)
app.command()(pin)
app.command()(unpin)
app.add_typer(pins_app, name="pins")
app.add_typer(retention_commands.app, name="retention")
app.command()(demo)
app.command()(init)
app.add_typer(config_commands.app, name="config")
app.add_typer(lakefs_commands.app, name="lakefs")
app.add_typer(table_commands.app, name="table")


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"syncd {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors become one clear text and an exit code, never a traceback."""
    try:
        app()
    except SyncdError as error:
        messages.print(f"syncd: {printable(str(error))}", markup=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output has gone; that is its right
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
