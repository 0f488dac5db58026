"""``syncd log``, ``syncd show`` and ``syncd explain``: what was, and why."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli import show
from syncd.cli.common import ConfigOption, JsonOption, ReferenceArgument, configured, print_json, say
from syncd.cli.path_log import log_of_path, logged
from syncd.errors import UsageError
from syncd.journal import history
from syncd.journal.journal import open_readonly
from syncd.model import Trigger  # noqa: TC001 - typer reads it
from syncd.snapshots.description import describe
from syncd.snapshots.reference import LATEST, find, find_at, moment_of

if TYPE_CHECKING:
    from syncd.config import Settings


def log(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 20,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Made then or later.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Made then or earlier.")] = None,
    trigger: Annotated[Trigger | None, typer.Option("--trigger", help="Made for this reason.")] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="PATH", help="That changed this file, or something in a folder (PATH/)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the snapshots, the newest first. A TIME is written 2026-11-01 or 2026-11-01T13:30, in UTC unless it says."""
    settings = configured(config).settings
    first, last = moment_of(since) if since else None, moment_of(until) if until else None
    with open_readonly(settings.service.state_dir) as connection:
        if path is None:
            made = history.finished(connection, limit=limit, since=first, until=last, trigger=trigger)
            found = [logged(one) for one in made]
        else:
            known = partial(history.by_intent, connection)
            asked = log_of_path(settings, path, known=known, limit=limit, since=first, until=last, trigger=trigger)
            found = asyncio.run(asked)
    if json:
        print_json(found)
        return
    for one in found:
        show.logged(one)
    if not found:
        say("no such snapshot" if first or last or trigger or path else "no snapshot yet")


def show_snapshot(
    reference: ReferenceArgument = LATEST,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The newest made by then: 2026-11-01, or with a time.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell what a snapshot holds and how to read it; asks lakeFS alone, so it works wherever that is reached."""
    told = asyncio.run(_describe(configured(config, reads_only=True).settings, reference, at))
    if json:
        print_json(told)
    else:
        show.description(told)


async def _describe(settings: Settings, reference: str, at: str | None) -> dict[str, Any]:
    from syncd.service.lakefs import open_reader

    if at is not None and reference != LATEST:
        raise UsageError("either a snapshot's name or --at", next_step="syncd show --at TIME")
    moment, publish = None if at is None else moment_of(at), settings.lakefs.publish_branch
    async with open_reader(settings) as reader:
        if moment is None:
            found = await find(reader.versions, reference, publish=publish)
        else:
            found = await find_at(reader.versions, moment, publish=publish)
    return describe(found, repository=settings.lakefs.repository, prefix=settings.lakefs.prefix)


def explain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A path below the folder, or a table's file.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell all about one file: seen when and how, uploaded and committed in what, or the rule that keeps it out."""
    from syncd.service.explain import explain as explained

    settings = configured(config).settings
    told = explained(settings, Path(file))
    if json:
        print_json(told)
    else:
        for line in told["lines"]:
            say(line)
