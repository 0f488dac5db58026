"""``syncd pin``, ``unpin``, ``pins``: what people want kept, and whether all pins and tags are as they should be."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli import show
from syncd.cli.common import ConfigOption, JsonOption, WhichArgument, configured, print_json, say
from syncd.errors import EXIT_FAILED, JournalError, SyncdError
from syncd.journal.history import by_tag
from syncd.journal.journal import open_readonly
from syncd.snapshots.reference import find
from syncd.store.pins import Keeper

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model import Snapshot
    from syncd.retention.checking import Fault, History
    from syncd.store.pins import PinStore


class NotPinnedError(SyncdError):
    """Nobody has pinned the snapshot."""


def pin(
    reference: WhichArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What it is needed for.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Keep a snapshot, whatever the keep rules say, until it is unpinned. Again: with another reason."""
    told = asyncio.run(_pin(configured(config, reads_only=True).settings, reference, reason))
    if json:
        print_json(told)
    else:
        say(f"pinned: {told['tag'] or told['commit_id']}: {told['reason']}")


async def _pin(settings: Settings, reference: str, reason: str) -> dict[str, Any]:
    from syncd.service.lakefs import open_reader
    from syncd.service.pinning import pin

    async def known(tag: str) -> Snapshot | None:
        return await asyncio.to_thread(_known, settings, tag)

    async with open_reader(settings) as reader:
        return await pin(reader, reference, reason=reason, who=_who(), known=known)


def unpin(reference: WhichArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Take a person's pin away: the keep rules decide again what becomes of the snapshot."""
    told = asyncio.run(_unpin(configured(config, reads_only=True).settings, reference))
    if json:
        print_json(told)
    else:
        say(f"unpinned: {told['tag'] or told['commit_id']}")


async def _unpin(settings: Settings, reference: str) -> dict[str, Any]:
    from syncd.service.lakefs import open_reader

    async with open_reader(settings) as reader:
        found = await find(reader.versions, reference, publish=settings.lakefs.publish_branch)
        name = found.name
        if not await reader.pins.unpin(Keeper.PERSON, found.commit.id):
            raise NotPinnedError(f"nobody has pinned {name}", next_step="syncd pins lists what is pinned")
    return {"tag": found.tag, "commit_id": found.commit.id}


def _known(settings: Settings, tag: str) -> Snapshot | None:
    """Return the snapshot that got a tag, if there is a journal here that says so."""
    with suppress(JournalError), open_readonly(settings.service.state_dir) as connection:
        return by_tag(connection, tag)
    return None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # as in a container, where the user has no name
        user = str(os.getuid())
    return f"{user} on {socket.gethostname()}"


pins_app = typer.Typer(name="pins", help="What is pinned, by whom and why.", invoke_without_command=True)


@pins_app.callback()
def pins(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List what people pinned and what is being pulled, and count what retention keeps; asks lakeFS alone."""
    if context.invoked_subcommand is not None:
        return
    told = asyncio.run(_pins(configured(config, reads_only=True).settings))
    if json:
        print_json(told)
        return
    for one in told["pinned"]:
        by = f"{one['who']}, {show.when(one['at'])}" if one["who"] else "nobody knows who"
        say(f"{one['tag'] or one['commit_id']}: {one['reason'] or 'without a reason'} ({by})")
    for one in told["in_use"]:
        say(f"{one['tag'] or one['commit_id']}: in use, until {show.when(one['until'])} at least")
    say(f"{len(told['pinned'])} pinned by people, {len(told['kept'])} by retention: syncd retention plan says why")


async def _pins(settings: Settings) -> dict[str, Any]:
    from syncd.retention.claims import claims, notes
    from syncd.service.lakefs import open_reader
    from syncd.service.pinning import pinned_json

    async with open_reader(settings) as reader:
        found = await claims(reader.pins, datetime.now(UTC))
        told = await notes(reader.pins, found)
        kept = [pin.commit_id async for pin in reader.pins.pins(Keeper.RETENTION)]
        tags = {commit_id: tag async for tag, commit_id in reader.versions.tags()}
    return {
        "pinned": [pinned_json(commit_id, note, tags) for commit_id, note in told.items()],
        "in_use": [
            {"tag": tags.get(use.commit_id), "commit_id": use.commit_id, "until": use.until.isoformat()}
            for use in found.uses
        ],
        "kept": [{"tag": tags.get(commit_id), "commit_id": commit_id} for commit_id in kept],
    }


@pins_app.command()
def check(
    repair: Annotated[bool, typer.Option("--repair", help="Make missing pins, remove those that were left.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Check that all that is kept is pinned, and that no tag was moved or deleted. Tags are never touched."""
    repaired, faults = asyncio.run(_check(configured(config, reads_only=True).settings, repair=repair))
    if json:
        listed = [
            {"code": one.code.value, "tag": one.tag, "commit_id": one.commit_id, "why": one.why, "next": one.next_step}
            for one in faults
        ]
        print_json({"repaired": repaired, "faults": listed})
    else:
        for one in faults:
            say(f"{one.tag or one.commit_id}: {one.why}\n  next: {one.next_step}")
        if repaired or not faults:
            say(f"{repaired:,} repaired" if repaired else "all that is kept is pinned and has its tag")
    if faults:
        raise typer.Exit(EXIT_FAILED)


async def _check(settings: Settings, *, repair: bool) -> tuple[int, list[Fault]]:
    from syncd.retention import checking
    from syncd.service.lakefs import open_reader

    async def read() -> History:
        return await asyncio.to_thread(_history, settings)

    place = settings.lakefs
    async with open_reader(settings) as reader:
        faults = await checking.check(
            read,
            versions=reader.versions,
            pins=reader.pins,
            repository=place.repository,
            staging=place.staging_branch,
        )
        return await _repaired(faults, reader.pins) if repair else (0, faults)


def _history(settings: Settings) -> History:
    from syncd.retention.checking import history

    with open_readonly(settings.service.state_dir) as connection:
        return history(connection)


async def _repaired(faults: list[Fault], pins: PinStore) -> tuple[int, list[Fault]]:
    from syncd.retention.checking import repair

    return await repair(faults, pins)
