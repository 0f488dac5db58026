"""What the service tells others, as JSON-able values with stable keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.status import DaemonPicture, snapshot_json

if TYPE_CHECKING:
    from syncd.service.daemon import Daemon
    from syncd.service.engine import Engine
    from syncd.service.requests import SnapshotAnswer

MOST_FAULTS = 10  # shown; syncd pins check has all


def answer_json(answer: SnapshotAnswer) -> dict[str, Any]:
    """Return what a snapshot call gets: the snapshot's keys, what was left out, and what is held."""
    snapshot = {"tag": None} if answer.snapshot is None else snapshot_json(answer.snapshot)
    left_out = [{"path": item.path, "reason": item.reason} for item in answer.left_out]
    return {**snapshot, "left_out": left_out, "held": answer.held}


def daemon_picture(engine: Engine, daemon: Daemon) -> DaemonPicture:
    """Return what only the running daemon knows."""
    live = daemon.live
    return DaemonPicture(
        activity=live.activity.value,
        why=live.why,
        hold=live.hold,
        failure=str(daemon.failure.error) if daemon.failure else "",
        next_step=daemon.failure.error.next_step if daemon.failure else "",
        retention_failure=engine.retention.failure,
        pin_faults=[str(fault) for fault in engine.retention.faults[:MOST_FAULTS]],
        wake_at=live.next_decision_at,
        sources=[source.health() for source in engine.sources],
    )
