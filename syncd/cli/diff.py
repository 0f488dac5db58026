"""``syncd diff``: what changed between two snapshots, files and rows."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import ConfigOption, JsonOption, configured, print_json, say
from syncd.errors import UsageError
from syncd.snapshots.reference import find
from syncd.words import size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from syncd.config import Settings
    from syncd.snapshots.comparison import Comparison
    from syncd.snapshots.file_changes import Change
    from syncd.snapshots.reference import Pinned
    from syncd.snapshots.row_changes import RowChange
    from syncd.snapshots.table_comparison import TableComparison
    from syncd.store.base import ObjectReader, VersionStore

MARKS = {"added": "+", "changed": "~", "removed": "-", "deleted": "-", "conflict": "!"}
_LONGEST_VALUE = 60  # characters


def diff(
    left: Annotated[str, typer.Argument(metavar="A", help="A tag, a commit id, a branch, or latest.")],
    right: Annotated[str, typer.Argument(metavar="B", help="What to compare it with.")],
    rows: Annotated[bool, typer.Option("--rows", help="Also the rows of tables that differ.")] = False,
    stat: Annotated[bool, typer.Option("--stat", help="Only how much there is of each kind.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it with pictures, as one page, instead.")
    ] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option("--contact-sheet", metavar="FILE", help="Write its images as one PNG, instead.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show what changed from A to B: + added, ~ changed, - deleted, R renamed; and the rows of each table, by key."""
    settings = configured(config, reads_only=True).settings
    if html is not None or contact_sheet is not None:
        if rows or stat or json:
            raise UsageError("--html and --contact-sheet go with none of --rows, --stat and --json")
        from syncd.cli.pictured import write_files

        asyncio.run(write_files(settings, left, right, html=html, sheet=contact_sheet))
        return
    asyncio.run(_diff(settings, left, right, rows=rows, stat=stat, json=json))


async def _diff(settings: Settings, left: str, right: str, *, rows: bool, stat: bool, json: bool) -> None:
    async with compared(settings, left, right) as (told, _, _):
        if json:
            print_json(as_json(told, rows=rows, stat=stat))
        else:
            _say(told, rows=rows, stat=stat)


@asynccontextmanager
async def compared(
    settings: Settings, left: str, right: str
) -> AsyncIterator[tuple[Comparison, tuple[ObjectReader, ObjectReader], VersionStore]]:
    """Lend the comparison of what two references mean, the objects of both, and the repository."""
    from syncd.service.lakefs import open_reader
    from syncd.snapshots.comparison import compare

    async with open_reader(settings) as reader:
        ends = [await find(reader.versions, asked, publish=settings.lakefs.publish_branch) for asked in (left, right)]
        async with (
            reader.objects(ends[0].commit.id) as left_objects,
            reader.objects(ends[1].commit.id) as right_objects,
            compare(
                *ends,
                versions=reader.versions,
                left_objects=left_objects,
                right_objects=right_objects,
                prefix=settings.lakefs.prefix,
            ) as told,
        ):
            yield told, (left_objects, right_objects), reader.versions


def as_json(told: Comparison, *, rows: bool = False, stat: bool = False) -> dict[str, Any]:
    """Return values with stable keys; what was not asked for is None."""
    changes = None if stat else list(told.changes())
    return {
        "from": _named(told.left),
        "to": _named(told.right),
        "stat": {kind: {"files": amount.files, "bytes": amount.size_bytes} for kind, amount in told.stat.items()},
        "changes": None if changes is None else [_change(one) for one in changes if one.kind != "renamed"],
        "renamed": None if changes is None else [_rename(one) for one in changes if one.kind == "renamed"],
        "tables": [_table(told, one, rows=rows and not stat) for one in told.tables],
    }


def _named(found: Pinned) -> dict[str, Any]:
    return {"tag": found.tag, "commit_id": found.commit.id}


def _change(one: Change) -> dict[str, Any]:
    return {"path": one.path, "kind": one.kind, "bytes": one.size_bytes}


def _rename(one: Change) -> dict[str, Any]:
    return {"from": one.old_path, "to": one.path, "bytes": one.size_bytes}


def _table(told: Comparison, table: TableComparison, *, rows: bool) -> dict[str, Any]:
    added, changed, deleted = table.counts or (None, None, None)
    return {
        "name": table.name,
        "kind": table.kind,
        "added": added,
        "changed": changed,
        "deleted": deleted,
        "why": table.why,
        "rows": [_row(one) for one in told.rows(table)] if rows else None,
    }


def _row(one: RowChange) -> dict[str, Any]:
    old, new = ({name: plain(value) for name, value in side.items()} for side in (one.old, one.new))
    return {"kind": one.kind, "key": plain(one.key), "old": old, "new": new}


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: what it does not know as text, as in a table that is published as CSV."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat().removesuffix("+00:00") + ("Z" if getattr(value, "tzinfo", None) else "")
    return value


def _say(told: Comparison, *, rows: bool, stat: bool) -> None:
    nothing = not any(amount.files for amount in told.stat.values())
    if nothing:
        say("no difference")
    elif stat:
        say(", ".join(_amounts(told.stat)))
    else:
        for one in told.changes():
            what = f"R {one.old_path} -> {one.path}" if one.kind == "renamed" else f"{MARKS[one.kind]} {one.path}"
            say(f"{what}  {size(one.size_bytes)}")
    for table in told.tables:
        say(_table_line(table))
        for row in told.rows(table) if rows and not stat else ():
            say(f"  {_row_line(row)}")


def _amounts(stat: Mapping[str, Any]) -> Iterator[str]:
    for kind, amount in stat.items():
        if amount.files:
            said = "deleted" if kind == "removed" else kind
            yield f"{amount.files:,} {said} ({size(amount.size_bytes)})"


def _table_line(table: TableComparison) -> str:
    if table.why:
        return f"{table.name}: its rows cannot be compared: {table.why}"
    if table.kind == "changed" and table.counts is not None:
        added, changed, deleted = table.counts
        return f"{table.name}: {_rows(added)} added, {changed:,} changed, {deleted:,} deleted"
    rows = "" if table.counts is None else f", {_rows(sum(table.counts))}"
    return f"{table.name}: the table is {'new' if table.kind == 'added' else 'gone'}{rows}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _row_line(one: RowChange) -> str:
    if one.kind == "changed":
        told = [f"{name} {_short(one.old[name])} -> {_short(value)}" for name, value in one.new.items()]
    else:
        told = [f"{name} {_short(value)}" for name, value in (one.new or one.old).items()]
    return f"{MARKS[one.kind]} {_short(one.key)}: {', '.join(told)}"


def _short(value: Any) -> str:
    text = "NULL" if value is None else str(plain(value)).replace("\n", "\\n")
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
