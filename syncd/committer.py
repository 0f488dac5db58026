"""Publishes what is staged: commit, merge, tag, pin; each step recorded, each step resumable.

Between the intent and the commit nothing is staged: lakeFS has no cut of its own, and a delete that races a commit
can be lost. In doubt whether a step was applied, the branch is asked: every commit carries its intent's id.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, TypeVar

import structlog

from syncd.commit_text import message_of, metadata_of, roles_of
from syncd.errors import ConflictStoreError, NeedsPersonStoreError, NothingToCommitError
from syncd.journal import history, snapshots, tables
from syncd.store.base import INTENT_METADATA
from syncd.store.pins import Keeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from syncd.journal import Journal
    from syncd.journal.closure import Pairing
    from syncd.journal.snapshots import OpenSnapshot
    from syncd.model import Snapshot, Trigger
    from syncd.ownership.staging_branch import StagingBranch
    from syncd.sources.tables.roles import Roles
    from syncd.store.base import Commit, VersionStore
    from syncd.store.pins import PinStore

log = structlog.get_logger(__name__)

LOOK_BACK = 200  # commits searched for an intent
MOST_TAG_NAMES = 100

A = TypeVar("A")
B = TypeVar("B")


class Committer:
    """Makes one snapshot at a time."""

    def __init__(  # noqa: PLR0913  # what it works with, and what it works on
        self,
        *,
        journal: Journal,
        versions: VersionStore,
        pins: PinStore,
        branch: StagingBranch,
        staging_branch: str,
        publish_branch: str,
        syncd_version: str,
        clock: Callable[[], datetime],
        may_write: Callable[[], Awaitable[None]] | None = None,
        roles: Mapping[str, Roles] | None = None,
    ) -> None:
        self._may_write = may_write  # asked before each step; raises if the staging branch is another's
        self._roles = roles or {}  # by table: its columns as configured, for who reads a snapshot without that
        self._journal, self._versions, self._branch, self._clock = journal, versions, branch, clock
        self._staging, self._publish, self._version = staging_branch, publish_branch, syncd_version
        self._pins = pins

    async def publish(
        self,
        trigger: Trigger,
        tag: str,
        pairings: Mapping[str, Pairing] | None = None,
        reasons: Sequence[str] = (),
    ) -> Snapshot | None:
        """Make a snapshot of what is staged; None if lakeFS finds nothing to commit.

        Args:
            trigger: Why.
            tag: Its name.
            pairings: By table: how many rows and images in it do not fit together.
            reasons: Of those who asked for it.

        Raises:
            StoreError: A step failed; :meth:`resume` carries on from it.
        """
        summary = await self._journal.read(snapshots.summarise)
        roles = roles_of(
            summary.rows,
            schemas=await self._journal.read(tables.schemas),
            configured=self._roles,
            before=await self._journal.read(history.newest_metadata),
        )
        intent = uuid.uuid4().hex
        await self._journal.begin_snapshot(
            summary,
            intent=intent,
            trigger=trigger,
            tag=tag,
            message=message_of(summary, trigger),
            metadata=metadata_of(
                summary,
                intent,
                trigger,
                pairings or {},
                roles=roles,
                reasons=reasons,
                tag=tag,
                staging=self._staging,
                version=self._version,
                observed_at=self._clock(),
            ),
            now=self._clock(),
        )
        return await self._carry_on(resumed=False)

    async def resume(self) -> Snapshot | None:
        """Carry on with the snapshot that was begun; None if it came to nothing.

        Raises:
            StoreError: A step failed again.
        """
        return await self._carry_on(resumed=True)

    async def _carry_on(self, *, resumed: bool) -> Snapshot | None:
        opened = await self._journal.open_snapshot()
        while opened is not None:
            if self._may_write is not None:
                await self._may_write()
            if opened.step == "begun":
                await self._commit(opened, resumed=resumed)
            elif opened.step == "committed":
                await self._merge(opened, resumed=resumed)
            else:
                await self._tag(opened)
                return await self._done(opened)
            opened = await self._journal.open_snapshot()
        return None

    async def _commit(self, opened: OpenSnapshot, *, resumed: bool) -> None:
        commit = await self._find(self._staging, opened.intent) if resumed else None
        if commit is None and await self._is_something_staged():
            try:
                commit = await self._versions.commit(self._staging, opened.message, opened.metadata)
            except NothingToCommitError:
                commit = await self._find(self._staging, opened.intent)
                if commit is None:  # someone reset or committed it just now: what was there is not to be believed
                    await self._branch.require_own()
        if commit is None:
            await self._journal.write(snapshots.abandon, opened.sequence)
            log.info("snapshot_abandoned", trigger=opened.trigger, reason="lakeFS finds nothing to commit")
            return
        await self._branch.require_parent(commit)
        await self._journal.write(snapshots.committed, opened.sequence, commit.id)

    async def _is_something_staged(self) -> bool:
        """Return whether there is something to commit; raises unless all of it is syncd's own."""
        _, something = await _at_once(self._branch.require_head(), self._branch.require_own())
        return something

    async def _merge(self, opened: OpenSnapshot, *, resumed: bool) -> None:
        commit = await self._find_merge(opened) if resumed else None
        if commit is None:
            source = opened.staging_commit or self._staging  # the commit: the branch may have another one by now
            try:
                commit = await self._versions.merge(source, self._publish, opened.message, opened.metadata)
            except NothingToCommitError:  # someone merged the staging branch by hand: that is it
                commit = await self._find_merge(opened) or await self._versions.head(self._publish)
            except ConflictStoreError as error:
                raise self._conflict(error) from error
        await self._journal.write(snapshots.merged, opened.sequence, commit.id, commit.created_at)

    def _conflict(self, error: ConflictStoreError) -> NeedsPersonStoreError:
        return NeedsPersonStoreError(
            f"branch {self._staging} cannot be merged into {self._publish}: {error.fact}",
            cause=f"someone else changed the same paths on {self._publish}",
            next_step=f"undo that change on {self._publish} (lakectl branch revert), or merge {self._publish} into"
            f" {self._staging} (lakectl merge --strategy …); {error.next_step} lists the paths."
            " syncd carries on by itself",
        )

    async def _tag(self, opened: OpenSnapshot) -> None:
        """A tag never moves: where the name is taken, the next free one is used.

        The pin comes before the record: after a crash between the two both are made sure of again.
        """
        if opened.commit_id is None:
            raise AssertionError("a merged snapshot has a commit id")
        tagging = self._tag_somehow(opened, opened.commit_id)
        pinning = self._pins.pin(Keeper.RETENTION, opened.commit_id)
        await _at_once(tagging, pinning)
        await self._journal.write(snapshots.tagged, opened.sequence)

    async def _tag_somehow(self, opened: OpenSnapshot, commit_id: str) -> None:
        tag = opened.tag
        for attempt in range(2, MOST_TAG_NAMES):
            try:
                await self._versions.create_tag(tag, commit_id)
            except ConflictStoreError:
                log.warning("tag_taken", tag=tag)
                tag = f"{opened.tag}-{attempt}"
                await self._journal.write(snapshots.retag, opened.sequence, tag)
            else:
                return
        raise NeedsPersonStoreError(
            f"tag {opened.tag} and {MOST_TAG_NAMES} names after it are taken",
            cause="snapshot.tag gives the same name again and again",
            next_step="put {seq} and {time} into snapshot.tag",
        )

    async def _done(self, opened: OpenSnapshot) -> Snapshot | None:
        snapshot = await self._journal.read(history.by_sequence, opened.sequence)
        if snapshot is not None:
            log.info(
                "snapshot_published",
                tag=snapshot.tag,
                commit_id=snapshot.commit_id,
                trigger=snapshot.trigger.value,
                added=snapshot.added,
                changed=snapshot.changed,
                deleted=snapshot.deleted,
                images=snapshot.images,
                size_bytes=snapshot.size_bytes,
                duration_s=round((self._clock() - opened.begun_at).total_seconds(), 3),
            )
        return snapshot

    async def _find_merge(self, opened: OpenSnapshot) -> Commit | None:
        """The publish branch's log also shows the staging branch's commit, which carries the same intent."""
        return await self._find(self._publish, opened.intent, other_than=opened.staging_commit)

    async def _find(self, branch: str, intent: str, other_than: str | None = None) -> Commit | None:
        async for commit in self._versions.log(branch, limit=LOOK_BACK):
            if commit.metadata.get(INTENT_METADATA) == intent and commit.id != other_than:
                return commit
        return None


async def _at_once(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Wait for both, whether they fail or not; if both do, the first's failure is the one to be told."""
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes  # type: ignore[return-value]  # none of them is an exception
