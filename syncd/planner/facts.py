"""What the planner is told, what it may be asked to respect, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncd.model import Absences, DeletionLimits

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from syncd.model import PendingChange, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """One source, as far as decisions depend on it."""

    name: str  # "images", or a table's name; see ``model.source_of``
    complete: bool  # a sound, full listing was recorded since the start: absences may count
    settling: int  # paths seen changing that are not observed yet
    reason: str = ""  # why it is not complete; shown where deletions wait for it
    hold: str = ""  # what of it a person must agree to first
    busy: bool = False  # it is looking at paths: more may be observed in a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """One `syncd snapshot` call whose barrier has passed."""

    id: int
    revision: int  # every observation up to this one must be in the snapshot
    allow_held: bool  # publish without what is held, rather than end with the reason
    expired: bool = False  # its time has run out: what is still changing is left out
    ends_pause: bool = False  # by who keeps everything else from being published: its snapshot is the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureFacts:
    """The store has failed and has not worked since."""

    in_a_row: int  # at least 1
    last_at: datetime
    needs_person: bool  # no retry helps by itself; it is still tried now and then
    retry_after: timedelta | None  # what the server asked for
    jitter: float  # 0 to 1, drawn once for each failure
    last_request: int = 0  # the newest call when that was begun, by its id


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureFacts:
    """What the last comparison of rows and images found."""

    staged_at: int  # what was staged then; see Facts
    held: str  # which tables' rows and images do not fit, where that holds publishing; "" when nothing does
    alert_at: datetime  # until then the missing half is waited for without a word
    recheck_at: datetime  # the next comparison is not made before, while more is being staged
    images_stay_until: datetime | None = None  # a table is read again to fit the staged images, which stay as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a decision depends on, except the time."""

    prepared: bool  # repository and branches are known to exist
    open_snapshot: bool  # a snapshot was begun and is not tagged yet
    sources: tuple[SourceFacts, ...]
    due_puts: tuple[PendingChange, ...] = ()  # oldest first, at most one batch; none that is blocked
    due_deletes: tuple[PendingChange, ...] = ()
    blocked_until: datetime | None = None  # the next time a refused change may be tried again
    changing_revision: int | None = None  # the oldest change whose file was not as observed when it was to be sent
    uncertain: int = 0  # keys whose staged content is not known; no commit while there is one
    tables_under_way: int = 0  # objects of tables to be staged before a commit, or it would hold half a table
    staged_at: int = 0  # number of the newest batch: while it stays, so does what is staged
    closure: ClosureFacts | None = None  # None: not compared since the start
    uncommitted: int = 0  # staged and not committed keys; counted up to max_changes only
    waiting_since: datetime | None = None  # the oldest observation that no snapshot holds
    last_change_at: datetime | None = None  # the newest change of content observed
    last_snapshot_at: datetime | None = None
    live_images: int = 0  # images present in the source, as last observed
    absences: Absences = field(default_factory=Absences)
    revision: int = 0  # of the newest observation
    next_sequence: int = 1  # {seq} of the next tag
    requests: tuple[RequestFacts, ...] = ()
    schedule_at: datetime | None = None  # the cron expression's first moment not yet dealt with
    failure: FailureFacts | None = None
    paused: str = ""  # why nothing is published for now: someone writes into the source


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What the user asked for. ``None`` turns a trigger off."""

    quiet: timedelta | None
    max_wait: timedelta | None
    max_changes: int | None
    min_interval: timedelta
    tag_template: str
    limits: DeletionLimits  # more than that must not go without a person's word
    checks_closure: bool  # a table's rows and images are compared before each snapshot
    batch_objects: int  # at most 1,000: one DeleteObjects request takes no more
    batch_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Create what is missing of repository, staging branch and publish branch."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Carry on with the snapshot that was begun; nothing may be staged before it is done."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeDeletions:
    """So many images are gone that a person may have to be asked: find out, and hold their deletion if so."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Send one batch to the staging branch: the puts first, then the deletes."""

    puts: tuple[PendingChange, ...]
    deletes: tuple[PendingChange, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Commit what is staged, merge it into the publish branch, tag it."""

    trigger: Trigger
    tag: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckClosure:
    """Compare rows and images as a commit made now would hold them."""

    staged_at: int  # as in the facts
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Tell a `syncd snapshot` call that the newest snapshot holds all it asked for."""

    request_id: int
    held: str  # why there is no snapshot for it; "" when there is one
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSchedule:
    """The scheduled moment has passed with nothing to commit."""

    at: datetime
    reason: str


Action = Prepare | Resume | JudgeDeletions | Stage | CheckClosure | Publish | Answer | PassSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, in this order; when to decide again at the latest; what waits for a person."""

    actions: tuple[Action, ...]
    wake_at: datetime | None  # None: only when something happens
    hold: str  # why deletions are held back, with the next step; "" when none is
    why: str  # in words: what it is doing, or what it waits for
