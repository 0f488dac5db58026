"""Facts and policies for planner tests: plain builders, and Hypothesis strategies over all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from syncd.model import Absences, DeletionLimits, Fingerprint, PendingChange
from syncd.planner.facts import ClosureFacts, Facts, FailureFacts, Policies, RequestFacts, SourceFacts

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
IMAGES = SourceFacts(name="images", complete=True, settling=0)
LABELS = SourceFacts(name="labels", complete=True, settling=0)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def ago(value: float) -> datetime:
    return NOW - seconds(value)


def put(key: str = "images/a.png", *, size: int = 10, revision: int = 1, since: datetime = NOW) -> PendingChange:
    fingerprint = Fingerprint(key.encode().ljust(32, b".")[:32], b"m" * 16, size)
    return PendingChange(key=key, fingerprint=fingerprint, staged=None, revision=revision, waiting_since=since)


def delete(key: str = "images/gone.png", *, revision: int = 1, since: datetime = NOW) -> PendingChange:
    return PendingChange(key=key, fingerprint=None, staged=b"s" * 32, revision=revision, waiting_since=since)


def facts(**changes: object) -> Facts:
    """A daemon in step with its source: nothing waits, ten images live."""
    values: dict[str, object] = {
        "prepared": True,
        "open_snapshot": False,
        "sources": (IMAGES, LABELS),
        "live_images": 10,
        "last_snapshot_at": ago(3600),
        "last_change_at": ago(3600),
    }
    return Facts(**(values | changes))


def policies(**changes: object) -> Policies:
    values: dict[str, object] = {
        "quiet": seconds(30),
        "max_wait": seconds(600),
        "max_changes": 100,
        "min_interval": seconds(0),
        "tag_template": "snap-{seq}",
        "limits": DeletionLimits(),
        "checks_closure": False,
        "batch_objects": 10,
        "batch_bytes": 1000,
    }
    return Policies(**(values | changes))


moments = st.floats(-3600, 3600).map(ago)
revisions = st.integers(1, 50)


@st.composite
def changes(draw: st.DrawFn, *, puts: bool) -> PendingChange:
    area = draw(st.sampled_from(["images/", "tables/"]))
    key = area + draw(st.sampled_from(["a.png", "b.png", "labels.csv"]))
    if puts:
        return put(key, size=draw(st.integers(0, 1500)), revision=draw(revisions), since=draw(moments))
    gone = delete(key, revision=draw(revisions), since=draw(moments))
    return replace(gone, withheld=draw(st.booleans()) and area == "images/")


def due(*, puts: bool) -> st.SearchStrategy[tuple[PendingChange, ...]]:
    """What the journal answers: oldest first, at most one batch."""
    listed = st.lists(changes(puts=puts), max_size=10)
    return listed.map(lambda found: tuple(sorted(found, key=lambda change: change.revision)))


sources = st.builds(
    SourceFacts,
    name=st.just("images"),
    complete=st.booleans(),
    settling=st.integers(0, 3),
    reason=st.sampled_from(["", "the folder is gone"]),
    hold=st.sampled_from(["", "", "half of the rows are gone"]),
    busy=st.booleans(),
)
requests = st.lists(
    st.builds(
        RequestFacts, id=st.integers(1, 9), revision=st.integers(0, 60), allow_held=st.booleans(), expired=st.booleans()
    ),
    max_size=3,
    unique_by=lambda request: request.id,
).map(tuple)
failures = st.builds(
    FailureFacts,
    in_a_row=st.integers(1, 2000),
    last_at=moments,
    needs_person=st.booleans(),
    retry_after=st.none() | st.floats(0, 7200).map(seconds),
    jitter=st.floats(0, 1),
)

closures = st.builds(
    ClosureFacts,
    staged_at=st.integers(0, 2),
    held=st.sampled_from(["", "labels: 1 row without its image"]),
    alert_at=moments,
    recheck_at=moments,
    images_stay_until=st.one_of(st.none(), moments),
)


absences = st.builds(
    Absences,
    gone=st.integers(0, 60),
    recent=st.sampled_from([0, 0, 20]),
    images=st.sampled_from([10, 100]),
    held=st.booleans(),
    judged_at=moments,
    revision=revisions,
)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Facts as they can be: something uncommitted or due waits since some time."""
    uncommitted = draw(st.integers(0, 120))
    puts, deletes = draw(due(puts=True)), draw(due(puts=False))
    waits = uncommitted or puts or deletes
    return facts(
        prepared=draw(st.booleans()),
        open_snapshot=draw(st.booleans()),
        sources=(draw(sources), LABELS),
        due_puts=puts,
        due_deletes=deletes,
        blocked_until=draw(st.none() | moments),
        changing_revision=draw(st.none() | revisions),
        uncertain=draw(st.integers(0, 2)),
        tables_under_way=draw(st.sampled_from([0, 0, 0, 2])),
        staged_at=draw(st.integers(0, 2)),
        closure=draw(st.none() | closures),
        uncommitted=uncommitted,
        waiting_since=draw(moments) if waits else None,
        last_change_at=draw(st.none() | moments),
        last_snapshot_at=draw(st.none() | moments),
        live_images=draw(st.integers(0, 3)),
        absences=draw(absences),
        revision=draw(revisions),
        next_sequence=draw(st.integers(1, 10**6)),
        requests=draw(requests),
        schedule_at=draw(st.none() | moments),
        failure=draw(st.none() | failures),
    )


any_policies = st.builds(
    Policies,
    quiet=st.none() | st.floats(0, 600).map(seconds),
    max_wait=st.none() | st.floats(0, 3600).map(seconds),
    max_changes=st.none() | st.integers(1, 100),
    min_interval=st.floats(0, 600).map(seconds),
    tag_template=st.just("snap-{time:%Y%m%dT%H%M%SZ}-{seq}"),
    limits=st.builds(DeletionLimits, max_delete_count=st.integers(0, 20)),
    checks_closure=st.booleans(),
    batch_objects=st.integers(1, 10),
    batch_bytes=st.integers(1, 2000),
)
