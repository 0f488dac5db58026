"""One picture of how things stand, with the same words for a terminal, JSON, logs and pages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from syncd.journal import history, pictures, problems, tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from syncd.journal.tables import TablePicture
    from syncd.model import Problem, Snapshot
    from syncd.sources.base import SourceHealth

MOST_PROBLEMS = 100  # listed one by one; beyond that they are counted


class State(StrEnum):
    """One word for the whole. The first that applies, from the top."""

    FAILING = "failing"  # lakeFS or the disk under the journal does not do what is asked
    HELD = "held"  # something waits for a person or for the source to be whole
    COMMITTING = "committing"
    UPLOADING = "uploading"
    SCANNING = "scanning"
    WAITING = "waiting"  # changes wait for the next snapshot
    DEGRADED = "degraded"  # all is well, but changes are noticed late
    IDLE = "idle"  # the newest snapshot holds what the source holds
    STOPPED = "stopped"  # no daemon runs


IN_STEP = (State.IDLE, State.DEGRADED)  # the newest snapshot holds all that was seen of the source


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonPicture:
    """What only a running daemon knows."""

    activity: str
    why: str
    hold: str
    failure: str
    next_step: str  # for a person, while it fails
    retention_failure: str
    pin_faults: Sequence[str]
    wake_at: datetime | None
    sources: Sequence[SourceHealth]


_NEXT_STEPS = {
    State.HELD: "syncd status says what is held; syncd approve agrees to deletions",
    State.STOPPED: "syncd run, or start its service",
}


def state_of(daemon: DaemonPicture | None, *, waiting: bool) -> State:
    """Return the state word.

    Args:
        daemon: None where no daemon runs.
        waiting: Changes are observed that no snapshot holds.
    """
    if daemon is None:
        return State.STOPPED
    checks = [
        (bool(daemon.failure), State.FAILING),
        (bool(daemon.hold) or any(source.reason and not source.available for source in daemon.sources), State.HELD),
        (daemon.activity in {"comparing", "committing"}, State.COMMITTING),
        (daemon.activity == "uploading", State.UPLOADING),
        (any(source.scanning or not source.complete for source in daemon.sources), State.SCANNING),  # at the start
        (waiting or any(source.settling for source in daemon.sources), State.WAITING),
        (any(source.degraded for source in daemon.sources), State.DEGRADED),
    ]
    return next((state for applies, state in checks if applies), State.IDLE)


def headline(connection: sqlite3.Connection, daemon: DaemonPicture | None) -> dict[str, Any]:
    """Return the state word, why it is that, and what a person can do; costs little, whatever waits.

    Args:
        connection: A reader of the journal.
        daemon: None where no daemon runs.
    """
    waiting = pictures.standing(connection, count_up_to=1).waiting_since is not None
    state = state_of(daemon, waiting=waiting)
    next_step = daemon.next_step if daemon and daemon.failure else _NEXT_STEPS.get(state, "")
    return {"state": state.value, "since": None, "why": _why(daemon, waiting=waiting), "next_step": next_step}


def status(connection: sqlite3.Connection, daemon: DaemonPicture | None) -> dict[str, Any]:
    """Return the status as JSON-able values; the keys are stable.

    Args:
        connection: A reader of the journal.
        daemon: None where no daemon runs.
    """
    counts = pictures.counts(connection)
    standing = pictures.standing(connection, count_up_to=1)
    newest = next(history.finished(connection, limit=1), None)
    return {
        **headline(connection, daemon),
        "pending": {
            "upload": counts.to_upload,
            "upload_bytes": counts.upload_bytes,
            "delete": counts.to_delete,
            "uncommitted": counts.uncommitted,
            "since": iso(standing.waiting_since),
        },
        "next_decision_at": iso(daemon.wake_at) if daemon else None,
        "snapshot": None if newest is None else snapshot_json(newest),
        "hold": daemon.hold if daemon else "",
        "failure": daemon.failure if daemon else "",
        "retention": {
            "failure": daemon.retention_failure if daemon else "",
            "faults": list(daemon.pin_faults) if daemon else [],
        },
        "in_step_at": None,
        "configuration": {"fault": "", "at_next_start": []},
        "http": {"address": "", "fault": ""},
        "sources": [_source_json(source) for source in (daemon.sources if daemon else ())],
        "tables": [_table_json(table) for table in tables.pictures(connection)],
        "not_synced": problems.counts(connection),
        "problems": [problem_json(one) for one in problems.standing(connection, limit=MOST_PROBLEMS)],
    }


def _why(daemon: DaemonPicture | None, *, waiting: bool) -> str:
    if daemon is not None:
        missing = next((source.reason for source in daemon.sources if source.reason and not source.available), "")
        return daemon.failure or daemon.hold or missing or daemon.why
    return "no daemon runs" + ("; observed changes wait" if waiting else "")


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot with the keys that every command and file uses for it."""
    return {
        "tag": snapshot.tag,
        "commit_id": snapshot.commit_id,
        "created_at": iso(snapshot.created_at),
        "trigger": snapshot.trigger.value,
        "added": snapshot.added,
        "changed": snapshot.changed,
        "deleted": snapshot.deleted,
        "images": snapshot.images,
        "bytes": snapshot.size_bytes,
        "digest": snapshot.digest,
        "uri": snapshot.uri,
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    """Return a problem with stable keys."""
    return {
        "source": problem.source,
        "path": problem.path,
        "code": problem.code.value,
        "detail": problem.detail,
        "since": iso(problem.since),
    }


def _source_json(source: SourceHealth) -> dict[str, Any]:
    return {
        "name": source.name,
        "available": source.available,
        "complete": source.complete,
        "scanning": source.scanning,
        "settling": source.settling,
        "hold": source.hold,
        "reason": source.reason,
        "degraded": source.degraded,
        "losses": source.losses,
        "watchers": source.watchers,
    }


def _table_json(table: TablePicture) -> dict[str, Any]:
    return {
        "name": table.name,
        "rows": table.rows,
        "read_at": iso(table.read_at),
        "missing": table.missing,
        "orphaned": table.orphaned,
    }


def iso(moment: datetime | None) -> str | None:
    """Return a time as JSON has it; None: there is none."""
    return None if moment is None else moment.isoformat()
