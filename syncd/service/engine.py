"""Puts the parts together, from the settings; takes them apart again, in reverse."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from syncd import __version__
from syncd.committer import Committer
from syncd.journal import Journal, closure, moments, staging, tables
from syncd.ownership.lease import Lease, elapsed_s
from syncd.ownership.leased_objects import LeasedObjects
from syncd.ownership.preparation import Preparation
from syncd.ownership.recovery import Recovery
from syncd.ownership.staging_branch import StagingBranch
from syncd.planner.facts import Policies
from syncd.planner.tag_name import render_tag
from syncd.retention.retention import Retention
from syncd.service import descriptors
from syncd.service.contents import SourceContents
from syncd.service.lakefs import open_lakefs
from syncd.service.limits import deletion_limits, keep_rules
from syncd.service.pauses import Pauses
from syncd.service.requests import SnapshotRequests
from syncd.service.rereads import Rereads
from syncd.service.schedule import Schedule
from syncd.service.sources import make_sources
from syncd.service.state_dir import held
from syncd.service.tables import SPOOL, compared_tables, excluding_tables, make_gate, sweep_spools, table_roles
from syncd.sources.base import LeftOut
from syncd.tallies import Tallies
from syncd.uploader import Uploader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from syncd.config import Settings
    from syncd.gate import Gate
    from syncd.service.lakefs import LakeFS
    from syncd.sources.base import Source

STILL_CHANGING = "it changed again while it was uploaded"
REFUSED = "lakeFS refused it; syncd status says why"
MOST_NAMED = 100  # paths listed one by one in an answer


def utc_now() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Engine:
    """Everything one dataset needs, open and ready."""

    clock: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    policies: Policies
    journal: Journal
    sources: Sequence[Source]
    gate: Gate
    rereads: Rereads
    lakefs: LakeFS
    lease: Lease
    preparation: Preparation
    uploader: Uploader
    committer: Committer
    retention: Retention
    requests: SnapshotRequests
    pauses: Pauses
    schedule: Schedule | None
    wake: asyncio.Event

    tallies: Tallies = field(default_factory=Tallies)
    target: dict[str, str] = field(default_factory=dict)  # for the log

    async def answer(self, request_id: int, held_back: str) -> None:
        """Answer a snapshot call: with the newest snapshot and what lakeFS refused, or with what is held."""
        revision = self.requests.revision_of(request_id)
        if revision is None:
            return  # the caller has gone away
        snapshot = None if held_back else await self.journal.latest_snapshot()
        blocked = await self.journal.read(staging.blocked_up_to, revision, MOST_NAMED)
        refused = [LeftOut(path=key, reason=STILL_CHANGING if changing else REFUSED) for key, changing in blocked]
        self.requests.answer(request_id, snapshot, held=held_back, refused=refused)

    def schedule_passed(self) -> None:
        """There was nothing to commit at the scheduled time."""
        if self.schedule is not None:
            self.schedule.passed(self.clock())

    async def clock_was_set_back(self, now: datetime) -> None:
        """Let nothing wait for a time that was already."""
        if self.schedule is not None:
            self.schedule.set_back((await self.journal.standing(count_up_to=1)).last_snapshot_at, now)
        await self.journal.write(moments.not_after, now)
        self.gate.set_back(now)


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    progress: Callable[[int, int], None] = lambda _objects, _bytes: None,
    on_progress: Callable[[], None] = lambda: None,
) -> AsyncIterator[Engine]:
    """Hold the state directory, open the journal, connect to lakeFS (or start it), and build the rest.

    Args:
        settings: The configuration.
        clock: The time, in UTC.
        progress: Called with the objects and bytes that were acknowledged since the last call.
        on_progress: Called whenever something of an upload goes on.

    Raises:
        AlreadyRunningError: Another syncd uses the state directory.
        JournalError: The journal cannot be used.
        EmbeddedServerError: The embedded lakeFS does not start.
    """
    state_dir = settings.service.state_dir
    tallies = Tallies()
    async with AsyncExitStack() as stack:
        stack.enter_context(held(state_dir))
        journal = await stack.enter_async_context(Journal(state_dir))
        lakefs = await stack.enter_async_context(
            open_lakefs(settings, on_progress=on_progress, observer=tallies.request)
        )
        sources = make_sources(settings, journal, clock)
        await journal.write(moments.not_after, clock())
        names = [table.name for table in settings.tables]
        unfinished = await journal.write(tables.forget, names)
        await asyncio.to_thread(sweep_spools, state_dir, {*names, *unfinished})
        await journal.write(closure.configure, excluding_tables(settings))
        engine = _assemble(settings, journal, lakefs, sources, clock, progress, tallies)
        stack.push_async_callback(engine.lease.release)
        yield engine


def _assemble(
    settings: Settings,
    journal: Journal,
    lakefs: LakeFS,
    sources: Sequence[Source],
    clock: Callable[[], datetime],
    progress: Callable[[int, int], None],
    tallies: Tallies,
) -> Engine:
    place, wake, rereads = settings.lakefs, asyncio.Event(), Rereads(sources)
    gate = make_gate(settings, journal, clock, read_again=rereads.ask)
    lease = Lease(
        lakefs.claims,
        branch=place.staging_branch,
        source=place.publish_branch,
        state_dir=settings.service.state_dir,
        lasts_s=place.lease_seconds,
        monotonic=elapsed_s,
        clock=clock,
    )
    branch = StagingBranch(
        journal=journal,
        versions=lakefs.versions,
        repository=place.repository,
        staging=place.staging_branch,
        publish=place.publish_branch,
        prefix=place.prefix,
        clock=clock,
    )
    policies = policies_of(settings)
    return Engine(
        clock=clock,
        policies=policies,
        journal=journal,
        sources=sources,
        gate=gate,
        rereads=rereads,
        lakefs=lakefs,
        lease=lease,
        preparation=Preparation(
            journal=journal,
            versions=lakefs.versions,
            repository=place.repository,
            storage_namespace=lakefs.storage_namespace,
            staging_branch=place.staging_branch,
            publish_branch=place.publish_branch,
            prefix=place.prefix,
            clock=clock,
            branch=branch,
            recovery=Recovery(
                journal=journal,
                versions=lakefs.versions,
                staging=place.staging_branch,
                publish=place.publish_branch,
                name_tag=lambda time, seq: render_tag(policies.tag_template, time=time, seq=seq),
                syncd_version=__version__,
            ),
            acquire=lease.acquire,
        ),
        uploader=Uploader(
            journal=journal,
            objects=LeasedObjects(lakefs.objects, lease.check),
            contents=SourceContents(sources, gate, journal, settings.service.state_dir / SPOOL),
            check_branch=branch.require_head,
            prefix=place.prefix,
            concurrency=descriptors.allowed(settings.upload.concurrency),
            clock=clock,
            progress=progress,
        ),
        committer=Committer(
            journal=journal,
            versions=lakefs.versions,
            pins=lakefs.pins,
            branch=branch,
            staging_branch=place.staging_branch,
            publish_branch=place.publish_branch,
            syncd_version=__version__,
            clock=clock,
            may_write=lease.check,
            roles=table_roles(settings),
        ),
        retention=Retention(
            journal=journal,
            versions=lakefs.versions,
            pins=lakefs.pins,
            rules=keep_rules(settings),
            remove_tags=settings.snapshot.remove_tags,
            repository=place.repository,
            staging=place.staging_branch,
            clock=clock,
            may_write=lease.check,
        ),
        requests=SnapshotRequests(sources=sources, journal=journal, wake=wake, clock=clock, monotonic=time.monotonic),
        pauses=Pauses(wake),
        schedule=schedule_of(settings, clock()),
        wake=wake,
        tallies=tallies,
        target={"repository": place.repository, "endpoint": lakefs.endpoint, "root": str(settings.source.root)},
    )


def policies_of(settings: Settings) -> Policies:
    """Return what the planner is asked to respect."""
    asked = settings.snapshot

    def seconds(value: float | None) -> timedelta | None:
        return None if value is None else timedelta(seconds=value)

    return Policies(
        quiet=seconds(asked.quiet_seconds),
        max_wait=seconds(asked.max_wait_seconds),
        max_changes=asked.max_changes,
        min_interval=timedelta(seconds=asked.min_interval_seconds),
        tag_template=asked.tag,
        limits=deletion_limits(settings),
        checks_closure=bool(compared_tables(settings)),
        batch_objects=settings.upload.batch_objects,
        batch_bytes=settings.upload.batch_bytes,
    )


def schedule_of(settings: Settings, now: datetime) -> Schedule | None:
    """Return when snapshots are scheduled; None: they are not."""
    asked = settings.snapshot
    return Schedule(asked.schedule, ZoneInfo(asked.timezone), started_at=now) if asked.schedule else None
