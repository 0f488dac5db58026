"""``syncd retention``: which snapshots are kept, and why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from syncd.cli import show
from syncd.cli.common import ConfigOption, JsonOption, configured, print_json, say
from syncd.journal import history
from syncd.journal.journal import open_readonly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config import Settings
    from syncd.retention.claims import Claims
    from syncd.store.pins import Note

app = typer.Typer(name="retention", help="Which snapshots are kept, and why.", no_args_is_help=True)


@app.command()
def plan(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show for each snapshot whether it is kept, and why. Changes nothing: that is done after each snapshot."""
    planned = asyncio.run(_plan(configured(config).settings))
    if json:
        print_json(planned)
        return
    width = max((len(one["tag"]) for one in planned["snapshots"]), default=0)
    for one in planned["snapshots"]:
        mark = "keep  " if one["keep"] else "remove"
        say(f"{mark}  {one['tag']:<{width}}  {show.when(one['created_at'])}  {'; '.join(one['reasons'])}")
    tags = " with their tags" if planned["remove_tags"] else "; their tags stay"
    say(f"{planned['kept']} kept, {planned['removed']} to remove{tags if planned['removed'] else ''}")


async def _plan(settings: Settings) -> dict[str, Any]:
    from syncd.planner.retention import judge
    from syncd.retention.claims import claims, notes
    from syncd.service.lakefs import open_reader
    from syncd.service.limits import keep_rules

    with open_readonly(settings.service.state_dir) as connection:
        kept = list(history.finished(connection, limit=-1, kept=True))[::-1]
    async with open_reader(settings) as reader:
        found = await claims(reader.pins, datetime.now(UTC))
        told = await notes(reader.pins, found)
    rules = keep_rules(settings)
    verdicts = judge(kept, rules, pinned=_reasons(found, told), in_use=found.in_use)
    return {
        "rules": {"last": rules.last, "daily": rules.daily, "weekly": rules.weekly, "monthly": rules.monthly},
        "remove_tags": settings.snapshot.remove_tags,
        "kept": sum(one.keep for one in verdicts),
        "removed": sum(not one.keep for one in verdicts),
        "snapshots": [
            {
                "tag": one.snapshot.tag,
                "commit_id": one.snapshot.commit_id,
                "created_at": one.snapshot.created_at.isoformat(),
                "keep": one.keep,
                "reasons": list(one.reasons),
            }
            for one in reversed(verdicts)
        ],
    }


def _reasons(found: Claims, told: Mapping[str, Note | None]) -> dict[str, str]:
    return {commit_id: note.reason if (note := told[commit_id]) else "" for commit_id in found.pinned}
