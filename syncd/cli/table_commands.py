"""``syncd table``: what a database can be made to do for syncd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.common import ConfigOption, configured, messages, say
from syncd.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from syncd.config import TableSettings

app = typer.Typer(name="table", help="Tables of databases.", no_args_is_help=True)


@app.command()
def triggers(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The table's name in the configuration.")],
    apply: Annotated[bool, typer.Option("--apply", help="Run it on the database, as the url's user.")] = False,
    config: ConfigOption = None,
) -> None:
    """Print the SQL that makes PostgreSQL tell syncd of each change at once; run it with --apply.

    The table's owner runs it, once; again does no harm. Without it changes are seen at the next poll.
    """
    from syncd.sources.tables.database import dialect_for

    table = _with_channel(config, name)
    if table.url is None or table.table is None or table.channel is None:
        raise AssertionError("_with_channel has looked")
    dialect_for(table.url.get_secret_value(), 0)  # names the extra, where it is not installed
    from syncd.sources.tables.listening import apply_trigger_sql, trigger_sql

    if apply:
        apply_trigger_sql(table.url.get_secret_value(), table.table, table.channel)
        messages.print(f"syncd: {table.table} notifies the channel {table.channel}", markup=False)
    else:
        say(trigger_sql(table.table, table.channel))


def _with_channel(config: Path | None, name: str) -> TableSettings:
    tables = configured(config).settings.tables
    table = next((table for table in tables if table.name == name), None)
    if table is None:
        names = ", ".join(sorted(table.name for table in tables)) or "none"
        raise UsageError(f"no table has the name {name}; there are: {names}", next_step="syncd config show")
    if table.url is None or not table.url.get_secret_value().startswith("postgres"):
        raise UsageError(
            f"the table {name} is not one of PostgreSQL, which alone can notify",
            next_step="nothing: changes of other tables are seen at the next poll",
        )
    if table.table is None or table.channel is None:
        missing = "channel" if table.channel is None else "table"
        raise UsageError(
            f"the table {name} has no {missing} in the configuration",
            cause="triggers are made on a table, and a query has none" if table.table is None else "",
            next_step=f"set tables.{missing}",
        )
    return table
