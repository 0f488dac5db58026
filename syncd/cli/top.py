"""``syncd top``: the daemon at work, on one screen."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from syncd.cli import show
from syncd.cli.common import ConfigOption, configured, needs_daemon, results
from syncd.cli.tail import line_of
from syncd.service import control
from syncd.words import printable, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

NEWEST_EVENTS = 10
_COLOURS = {"idle": "green", "degraded": "yellow", "held": "magenta", "failing": "red"}


def top(
    config: ConfigOption = None,
    every: Annotated[float, typer.Option("--every", min=0.1, metavar="SECONDS", help="The time between looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, print, and exit.")] = False,
) -> None:
    """Watch the running daemon: state, what waits, rates, sources, newest events. Ctrl-C ends it."""
    state_dir = configured(config, reads_only=True).settings.service.state_dir
    try:
        with needs_daemon():
            asyncio.run(_watch(state_dir, every, once=once or not results.is_terminal))
    except KeyboardInterrupt:
        pass  # that is how one leaves


async def _watch(state_dir: Path, every_s: float, *, once: bool) -> None:
    rates = _Rates()
    if once:
        results.print(await _screen(state_dir, rates))
        return
    with Live(await _screen(state_dir, rates), console=results, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every_s)
            live.update(await _screen(state_dir, rates), refresh=True)


class _Rates:
    """Turns counts that only grow into what came each second since the last look."""

    def __init__(self) -> None:
        self._at_s, self._last = time.monotonic(), dict[str, int]()

    def of(self, counted: Mapping[str, Any]) -> dict[str, float]:
        now_s = time.monotonic()
        counts = {
            "objects": sum(counted["objects"].get(name, 0) for name in ("uploaded", "copied", "deleted")),
            "bytes": counted["uploaded_bytes"],
            "requests": counted["requests"],
        }
        elapsed_s = max(now_s - self._at_s, 1e-3)
        found = {name: (count - self._last.get(name, count)) / elapsed_s for name, count in counts.items()}
        self._at_s, self._last = now_s, counts
        return found


async def _screen(state_dir: Path, rates: _Rates) -> RenderableType:
    picture = await control.call(state_dir, "top")
    events = await control.call(state_dir, "events", most=NEWEST_EVENTS)
    return Group(_state(picture), _numbers(picture, rates.of(picture["counted"])), _newest(events["events"]))


def _state(picture: Mapping[str, Any]) -> Text:
    text = Text(picture["state"], style=f"bold {_COLOURS.get(picture['state'], 'cyan')}")
    text.append(f"  since {show.when(picture['since'])}\n", style="dim")
    text.append(f"{printable(picture['why'])}\n")
    if picture["next_step"] and picture["next_step"] not in picture["why"]:
        text.append(f"next: {printable(picture['next_step'])}\n", style="bold")
    return text


def _numbers(picture: Mapping[str, Any], rates: Mapping[str, float]) -> Table:
    table = Table.grid(padding=(0, 2))
    pending, snapshot = picture["pending"], picture["snapshot"]
    table.add_row(
        "waits",
        f"{pending['upload']:,} to upload ({size(pending['upload_bytes'])}),"
        f" {pending['delete']:,} to delete, {pending['uncommitted']:,} in no snapshot yet",
    )
    table.add_row("oldest", _age(pending["since"]))
    table.add_row(
        "rate", f"{rates['objects']:,.0f} objects/s, {size(rates['bytes'])}/s, {rates['requests']:,.0f} requests/s"
    )
    table.add_row("next look", show.when(picture["next_decision_at"]) if picture["next_decision_at"] else "at a change")
    table.add_row("newest", Text(printable(show.snapshot_line(snapshot))) if snapshot else "no snapshot yet")
    for source in picture["sources"]:
        said = source["reason"] or source["degraded"] or ("listing" if source["scanning"] else "watching")
        table.add_row(source["name"], Text(printable(f"{said}; {source['settling']:,} still changing")))
    for one in picture["tables"]:
        table.add_row(one["name"], f"{one['rows']:,} rows, read {show.when(one['read_at'])}")
    if not_synced := sum(count for codes in picture["not_synced"].values() for count in codes.values()):
        table.add_row("not synced", f"{not_synced:,}: syncd status names them")
    return table


def _newest(events: Sequence[Mapping[str, Any]]) -> Text:
    return Text("\n" + "\n".join(printable(line_of(event)) for event in events), style="dim", no_wrap=True)


def _age(since: str | None) -> str:
    if since is None:
        return "nothing waits"
    return f"{(datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds():,.0f} s"
