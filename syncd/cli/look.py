"""``syncd status`` and ``syncd plan``: how things stand, and what would happen."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli import show
from syncd.cli.common import (
    DEFAULT_TIMEOUT_S,
    ConfigOption,
    JsonOption,
    TimeoutOption,
    configured,
    messages,
    needs_daemon,
    print_json,
    say,
)
from syncd.errors import EXIT_FAILED, EXIT_HELD, EXIT_LAKEFS_UNAVAILABLE
from syncd.journal.journal import open_readonly
from syncd.service import control
from syncd.status import State
from syncd.status import status as picture_of
from syncd.words import size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config import Settings

_EXIT_OF = {State.HELD.value: EXIT_HELD, State.FAILING.value: EXIT_LAKEFS_UNAVAILABLE}
MOST_LISTED = 1000  # rows, and images, of each table


def status(
    config: ConfigOption = None,
    closure: Annotated[
        bool, typer.Option("--closure", help="List the rows and images that do not fit together, and why.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until the newest snapshot holds what the source holds; exit 0 only then."),
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long, with --wait.")
    ] = DEFAULT_TIMEOUT_S,
    json: JsonOption = False,
) -> None:
    """Show what is in step, what waits, and what is not synced and why."""
    settings = configured(config).settings
    picture = dict(asyncio.run(_in_step(settings, timeout) if wait else _status(settings)))
    if closure:
        from syncd.service.closure_report import closure_report

        picture["closure"] = closure_report(settings, limit=MOST_LISTED)
    if json:
        print_json(picture)
    elif closure:
        show.closure(picture["closure"])
    else:
        show.status(picture)
    if wait and not picture["in_step"]:
        show.left_out(picture["left_out"])
        messages.print(f"syncd: not in step within {timeout:g} s", markup=False)
        raise typer.Exit(_EXIT_OF.get(picture["state"], EXIT_FAILED))


async def _in_step(settings: Settings, timeout_s: float) -> Mapping[str, Any]:
    state_dir = settings.service.state_dir
    with needs_daemon():
        return await control.call(state_dir, "in_step", timeout_s=timeout_s)


async def _status(settings: Settings) -> Mapping[str, Any]:
    state_dir = settings.service.state_dir
    try:
        return await control.call(state_dir, "status")
    except ConnectionError:
        with open_readonly(state_dir) as connection:
            return picture_of(connection, None)


def plan(config: ConfigOption = None, timeout: TimeoutOption = DEFAULT_TIMEOUT_S, json: JsonOption = False) -> None:
    """Show what would be uploaded, deleted and committed, and why. Changes nothing."""
    from syncd.service.dry_run import dry_run

    settings = configured(config).settings
    planned = asyncio.run(dry_run(settings, patience=timedelta(seconds=timeout)))
    if json:
        print_json(planned)
        return
    for change in planned["changes"]:
        mark = {"added": "+", "changed": "~", "deleted": "-"}[change["kind"]]
        amount = "" if change["bytes"] is None else f"  {size(change['bytes'])}"
        say(f"{mark} {change['key']}{amount}")
    if planned["more"]:
        say(f"… and {planned['more']} more")
    say(
        f"{planned['added']} added, {planned['changed']} changed, {planned['deleted']} deleted,"
        f" {size(planned['bytes'])} to upload"
    )
    if planned["hold"]:
        say(f"held: {planned['hold']}")
    say(planned["why"])
    show.left_out(planned["left_out"])
