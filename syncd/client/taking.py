"""A snapshot taken now: by the daemon where one runs, else by one pass of our own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncd.errors import HeldError, UsageError
from syncd.service import control
from syncd.snapshots.reference import UnknownSnapshotError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOptions:
    """How a snapshot is taken.

    Args:
        reason: Goes into the commit of what is made for it.
        timeout: Seconds that files still changing are waited for, and a failing lakeFS.
        allow_held: Make it without deletions that are held, rather than fail.
        ends_pause: By who keeps the daemon from publishing: their snapshot is the next one.
    """

    reason: str = ""
    timeout: float = 60.0
    allow_held: bool = False
    ends_pause: bool = False


async def take(settings: Settings, options: TakeOptions) -> Mapping[str, Any]:
    """Return what ``syncd snapshot --json`` prints.

    Raises:
        HeldError: Something is held; the text says what and what to do.
        UnknownSnapshotError: There is nothing to make a first snapshot of.
        UsageError: No daemon runs, and the configuration names no folder.
        SyncdError: The source cannot be read, lakeFS does not answer, another syncd holds the staging branch.
    """
    try:
        answer = await control.call(
            settings.service.state_dir,
            "snapshot",
            timeout_s=options.timeout,
            allow_held=options.allow_held,
            reason=options.reason,
            ends_pause=options.ends_pause,
        )
    except ConnectionError as error:
        if os.fspath(settings.source.root) == os.devnull:
            raise UsageError(
                f"no daemon listens in {settings.service.state_dir}, and no folder is configured to take a snapshot of",
                next_step='start syncd run, or name its configuration: connect("syncd.toml")',
            ) from error
        answer = await _one_pass(settings, options)
    if answer["held"]:
        raise HeldError(str(answer["held"]), next_step="syncd status; syncd approve; or ask with allow_held=True")
    if answer["tag"] is None:
        raise UnknownSnapshotError("there is no snapshot yet, and nothing to make one of")
    return answer


async def _one_pass(settings: Settings, options: TakeOptions) -> Mapping[str, Any]:
    from syncd.service.run import sync_once  # noqa: PLC0415 - what publishes is not needed where a daemon does

    return await sync_once(
        settings,
        patience=timedelta(seconds=options.timeout),
        allow_held=options.allow_held,
        progress=lambda _objects, _bytes: None,
        reason=options.reason,
    )
