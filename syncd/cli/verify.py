"""``syncd verify``: is a snapshot what it says it is?"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli import show
from syncd.cli.common import ConfigOption, JsonOption, ReferenceArgument, configured, print_json, say
from syncd.errors import EXIT_FAILED
from syncd.snapshots.reference import LATEST, find

if TYPE_CHECKING:
    from syncd.config import Settings


def verify(
    reference: ReferenceArgument = LATEST,
    read_data: Annotated[bool, typer.Option("--read-data", help="Read the objects and check their digests.")] = False,
    sample: Annotated[
        float, typer.Option("--sample", min=0, max=100, metavar="PERCENT", help="With --read-data: so many, at random.")
    ] = 100.0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Check a snapshot against what its commit says: counts, sizes, and one digest over all paths and contents."""
    share = sample / 100 if read_data else 0.0
    told = asyncio.run(_verify(configured(config).settings, reference, share))
    if json:
        print_json(told)
    else:
        _say(told)
    if told["fault_count"]:
        raise typer.Exit(EXIT_FAILED)


async def _verify(settings: Settings, reference: str, share: float) -> dict[str, Any]:
    from syncd.service.lakefs import open_reader
    from syncd.snapshots.verification import verify as verified

    async with open_reader(settings) as reader:
        found = await find(reader.versions, reference, publish=settings.lakefs.publish_branch)
        async with reader.objects(found.commit.id) as objects:
            told = await verified(
                found,
                versions=reader.versions,
                objects=objects,
                prefix=settings.lakefs.prefix,
                share=share,
                rng=random.Random(),  # noqa: S311 - a sample, no secret
            )
    return {
        "tag": found.tag,
        "commit_id": found.commit.id,
        "objects": told.objects,
        "images": told.images,
        "bytes": told.size_bytes,
        "digest": told.digest,
        "read_objects": told.read_objects,
        "read_bytes": told.read_bytes,
        "fault_count": told.fault_count,
        "faults": [{"path": one.key, "why": one.why} for one in told.faults],
    }


def _say(told: dict[str, Any]) -> None:
    read = f"; {told['read_objects']:,} read, {show.size(told['read_bytes'])}" if told["read_objects"] else ""
    say(f"{told['tag'] or told['commit_id']}: {told['objects']:,} objects, {show.size(told['bytes'])}{read}")
    for one in told["faults"]:
        say(f"  {one['path'] or 'the snapshot'}: {one['why']}")
    if told["fault_count"] > len(told["faults"]):
        say(f"  … and {told['fault_count'] - len(told['faults']):,} more")
    if not told["fault_count"]:
        say("as its commit says")
