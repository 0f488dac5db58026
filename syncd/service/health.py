"""Is it alive, and can it do its work? What load balancers, Kubernetes, container engines and ``syncd health`` ask."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from syncd.errors import JournalError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.service.daemon import Daemon
    from syncd.service.engine import Engine

_NOT_YET = "not connected yet"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be well."""

    name: str
    ok: bool
    why: str = ""  # it is not; with what to do next


def alive(daemon: Daemon) -> list[Check]:
    """Return what only a new start can mend. That anyone gets this at all shows that the event loop turns."""
    return [_check("loop", not daemon.pulse.stuck, f"nothing has gone on for {daemon.pulse.still_s:.0f} s")]


def ready(engine: Engine, daemon: Daemon) -> list[Check]:
    """Return what must be well for snapshots to be made. What waits for a person's word is no fault of these."""
    return [*alive(daemon), *_sources(engine), *_stores(daemon), _lease(engine)]


def report(engine: Engine, daemon: Daemon) -> dict[str, Any]:
    """Return both as JSON-able values with stable keys."""
    return {
        name: {"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]}
        for name, checks in (("live", alive(daemon)), ("ready", ready(engine, daemon)))
    }


def _check(name: str, ok: bool, why: str) -> Check:
    return Check(name, ok, "" if ok else why)


def _sources(engine: Engine) -> Iterator[Check]:
    for source in engine.sources:
        health = source.health()
        yield _check(f"source {health.name}", health.available, health.reason or "not found yet")


def _stores(daemon: Daemon) -> Iterator[Check]:
    error = daemon.failure.error if daemon.failure else None
    yield _check("journal", not isinstance(error, JournalError), str(error or ""))
    failing = isinstance(error, StoreError)
    yield _check("lakefs", daemon.prepared and not failing, str(error) if failing else _NOT_YET)


def _lease(engine: Engine) -> Check:
    return _check("lease", engine.lease.held, "this syncd does not hold the staging branch, or not for sure")
