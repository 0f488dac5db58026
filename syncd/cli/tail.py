"""``syncd tail``: what the daemon does, with its causes, as it happens."""

from __future__ import annotations

import asyncio
import json as json_format
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import ConfigOption, JsonOption, configured, needs_daemon, say
from syncd.service import control

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WAIT_S = 10.0  # for the next event, before it is asked again
_OF_ITSELF = ("at", "level", "event")


def tail(
    config: ConfigOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100, help="How many of those before.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come, until Ctrl-C.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what the running daemon has done of late, and why. With --json, one object a line."""
    state_dir = configured(config, reads_only=True).settings.service.state_dir
    try:
        with needs_daemon():
            asyncio.run(_tail(state_dir, lines, follow=follow, json=json))
    except KeyboardInterrupt:
        pass  # that is how one stops


async def _tail(state_dir: Path, lines: int, *, follow: bool, json: bool) -> None:
    found = await control.call(state_dir, "events", most=max(lines, 1))
    _show(found["events"][-lines:] if lines else [], json=json)
    while follow:
        found = await control.call(state_dir, "events", after=found["last"], wait_s=WAIT_S)
        if found["missed"]:
            say(f"… {found['missed']} more …")
        _show(found["events"], json=json)


def _show(events: list[Mapping[str, Any]], *, json: bool) -> None:
    for event in events:
        if json:
            sys.stdout.write(json_format.dumps(event, ensure_ascii=False) + "\n")
        else:
            say(line_of(event))
    sys.stdout.flush()


def line_of(event: Mapping[str, Any]) -> str:
    """Return one event as people read it: when, how bad, what, and the rest of what is known."""
    at = datetime.fromisoformat(event["at"]).astimezone().strftime("%H:%M:%S")
    level = "" if event["level"] == "info" else f"{event['level']}: "
    rest = "  ".join(f"{key}={_flat(value)}" for key, value in event.items() if key not in _OF_ITSELF)
    return f"{at}  {level}{str(event['event']).replace('_', ' ')}{f'  {rest}' if rest else ''}"


def _flat(value: object) -> str:
    return " ".join(str(value).split())
