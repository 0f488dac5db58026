"""Status, snapshots and plans in words, for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from syncd.cli.common import say
from syncd.words import fit, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def when(iso: str | None) -> str:
    """Return a time in the local time zone, to the second."""
    if iso is None:
        return "never"
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def snapshot_line(snapshot: Mapping[str, Any]) -> str:
    """Return one line on a snapshot."""
    change = f"+{snapshot['added']} ~{snapshot['changed']} -{snapshot['deleted']}"
    held = f"{snapshot['images']} images, {size(snapshot['bytes'])}"
    name = snapshot["tag"] or snapshot["commit_id"]
    return f"{name}  {when(snapshot['created_at'])}  {change:<18}  {held}  ({snapshot['trigger']})"


def logged(snapshot: Mapping[str, Any]) -> None:
    """Print one line of the log, and what became of the path it was asked for."""
    say(snapshot_line(snapshot) + ("  removed" if snapshot["removed_at"] else ""))
    if change := snapshot.get("path_change"):
        said = "deleted" if change["kind"] == "removed" else change["kind"]
        say(f"  {said} {snapshot['path']}, {size(change['bytes'])}")


def description(told: Mapping[str, Any]) -> None:
    """Print all about one snapshot."""
    say(told["tag"] or told["commit_id"])
    lines = {
        "commit": told["commit_id"],
        "made": f"{when(told['created_at'])}, {told['message']}",
        "holds": "" if told["images"] is None else f"{told['images']:,} images, {size(told['bytes'])} in all",
        **{name: _table_line(table) for name, table in told["tables"].items()},
        "digest": told["digest"],
        "lakeFS": told["uri"],
        "S3": told["s3_uri"],
    }
    width = max(len(name) for name in lines)
    for name, text in lines.items():
        if text:
            say(f"  {name:<{width}}  {text}")


def _table_line(table: Mapping[str, Any]) -> str:
    fits = "" if table["missing"] is None else f"; {fit(table['missing'], table['orphaned'])}"
    return f"{table['rows']:,} rows{fits}"


def status(picture: Mapping[str, Any]) -> None:
    """Print the status."""
    pending, snapshot = picture["pending"], picture["snapshot"]
    since = f", since {when(picture['since'])}" if picture["since"] else ""
    say(f"{picture['state']}{since}: {picture['why']}")
    if picture["next_step"] and picture["next_step"] not in picture["why"]:
        say(f"next: {picture['next_step']}")
    if snapshot is None:
        say("no snapshot yet")
    else:
        say(f"newest snapshot: {snapshot_line(snapshot)}")
        say(f"                 {snapshot['uri']}")
    if any(pending[key] for key in ("upload", "delete", "uncommitted")):
        say(
            f"pending: {pending['upload']} to upload ({size(pending['upload_bytes'])}),"
            f" {pending['delete']} to delete, {pending['uncommitted']} staged; since {when(pending['since'])}"
        )
    _running_by(picture["configuration"], picture["http"])
    for source in picture["sources"]:
        _source(source)
    if picture["retention"]["failure"]:
        say(f"retention: {picture['retention']['failure']}")
    for fault in picture["retention"]["faults"]:
        say(f"pins: {fault}")
    for table in picture["tables"]:
        _table(table)
    _problems(picture["problems"], picture["not_synced"])


def _running_by(configuration: Mapping[str, Any], http: Mapping[str, Any]) -> None:
    if configuration["fault"]:
        say(f"the former configuration is in effect: {configuration['fault']}")
    if configuration["at_next_start"]:
        say(f"changed, in effect at the next start: {', '.join(configuration['at_next_start'])}")
    if http["fault"]:
        say(http["fault"])


def _source(source: Mapping[str, Any]) -> None:
    notes = [
        "listing" if source["scanning"] else "",
        f"{source['settling']} still changing" if source["settling"] else "",
        source["reason"],
        source["degraded"],
    ]
    said = "; ".join(note for note in notes if note) or "watching"
    say(f"{source['name']}: {said}")


def _table(table: Mapping[str, Any]) -> None:
    said = "" if table["missing"] is None else fit(table["missing"], table["orphaned"])
    say(f"{table['name']}: {table['rows']:,} rows, read {when(table['read_at'])}{f'; {said}' if said else ''}")


def _problems(problems: Sequence[Mapping[str, Any]], counts: Mapping[str, Mapping[str, int]]) -> None:
    total = sum(sum(codes.values()) for codes in counts.values())
    if not total:
        return
    say(f"not synced: {total}")
    for problem in problems:
        say(f"  {problem['source']}: {problem['path']}: {problem['code']}: {problem['detail']}")
    if total > len(problems):
        say(f"  … and {total - len(problems)} more")


def closure(tables: Sequence[Mapping[str, Any]]) -> None:
    """Print which rows and images do not fit together."""
    if not tables:
        say("no table has rows to compare with images")
    for table in tables:
        if not table["read"]:
            say(f"{table['table']}: it has not been read yet; syncd status says why")
            continue
        fits = not (table["missing"] or table["orphaned"])
        said = fit(table["missing"], table["orphaned"])
        say(f"{table['table']}: {said}{', which are left out' if table['left_out'] and not fits else ''}")
        for row in table["rows"]:
            say(f"  row {row['key']}: {row['image'] or '(none)'}: {row['reason']}")
        for image in table["images"]:
            say(f"  image {image}: no row names it")
        unlisted = table["missing"] + table["orphaned"] - len(table["rows"]) - len(table["images"])
        if unlisted > 0:
            say(f"  … and {unlisted} more")


def left_out(paths: Sequence[Mapping[str, str]]) -> None:
    """Name what is not in a snapshot that was asked for."""
    for path in paths:
        say(f"left out: {path['path']}: {path['reason']}")
