"""All that is known of one file, in facts and in sentences."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from syncd.errors import JournalError, UsageError
from syncd.journal import exclusion, history, pictures, problems
from syncd.journal.journal import open_readonly
from syncd.model import IMAGES, TABLES
from syncd.presence import is_there
from syncd.service.sources import folder_settings
from syncd.sources.folder import verdicts
from syncd.status import problem_json, snapshot_json

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from syncd.config import Settings
    from syncd.journal.pictures import EntryPicture


def explain(settings: Settings, file: Path) -> dict[str, Any]:
    """Return what is known of a file: a path below the folder (absolute, or relative to it), or a table's file.

    Raises:
        UsageError: The file belongs to neither.
    """
    key, path, source = _place(settings, file)
    kept, rule = (True, "it is a table's file")
    if source == "images":
        judged = verdicts(folder_settings(settings))(path)
        kept, rule = judged.kept, judged.rule
    told: dict[str, Any] = {"key": key, "kept": kept, "rule": rule, "entry": None, "snapshot": None, "problems": []}
    told["withheld_by"] = []
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(open_readonly(settings.service.state_dir))
        except JournalError as error:
            told["lines"] = [_rule_line(told), error.fact]
            return told
        entry = pictures.entry(connection, key)
        told["entry"] = None if entry is None else _entry_json(entry)
        if entry is not None and entry.withheld:
            told["withheld_by"] = exclusion.unnaming(connection, key, exclusion.effective(connection))
        told["problems"] = [problem_json(one) for one in problems.standing(connection, limit=10, path=path)]
        if entry is not None and entry.committed_in is not None:
            snapshot = history.by_sequence(connection, entry.committed_in)
            told["snapshot"] = None if snapshot is None else snapshot_json(snapshot)
    told["lines"] = _lines(told, entry)
    return told


def _place(settings: Settings, file: Path) -> tuple[str, str, str]:
    """Return the key, the path as problems name it, and the source."""
    for table in settings.tables:
        if table.csv is not None and file.absolute() == table.csv:
            as_it_is = table.published_as_csv and table.closure != "exclude"
            key = f"{TABLES}{table.name}.csv" if table.published_as_csv else f"{TABLES}{table.name}/_schema.json"
            return key, str(table.csv) if as_it_is else table.name, table.name
    root = settings.source.root
    if not file.is_absolute():
        in_root = is_there(root / file) or not file.absolute().is_relative_to(root)
        file = root / file if in_root else file.absolute()
    if not file.is_relative_to(root):
        raise UsageError(
            f"{file} is neither below the folder {root} nor a table's file",
            next_step="name a path below source.root, absolute or relative to it",
        )
    path = file.relative_to(root).as_posix()
    return IMAGES + path, path, "images"


def _lines(told: dict[str, Any], entry: EntryPicture | None) -> list[str]:
    lines = [_rule_line(told)]
    lines += [f"not synced: {one['code']}: {one['detail']}" for one in told["problems"]]
    if entry is None:
        return [*lines, "never seen in the source, and not on the branch"]
    if entry.seen is None:
        lines.append(f"gone from the source, noticed {_at(entry.seen_at)} by {entry.seen_how or 'the first listing'}")
    else:
        lines.append(f"seen {_at(entry.seen_at)} by {entry.seen_how}: {entry.size_bytes} bytes")
        lines.append(f"sha256 {entry.seen.hex()}")
    lines += [f'no row of {table} names it, so it is left out (closure = "exclude")' for table in told["withheld_by"]]
    lines.append(_staged_line(entry))
    lines.append(_committed_line(told, entry))
    return lines


def _rule_line(told: dict[str, Any]) -> str:
    return f"{told['key']}: {'kept' if told['kept'] else 'left out'}: {told['rule']}"


def _staged_line(entry: EntryPicture) -> str:
    if entry.kept:
        why = "by syncd approve --discard" if entry.key.startswith(IMAGES) else "as while its table was not configured"
        return f"it stays published, {why}"
    if entry.withheld:
        return "not on the staging branch" if entry.staged is None else "still on the staging branch"
    if entry.staged == entry.seen:
        batch = f" (batch {entry.staged_batch})" if entry.staged_batch is not None else ""
        return f"on the staging branch as seen{batch}"
    if entry.attempts and entry.not_before is not None:
        return f"refused {entry.attempts} times; offered again at {_at(entry.not_before)}"
    return "not on the staging branch yet as seen"


def _committed_line(told: dict[str, Any], entry: EntryPicture) -> str:
    if entry.committed is None:
        return "in no snapshot yet"
    if entry.committed != entry.seen:
        return "the newest snapshot holds another content"
    if told["snapshot"] is None:
        return "in the newest snapshot"
    snapshot = told["snapshot"]
    return f"in every snapshot since {snapshot['tag']} (commit {snapshot['commit_id'][:12]})"


def _entry_json(entry: EntryPicture) -> dict[str, Any]:
    return {
        "seen_sha256": _hex(entry.seen),
        "bytes": entry.size_bytes,
        "seen_at": None if entry.seen_at is None else entry.seen_at.isoformat(),
        "seen_how": entry.seen_how,
        "staged_sha256": _hex(entry.staged),
        "batch": entry.staged_batch,
        "committed_sha256": _hex(entry.committed),
        "attempts": entry.attempts,
    }


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex() or "unknown"


def _at(moment: datetime | None) -> str:
    return "never" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
