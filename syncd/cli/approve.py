"""``syncd approve``: let go ahead what waits for a person."""

from __future__ import annotations

import asyncio

from syncd.cli.common import ConfigOption, JsonOption, configured, print_json, say
from syncd.errors import UsageError
from syncd.service import control


def approve(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Approve what syncd status shows as held: rows that are gone, columns that changed; nothing that comes later."""
    settings = configured(config).settings
    try:
        answer = asyncio.run(control.call(settings.service.state_dir, "approve"))
    except ConnectionError as error:
        raise UsageError(
            "no daemon runs with this configuration, so nothing waits for an approval", next_step="syncd run"
        ) from error
    if json:
        print_json(answer)
        return
    for name, held in answer["approved"].items():
        say(f"approved: {name}: {held}")
    if not answer["approved"]:
        say("nothing that can be approved is held")
