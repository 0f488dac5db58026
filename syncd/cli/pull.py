"""``syncd pull``: a folder that is exactly a snapshot."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import ConfigOption, JsonOption, WhichArgument, configured, print_json, say
from syncd.cli.progress import PullProgress
from syncd.snapshots.placing import Placing
from syncd.words import size

if TYPE_CHECKING:
    from syncd.client.reading import PullOptions
    from syncd.config import Settings
    from syncd.snapshots.pull import Pulled


def pull(
    reference: WhichArgument,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="It does not exist, is empty, or was made by a pull.", show_default=False),
    ],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Only these, such as images/cats.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove files in DIR that no pull put there, or that were changed.")
    ] = False,
    link: Annotated[
        Placing, typer.Option("--link", help="How files get from the cache into DIR; hard links are read-only.")
    ] = Placing.AUTO,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Another cache.", show_default="pull.cache_dir")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make DIR exactly a snapshot; what was fetched before is not fetched again, and readers never see half of it."""
    from syncd.client.reading import PullOptions

    settings = configured(config, reads_only=True).settings
    with PullProgress() as progress:
        options = PullOptions(paths=paths or (), delete=delete, link=link.value, cache=cache, progress=progress.show)
        told = asyncio.run(_pull(settings, reference, folder, options))
    if json:
        print_json(told)
    else:
        _say(told)


async def _pull(settings: Settings, reference: str, folder: Path, options: PullOptions) -> dict[str, Any]:
    from syncd.client.facts import SnapshotFacts
    from syncd.client.reading import pull as pulled
    from syncd.client.session import Session

    async with Session(settings) as session:
        snapshot = SnapshotFacts(settings, await session.find(reference, None))
        done = await pulled(session, snapshot, folder, options)
    return {"tag": snapshot.tag, "commit_id": snapshot.commit_id, "folder": str(folder), **_counts(done)}


def _counts(done: Pulled) -> dict[str, Any]:
    return {
        "objects": done.objects,
        "bytes": done.size_bytes,
        "fetched_objects": done.fetched_objects,
        "fetched_bytes": done.fetched_bytes,
        "placing": done.placing.value,
        "kept": [str(folder) for folder in done.kept],
    }


def _say(told: dict[str, Any]) -> None:
    fetched = f"{told['fetched_objects']:,} fetched, {size(told['fetched_bytes'])}"
    holds = f"{told['objects']:,} files, {size(told['bytes'])}"
    say(f"{told['folder']} is {told['tag'] or told['commit_id']}: {holds}; {fetched}")
    for folder in told["kept"]:
        say(f"someone wrote to it during a pull: what it held is in {folder}")
