"""Which rows and images do not fit together, one by one and why, for ``syncd status --closure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.journal import closure, exclusion, pictures
from syncd.journal.journal import open_readonly
from syncd.model import IMAGES
from syncd.service.sources import folder_settings
from syncd.service.tables import compared_tables
from syncd.sources.folder import verdicts
from syncd.sources.tables.images import path_fault

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from syncd.config import Settings
    from syncd.gate import ClosedTable
    from syncd.sources.ignore import Verdict

NO_IMAGE = "it names no image"
NOT_THERE = "there is no such image"
NOT_YET = "the image is seen, and on its way to the staging branch"


def closure_report(settings: Settings, *, limit: int) -> list[dict[str, Any]]:
    """Return for each table whose rows are compared what does not fit as things are staged now.

    Raises:
        JournalError: There is no journal yet.
        SourceUnavailableError: The folder of images cannot be opened.
    """
    judge = verdicts(folder_settings(settings))
    with open_readonly(settings.service.state_dir) as connection:
        return [_report(connection, table, judge, limit) for table in compared_tables(settings)]


def _report(
    connection: sqlite3.Connection, table: ClosedTable, judge: Callable[[str], Verdict], limit: int
) -> dict[str, Any]:
    found = (closure.excluded if table.excludes else closure.listed)(connection, table.name, limit)
    return {
        "table": table.name,
        "read": table.name in closure.check(connection, [table.name]),
        "left_out": table.excludes,
        "missing": found.pairing.missing,
        "orphaned": found.pairing.orphaned,
        "rows": [
            {"key": key, "image": image and image.removeprefix(IMAGES), "reason": _reason(connection, image, judge)}
            for key, image in found.rows
        ],
        "images": [image.removeprefix(IMAGES) for image in found.images],
    }


def _reason(connection: sqlite3.Connection, image: str | None, judge: Callable[[str], Verdict]) -> str:
    """Return why a row's image is not in what a commit made now would hold."""
    if image is None:
        return NO_IMAGE
    path = image.removeprefix(IMAGES)
    if fault := path_fault(path):
        return fault
    entry = pictures.entry(connection, image)
    if entry is not None and entry.withheld:
        others = ", ".join(exclusion.unnaming(connection, image, exclusion.effective(connection)))
        return f"the image is left out, since no row of {others} names it"
    if entry is not None and entry.seen is not None:
        return NOT_YET
    verdict = judge(path)
    if not verdict.kept:
        return f"it is left out: {verdict.rule}"
    alike = pictures.alike(connection, image)
    return f"{NOT_THERE}, but {alike.removeprefix(IMAGES)}: upper and lower case are told apart" if alike else NOT_THERE
