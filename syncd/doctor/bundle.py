"""What a bug report needs, put together: each part for itself, so that what cannot be had keeps nothing else away.

Every text goes through the cleaner, so that no secret and no control character is in it, and without ``with_names``
through the filter that leaves the names of files out.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from syncd.config import report
from syncd.doctor import findings as found_by
from syncd.doctor import system_facts
from syncd.doctor.host import unit_of
from syncd.doctor.names import NameFilter
from syncd.doctor.outside import said_by
from syncd.errors import SyncdError
from syncd.journal import history, pictures, problems
from syncd.journal.journal import open_readonly
from syncd.model import IMAGES, TABLES
from syncd.service import control
from syncd.status import snapshot_json
from syncd.status import status as picture_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncd.config import Loaded, Settings
    from syncd.doctor.findings import Finding
    from syncd.doctor.redaction import Cleaner
    from syncd.errors import ConfigError

ANSWER_WITHIN_S, LOG_WITHIN_S = 5.0, 10.0
MOST_SNAPSHOTS, MOST_LOG_LINES = 200, 2_000
_README = """\
What syncd bundle has gathered for a bug report. Look through it before you send it.

  versions.json       syncd, Python, libraries
  configuration.json  each value with its origin, secrets masked; or what is wrong with it
  doctor.txt, .json   what syncd doctor found
  status.json         what the daemon, or the journal, says
  journal.json        how much of what is in the journal, and its newest snapshots
  system.json         kernel, limits, memory, file systems
  log.txt             the last lines of the systemd unit's log, if there are any

No image and no row of a table is in it, and no secret that syncd can know of. {names}
"""
_WITHOUT = "Names of files are left out, except of those that the configuration names."
_WITH = "Names of files are in it, as --with-names asked for."


async def gathered(
    loaded: Loaded | None,
    error: ConfigError | None,
    findings: Sequence[Finding],
    cleaner: Cleaner,
    *,
    with_names: bool,
) -> dict[str, str]:
    """Return the texts by file name.

    Args:
        loaded: The configuration, or None.
        error: Why it cannot be used, or None.
        findings: Of the doctor.
        cleaner: Takes out secrets and control characters.
        with_names: Whether names of files may be in it.
    """
    settings = loaded.settings if loaded else None
    names = None if with_names else NameFilter(_places(settings))
    status, journal, log = await asyncio.gather(
        _status(settings), asyncio.to_thread(_journal, settings), _log_lines(unit_of(loaded.path if loaded else None))
    )
    if names is not None:
        status = names.values({**status, "problems": []})
        findings = [replace(one, fact=names.text(one.fact), fix=names.text(one.fix)) for one in findings]
        log = [names.log_line(line) for line in log]
    places = {"root": settings.source.root, "state_dir": settings.service.state_dir} if settings else {}
    documents = {
        "versions": system_facts.versions(),
        "configuration": report.as_json(loaded) if loaded else {"faults": str(error)},
        "doctor": found_by.as_json(findings),
        "status": status,
        "journal": journal,
        "system": await asyncio.to_thread(system_facts.system, places),
    }
    texts = {"README.txt": _README.format(names=_WITHOUT if names else _WITH)}
    texts |= {f"{name}.json": _json(cleaner, value) for name, value in documents.items()}
    texts["doctor.txt"] = cleaner.text("\n".join(found_by.as_lines(findings)) + "\n")
    if log:
        texts["log.txt"] = "".join(cleaner.line(line) + "\n" for line in log)
    return texts


def _places(settings: Settings | None) -> list[str]:
    return [IMAGES, TABLES, *([f"{settings.source.root}/"] if settings else ())]


def _json(cleaner: Cleaner, value: Any) -> str:
    return json.dumps(cleaner.value(value), indent=2, default=str) + "\n"


async def _status(settings: Settings | None) -> Mapping[str, Any]:
    if settings is None:
        return {"why": "the configuration cannot be used"}
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await control.call(settings.service.state_dir, "status")
    except (SyncdError, ConnectionError, TimeoutError) as error:
        why = str(error) or "the daemon does not answer"
    try:
        return await asyncio.to_thread(_status_of_journal, settings)
    except SyncdError as error:
        return {"why": f"{why}; {error.fact}"}


def _status_of_journal(settings: Settings) -> Mapping[str, Any]:
    with open_readonly(settings.service.state_dir) as connection:
        return picture_of(connection, None)


def _journal(settings: Settings | None) -> Mapping[str, Any]:
    if settings is None:
        return {}
    try:
        with open_readonly(settings.service.state_dir) as connection:
            return {
                "counts": asdict(pictures.counts(connection)),
                "not_synced": problems.counts(connection),
                "snapshots": [snapshot_json(one) for one in history.finished(connection, limit=MOST_SNAPSHOTS)],
            }
    except SyncdError as error:
        return {"error": error.fact}


async def _log_lines(unit: str) -> list[str]:
    """Return the last lines of a unit's log; none where systemd keeps no log of it."""
    asked = (f"--unit={unit}", f"--lines={MOST_LOG_LINES}", "--output=cat", "--no-pager", "--quiet")
    try:
        said = await said_by("journalctl", *asked, within_s=LOG_WITHIN_S)
    except TimeoutError:
        return []
    return (said or "").splitlines()
