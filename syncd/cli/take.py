"""``syncd snapshot`` and ``syncd sync``: take a snapshot now."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from syncd.cli import show
from syncd.cli.common import (
    DEFAULT_TIMEOUT_S,
    AllowHeldOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    TimeoutOption,
    configured,
    messages,
    print_json,
    say,
)
from syncd.cli.progress import UploadProgress, while_waiting
from syncd.errors import EXIT_DONE, EXIT_HELD
from syncd.service import control

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config import Settings


def snapshot(
    config: ConfigOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    allow_held: AllowHeldOption = False,
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Take a snapshot of everything in place before this call, through the running daemon or without one."""
    settings = configured(config).settings
    _finish(asyncio.run(_snapshot(settings, timeout, allow_held=allow_held, reason=reason)), json=json)


def sync(
    config: ConfigOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    allow_held: AllowHeldOption = False,
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """List everything once, upload what differs, take a snapshot, and exit. For cron, and for trying out."""
    settings = configured(config).settings
    _finish(asyncio.run(_sync(settings, timeout, allow_held=allow_held, reason=reason)), json=json)


async def _snapshot(settings: Settings, timeout_s: float, *, allow_held: bool, reason: str) -> Mapping[str, Any]:
    state_dir = settings.service.state_dir
    calling = control.call(state_dir, "snapshot", timeout_s=timeout_s, allow_held=allow_held, reason=reason)
    try:
        return await while_waiting(calling, state_dir)
    except ConnectionError:
        messages.print("syncd: no daemon runs; doing one pass", markup=False)
        return await _sync(settings, timeout_s, allow_held=allow_held, reason=reason)


async def _sync(settings: Settings, timeout_s: float, *, allow_held: bool, reason: str) -> Mapping[str, Any]:
    from syncd.service.run import sync_once

    async with UploadProgress(settings.service.state_dir) as progress:
        return await sync_once(
            settings,
            patience=timedelta(seconds=timeout_s),
            allow_held=allow_held,
            progress=progress.acknowledged,
            reason=reason,
        )


def _finish(answer: Mapping[str, Any], *, json: bool) -> None:
    if json:
        print_json(answer)
    else:
        if answer["held"]:
            say(f"held: {answer['held']}")
        elif answer["tag"] is None:
            say("nothing to commit: no snapshot has been made yet")
        else:
            say(show.snapshot_line(answer))
            say(answer["uri"])
        show.left_out(answer["left_out"])
    raise typer.Exit(EXIT_HELD if answer["held"] else EXIT_DONE)
