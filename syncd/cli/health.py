"""``syncd health``: does the daemon work? For container engines and scripts."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from syncd.cli.common import ConfigOption, JsonOption, configured, print_json, say
from syncd.errors import EXIT_FAILED, SyncdError
from syncd.service import control

ANSWER_WITHIN_S = 10.0


def health(
    config: ConfigOption = None,
    live: Annotated[bool, typer.Option("--live", help="Only whether it is alive, as /livez.")] = False,
    json: JsonOption = False,
) -> None:
    """Tell whether the daemon can do its work, as /readyz; exit 0 if so, else 1."""
    state_dir = configured(config, reads_only=True).settings.service.state_dir
    try:
        found = asyncio.run(asyncio.wait_for(control.call(state_dir, "health"), ANSWER_WITHIN_S))
    except (ConnectionError, TimeoutError) as error:
        said = str(error) or f"the daemon of {state_dir} has not answered within {ANSWER_WITHIN_S:g} s"
        raise SyncdError(said, next_step="systemctl status syncd, or syncd run") from error
    asked = found["live" if live else "ready"]
    if json:
        print_json(asked)
    else:
        for check in asked["checks"]:
            say(f"ok    {check['name']}" if check["ok"] else f"fail  {check['name']}: {check['why']}")
    if not asked["ok"]:
        raise typer.Exit(EXIT_FAILED)
