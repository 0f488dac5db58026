"""``syncd approve``: answer what waits for a person."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import ConfigOption, JsonOption, configured, print_json, say
from syncd.errors import EXIT_HELD
from syncd.service import control

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config import Settings

_LATE = (
    "{:,} of the images shown did not wait for an answer any more: they are back, or the rest was few enough to go."
    " syncd status shows what is there now, and syncd restore brings back what an earlier snapshot holds"
)


def approve(
    config: ConfigOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="PATTERN", help="Only what this gitignore pattern means; may be repeated."),
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Keep the images published, although the source does not hold them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, on a terminal.")] = False,
    json: JsonOption = False,
) -> None:
    """Let go ahead what is held: images or rows that are gone, a branch others changed; nothing that came later."""
    settings = configured(config).settings
    held = asyncio.run(_call(settings, "held"))
    if not json:
        _show(held)
    nothing = held["images"] is None and not held["tables"] and not held["branch"]
    if not nothing and not yes and not json and sys.stdin.isatty():
        typer.confirm("keep the images published?" if discard else "let this go ahead?", abort=True)
    images = held["images"]
    request = {
        "revision": images and images["revision"],
        "tables": held["tables"],
        "branch": held["branch"],
        "only": only or [],
        "discard": discard,
    }
    answer = (
        {"images": 0, "tables": [], "branch": False} if nothing else asyncio.run(_call(settings, "approve", **request))
    )
    if json:
        print_json({"held": held, **answer})
        return
    _say(answer, discard=discard)
    if images is not None and not only and answer["images"] < images["count"]:
        say(_LATE.format(images["count"] - answer["images"]))
    if not nothing and not any(answer.values()):
        raise typer.Exit(EXIT_HELD)


async def _call(settings: Settings, command: str, **request: Any) -> Mapping[str, Any]:
    try:
        return await control.call(settings.service.state_dir, command, **request)
    except ConnectionError:
        from syncd.service.approval import NoDaemon

        without = NoDaemon(settings)
        return await (without.approve(request) if command == "approve" else without.held())


def _show(held: Mapping[str, Any]) -> None:
    images = held["images"]
    if images is not None:
        say(f"held: {images['count']} of {images['of']} images are gone from the source:")
        for path in images["paths"]:
            say(f"  {path}")
        if images["count"] > len(images["paths"]):
            say(f"  … and {images['count'] - len(images['paths'])} more")
    for name, hold in held["tables"].items():
        say(f"held: {name}: {hold}")
    if held["branch"]:
        say(f"held: {held['branch']}")
    if images is None and not held["tables"] and not held["branch"]:
        say("nothing that can be approved is held")


def _say(answer: Mapping[str, Any], *, discard: bool) -> None:
    if answer["images"]:
        say(f"{'kept' if discard else 'approved'}: {answer['images']} images")
    for name in answer["tables"]:
        say(f"approved: {name}")
    if answer["branch"]:
        say("approved: the branch is taken over")
