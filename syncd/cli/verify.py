"""``syncd verify``: is a snapshot what it says it is, and what the folder holds now?"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli import show
from syncd.cli.common import (
    DEFAULT_TIMEOUT_S,
    ConfigOption,
    JsonOption,
    ReferenceArgument,
    TimeoutOption,
    configured,
    print_json,
    say,
)
from syncd.errors import EXIT_FAILED
from syncd.snapshots.reference import LATEST, find
from syncd.words import fit, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.config import Settings
    from syncd.service.source_check import SourceCheck
    from syncd.snapshots.fit import TableFit
    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.verification import Verification

MOST_CHANGES = 1000  # listed one by one
_MARKS = {"added": "+", "changed": "~", "deleted": "-"}


def verify(
    reference: ReferenceArgument = LATEST,
    read_data: Annotated[bool, typer.Option("--read-data", help="Read the objects and check their digests.")] = False,
    sample: Annotated[
        float, typer.Option("--sample", min=0, max=100, metavar="PERCENT", help="With --read-data: so many, at random.")
    ] = 100.0,
    tables: Annotated[
        bool, typer.Option("--tables/--no-tables", help="Read the tables and compare their rows with the images.")
    ] = True,
    source: Annotated[
        bool, typer.Option("--source", help="Compare with the folder and the tables as they are now; reads them all.")
    ] = False,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Check a snapshot against what its commit says: counts, sizes, one digest over all, and rows without image.

    Ends with 1 if anything is not as it should be, or if the source differs.
    """
    share = sample / 100 if read_data else 0.0
    patience = timedelta(seconds=timeout) if source else None
    settings = configured(config, reads_only=not source).settings
    told = asyncio.run(_verify(settings, reference, share, tables=tables, patience=patience))
    if json:
        print_json(told)
    else:
        _say(told)
    if told["fault_count"] or (told["source"] and told["source"]["differs"]):
        raise typer.Exit(EXIT_FAILED)


async def _verify(
    settings: Settings, reference: str, share: float, *, tables: bool, patience: timedelta | None
) -> dict[str, Any]:
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
                tables=tables,
            )
        answer = _json(found, told)
        if patience is not None:
            from syncd.service.source_check import check_source

            answer["source"] = _source_json(await check_source(settings, found, reader.versions, patience=patience))
    return answer


def _json(found: Pinned, told: Verification) -> dict[str, Any]:
    return {
        "tag": found.tag,
        "commit_id": found.commit.id,
        "objects": told.objects,
        "images": told.images,
        "bytes": told.size_bytes,
        "digest": told.digest,
        "read_objects": told.read_objects,
        "read_bytes": told.read_bytes,
        "tables": [_table_json(one) for one in told.tables],
        "fault_count": told.fault_count,
        "faults": [{"path": one.key, "why": one.why} for one in told.faults],
        "source": None,
    }


def _table_json(one: TableFit) -> dict[str, Any]:
    return {
        "name": one.name,
        "rows": one.rows,
        "missing": one.missing,
        "orphaned": one.orphaned,
        "unknown": one.unknown,
    }


def _source_json(check: SourceCheck) -> dict[str, Any]:
    counts = Counter(one.kind for one in check.changes)
    some = check.changes[:MOST_CHANGES]
    return {
        "differs": bool(check.changes),
        **{kind: counts[kind] for kind in _MARKS},
        "changes": [{"path": one.key, "kind": one.kind, "bytes": one.size_bytes} for one in some],
        "more": len(check.changes) - len(some),
        "left_out": [{"path": one.path, "reason": one.reason} for one in check.left_out],
    }


def _say(told: dict[str, Any]) -> None:
    read = f"; {told['read_objects']:,} read, {size(told['read_bytes'])}" if told["read_objects"] else ""
    say(f"{told['tag'] or told['commit_id']}: {told['objects']:,} objects, {size(told['bytes'])}{read}")
    for table in told["tables"]:
        _say_table(table)
    for one in told["faults"]:
        say(f"  {one['path'] or 'the snapshot'}: {one['why']}")
    if told["fault_count"] > len(told["faults"]):
        say(f"  … and {told['fault_count'] - len(told['faults']):,} more")
    if not told["fault_count"]:
        say("as its commit says")
    if told["source"] is not None:
        _say_source(told["source"])


def _say_table(table: Mapping[str, Any]) -> None:
    if table["missing"] is not None:
        said = f"{table['rows']:,} rows; {fit(table['missing'], table['orphaned'])}"
    elif table["unknown"]:
        said = ", ".join(
            part for part in ("" if table["rows"] is None else f"{table['rows']:,} rows", table["unknown"]) if part
        )
    else:
        return
    say(f"{table['name']}: {said}")


def _say_source(source: Mapping[str, Any]) -> None:
    for one in source["changes"]:
        amount = "" if one["bytes"] is None else f"  {size(one['bytes'])}"
        say(f"{_MARKS[one['kind']]} {one['path']}{amount}")
    if source["more"]:
        say(f"  … and {source['more']:,} more")
    show.left_out(source["left_out"])
    if source["differs"]:
        counts = ", ".join(f"{source[kind]:,} {kind}" for kind in _MARKS)
        say(f"the source differs: {counts} since")
    else:
        say("as the source is now")
