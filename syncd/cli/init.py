"""``syncd init``: from nothing to a configuration that works."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.common import say
from syncd.errors import UsageError
from syncd.words import printable


def init(  # noqa: PLR0913, PLR0917  # each is one flag
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file to write.")
    ] = Path("syncd.toml"),
    root: Annotated[str | None, typer.Option(metavar="DIR", help="The folder that holds the images.")] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="The table of the images, a CSV file …")] = None,
    table_url_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="… or in a database, whose address is in this file (chmod 600) …"),
    ] = None,
    table: Annotated[str | None, typer.Option(metavar="NAME", help="… where the table has this name.")] = None,
    key: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column whose value names a row.")] = None,
    image_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column with each row's image, relative to the folder.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help='The lakeFS server, or "embedded": syncd runs one itself.')
    ] = None,
    access_key_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Of lakeFS. A server that is new gets a key made for it.")
    ] = None,
    secret_access_key_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Holds the secret and nothing else (chmod 600).")
    ] = None,
    repository: Annotated[str | None, typer.Option(metavar="NAME", help="Created if it is not there …")] = None,
    storage_namespace: Annotated[
        str | None, typer.Option(metavar="NS", help="… and stored here, such as s3://bucket/photos.")
    ] = None,
    publish_branch: Annotated[
        str, typer.Option(metavar="BRANCH", help="The branch that people read; it is protected if it is new.")
    ] = "main",
) -> None:
    """Set syncd up: ask for what no flag gave, look at each answer, prepare lakeFS, write the configuration.

    Nothing that is there is overwritten, and nothing is done twice: run it again after whatever stopped it. A secret
    is asked for without showing it, or read from a file; it is in no flag, since others can see those.
    """
    from syncd.setup.flow import SetUp
    from syncd.setup.probes import absolute
    from syncd.setup.questions import Given, Questions

    if csv is not None and table_url_file is not None:
        raise UsageError("--csv and --table-url-file cannot stand together", next_step="add one table by hand later")
    if csv is None and table_url_file is None and (table or key or image_column):
        raise UsageError("--table, --key and --image-column go with --csv or --table-url-file")
    given = Given(
        config=absolute(str(config)),
        root=root,
        csv=csv,
        table_url_file=table_url_file,
        table=table,
        key=key,
        image_column=image_column,
        endpoint=endpoint,
        access_key_id=access_key_id,
        secret_access_key_file=secret_access_key_file,
        repository=repository,
        storage_namespace=storage_namespace,
        publish_branch=publish_branch,
    )
    on_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    SetUp(given, Questions(_Person() if on_terminal else None, say)).run()


class _Person:
    """Asks on the terminal."""

    def text(self, question: str, default: str) -> str:
        return str(typer.prompt(printable(question), default=default or None, err=True))

    def secret(self, question: str) -> str:
        try:
            return getpass(f"{printable(question)}: ")  # typer's own asks before the echo is off
        except EOFError:
            raise typer.Abort from None
