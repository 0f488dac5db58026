"""``syncd restore``: files of a snapshot put back, into any folder or into the source."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import (
    DEFAULT_TIMEOUT_S,
    ConfigOption,
    JsonOption,
    TimeoutOption,
    WhichArgument,
    configured,
    messages,
    print_json,
    say,
)
from syncd.errors import EXIT_FAILED, UsageError
from syncd.words import printable, size

if TYPE_CHECKING:
    from syncd.client.restoring import RestoreOptions
    from syncd.config import Settings
    from syncd.snapshots.restore import Restored

MOST_SHOWN = 20


def restore(  # noqa: PLR0913, PLR0917 - one for each option
    reference: WhichArgument,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Only these, such as images/cats.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Into this folder, among what is there.")
    ] = None,
    into_source: Annotated[
        bool, typer.Option("--into-source", help="Into the watched folder, and tables that are CSV files.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are not as in the snapshot.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="With --into-source: remove images that the snapshot does not hold.")
    ] = False,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Put files of a snapshot back. What is not as in the snapshot stays, and is named, unless you say otherwise.

    With --into-source the state before is taken as a snapshot first, so that nothing is lost, and nothing is published
    until all is in its place; with --overwrite or --delete that snapshot is pinned. Ends with 1 if anything was left as
    it is.
    """
    from syncd.client.restoring import RestoreOptions

    if (to is None) is not into_source:
        raise UsageError("where to?", next_step="say either --to DIR or --into-source")
    if delete and not into_source:
        raise UsageError(
            "--delete is for --into-source", next_step="syncd pull REF DIR makes a folder exactly a snapshot"
        )
    settings = configured(config, reads_only=not into_source).settings
    with messages.status("restoring") as line:
        options = RestoreOptions(
            paths=paths or (),
            overwrite=overwrite,
            delete=delete,
            timeout=timeout,
            begun=lambda into: _hint(_before(into.before, pinned=into.pinned)),
            progress=lambda done: line.update(f"{done.written + done.replaced:,} restored, {size(done.size_bytes)}"),
        )
        told = asyncio.run(_restore(settings, reference, to, options))
    if json:
        print_json(told)
    else:
        _say(told)
    if told["left_count"] or told["tables_left"]:
        raise typer.Exit(EXIT_FAILED)


async def _restore(settings: Settings, reference: str, to: Path | None, options: RestoreOptions) -> dict[str, Any]:
    from syncd.client.facts import SnapshotFacts
    from syncd.client.restoring import restore_into_source, restore_to
    from syncd.client.session import Session

    async with Session(settings) as session:
        snapshot = SnapshotFacts(settings, await session.find(reference, None))
        told = {"tag": snapshot.tag, "commit_id": snapshot.commit_id}
        if to is not None:
            done = await restore_to(session, snapshot, to, options)
            none = {"before": None, "before_pinned": False, "after": None}
            return {**told, "folder": str(to), **_counts(done), "tables_left": [], **none}
        into = await restore_into_source(session, snapshot, options)
        where = {"folder": str(settings.source.root), "tables_left": into.tables}
        states = {"before": into.before, "before_pinned": into.pinned, "after": into.after}
        return {**told, **where, **_counts(into.done), **states}


def _counts(done: Restored) -> dict[str, Any]:
    return {
        "written": done.written,
        "replaced": done.replaced,
        "removed": done.removed,
        "bytes": done.size_bytes,
        "left_count": done.left_count,
        "left": [{"path": path, "reason": why} for path, why in sorted(done.left.items())],
    }


def _before(tag: str, *, pinned: bool) -> str:
    kept = f"; it is pinned, whatever the keep rules say, until syncd unpin {tag}" if pinned else ""
    return f"as it was before: {tag}{kept}"


def _hint(text: str) -> None:
    """Say at once what a person needs to know should the command not come to its end."""
    messages.print(f"syncd: {printable(text)}", markup=False)


def _say(told: dict[str, Any]) -> None:
    name = told["tag"] or told["commit_id"]
    counts = f"{told['written']:,} put back, {told['replaced']:,} replaced, {told['removed']:,} removed"
    say(f"{name} into {told['folder']}: {counts} ({size(told['bytes'])})")
    if told["before"]:
        say(_before(told["before"], pinned=told["before_pinned"]))
        say(f"as it is now: {told['after']}")
    for one in told["left"][:MOST_SHOWN]:
        say(f"left as it is: {one['path']}: {one['reason']}")
    if told["left_count"] > MOST_SHOWN:
        say(f"left as they are: {told['left_count'] - MOST_SHOWN:,} more; --json names them")
    for table in told["tables_left"]:
        say(f"not put back: {table}, which syncd cannot write; syncd restore {name} {table} --to DIR gives its rows")
