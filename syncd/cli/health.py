"""``syncd health``: does the daemon work? For container engines and scripts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import ConfigOption, JsonOption, configured, print_json, say
from syncd.errors import EXIT_FAILED, SyncdError
from syncd.service import control

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ANSWER_WITHIN_S = 10.0


def health(
    config: ConfigOption = None,
    live: Annotated[bool, typer.Option("--live", help="Only whether it is alive, as /livez.")] = False,
    json: JsonOption = False,
) -> None:
    """Tell whether the daemon can do its work, as /readyz; exit 0 if so, else 1."""
    state_dir = configured(config, reads_only=True).settings.service.state_dir
    try:
        found = asyncio.run(_asked(state_dir))
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


async def _asked(state_dir: Path) -> Mapping[str, Any]:
    async with asyncio.timeout(ANSWER_WITHIN_S):
        return await control.call(state_dir, "health")
