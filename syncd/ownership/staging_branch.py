"""The staging branch is syncd's own: nobody else commits to it, writes to it, moves it or deletes it (promise P9).

Where someone did, nothing more is written: what is there could be lost, or be published unseen. A person puts it back,
or lets syncd take it over as it is (``syncd approve``), which covers what they were told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from syncd.errors import NeedsPersonStoreError, NotFoundStoreError, StaleStoreError, TransientStoreError
from syncd.journal import adoption, branch
from syncd.journal.branch import Uncommitted
from syncd.journal.staging import UNKNOWN
from syncd.store.base import INTENT_METADATA
from syncd.store.pages import pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from syncd.journal import Journal
    from syncd.store.base import Commit, Difference, VersionStore

log = structlog.get_logger(__name__)

LOOK_BACK = 1000  # commits of the publish branch among which one of the staging branch is looked for
MOST_NAMED = 10
_PAGE = 1000


class BranchChangedError(NeedsPersonStoreError):
    """Someone else changed the staging branch, or a branch or the repository is gone."""


class StagingBranch:
    """What syncd knows of its branch, held against what is there.

    Args:
        journal: Where the newest commit is remembered, and what a person was told.
        versions: The repository.
        repository: Its name, for people.
        staging: The branch.
        publish: The one it is merged into.
        prefix: In front of every key of syncd's.
        clock: The time now, in UTC.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        versions: VersionStore,
        repository: str,
        staging: str,
        publish: str,
        prefix: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._prefix = prefix
        self._journal, self._versions, self._clock = journal, versions, clock
        self._staging, self._publish, self._place = staging, publish, f"lakefs://{repository}"

    async def require_places(self) -> None:
        """Check that what was there is there, before anything is created anew.

        Raises:
            BranchChangedError: The repository or a branch is gone.
        """
        if await self._journal.read(branch.head) is None:
            return  # nothing is known to have been there
        for name in (self._publish, self._staging):
            try:
                await self._versions.head_id(name)
            except NotFoundStoreError as error:
                await self._require_word(
                    f"{name} is gone",
                    f"the branch {name} is gone: {error.fact}",
                    cause="someone deleted it, or the whole repository, after syncd had published to it",
                    next_step="syncd approve, to have it made anew, or bring it back:"
                    f" lakectl branch create {self._place}/{name} -s {self._place}/{await self._origin(name)}",
                )
                await self._take_over(f"{name} was gone")
                return

    async def compare(self) -> None:
        """Hold the branch's newest commit against the one syncd left there; where it may differ, forget what it held.

        Raises:
            BranchChangedError: It is someone else's.
        """
        known = await self._journal.read(branch.head)
        found = await self._versions.head_id(self._staging)
        if known is None:
            await self._require_takeable(await self._commit(found), None)
            await self._journal.write(adoption.forget_branch)
        elif found == known:
            await self._journal.write(branch.release)
        else:
            await self._judge(known, found)

    async def require_head(self) -> None:
        """Check that the branch's newest commit is the one syncd left there.

        Raises:
            BranchChangedError: It is someone else's.
            StaleStoreError: It is another, and may be: what it holds has to be read.
        """
        known = await self._journal.read(branch.head)
        if known is None:
            return
        try:
            found = await self._versions.head_id(self._staging)
        except NotFoundStoreError as error:  # what that means is found out where places are looked at
            raise StaleStoreError(error.fact, cause=error.cause, next_step=error.next_step) from error
        if found != known:
            await self._require(known, found)

    async def require_parent(self, commit: Commit) -> None:
        """Check that a commit syncd made follows the one it left there: else it holds what someone else did.

        Raises:
            BranchChangedError: It does not.
            StaleStoreError: It does not, and may: what it holds has to be read.
        """
        known = await self._journal.read(branch.head)
        if known is not None and known not in commit.parents:
            await self._require(known, commit.parents[0])

    async def require_own(self) -> bool:
        """Check that all that is uncommitted is what syncd staged; return whether anything is.

        Raises:
            BranchChangedError: There is something else.
            TransientStoreError: What was acknowledged is not there; it is staged anew.
        """
        strange: list[str] = []
        listed = sure = 0
        async for page in pages(self._versions.uncommitted(self._staging), _PAGE):
            ours = [change for change in page if change.key.startswith(self._prefix)]
            checked = await self._journal.read(branch.check, [self._uncommitted(change) for change in ours])
            strange += [change.key for change in page if not change.key.startswith(self._prefix)]
            strange += [self._prefix + key for key in checked.strange]
            listed, sure = listed + len(ours), sure + checked.sure
        if strange:
            raise self._others_objects(sorted(strange))
        must, may = await self._journal.read(branch.count_uncommitted)
        gone = must - sure
        if not gone and listed - sure < may:
            gone = await self._count_gone()
        if gone:
            if await self._versions.head_id(self._staging) == await self._journal.read(branch.head):
                await self._journal.write(branch.doubt_uncommitted, self._clock())
            # else a commit whose reply was lost has been applied just now
            raise TransientStoreError(
                f"{gone:,} changes that lakeFS acknowledged are not on the branch {self._staging}",
                cause="someone reset it, or lakeFS lost them",
                next_step="nothing: they are staged anew",
            )
        return listed > 0

    def _uncommitted(self, change: Difference) -> Uncommitted:
        key = change.key.removeprefix(self._prefix)
        return Uncommitted(key, None if change.kind == "removed" else change.size_bytes)

    async def _count_gone(self) -> int:
        """Return how many of the keys that held someone else's object do not hold what was acknowledged there."""
        gone, after = 0, ""
        while keys := await self._journal.read(branch.unsure, after, _PAGE):
            for key, sha256 in keys:
                gone += await self._digest_at(self._prefix + key) != sha256
            after = keys[-1][0]
        return gone

    async def _digest_at(self, key: str) -> bytes | None:
        async for item in self._versions.objects(self._staging, key):
            return (item.sha256 or UNKNOWN) if item.key == key else None
        return None

    async def _require(self, known: str, found: str) -> None:
        if await self._judge(known, found):
            raise StaleStoreError(
                f"the branch {self._staging} is not as syncd left it",
                cause="someone moved it to what is published already, or its commits were approved",
                next_step="nothing: what it holds is read anew",
            )

    async def _judge(self, known: str, found: str) -> bool:
        """Return whether what the branch holds has to be read anew; it is forgotten then. False: all is as it was."""
        head = await self._commit(found)
        opened = await self._journal.open_snapshot()
        if opened is not None and head.metadata.get(INTENT_METADATA) == opened.intent:
            return False  # the commit that was begun: its reply was lost
        await self._take_over(await self._require_takeable(head, known))
        return True

    async def _require_takeable(self, head: Commit, known: str | None) -> str:
        """Return why a commit that this journal does not know may be taken over.

        Raises:
            BranchChangedError: It is someone else's, and not published.
        """
        if INTENT_METADATA in head.metadata:
            return "a syncd made commits that this state directory does not know"
        if await self._is_published(head, known):
            return "it was moved to what is published already"
        await self._require_word(
            head.id,
            f"the branch {self._staging} has a commit that syncd did not make: {head.id[:12]},"
            f" {head.created_at:%Y-%m-%d %H:%M:%S} UTC, {head.message!r}",
            cause="someone else committed to it; it is syncd's own",
            next_step="syncd approve, to take over what is there and publish it, or put it back:"
            f" lakectl branch delete {self._place}/{self._staging} && lakectl branch create"
            f" {self._place}/{self._staging} -s {self._place}/{known or self._publish}",
        )
        return "its commits were approved"

    async def _commit(self, commit_id: str) -> Commit:
        return await anext(self._versions.log(commit_id, limit=1))

    async def _is_published(self, head: Commit, known: str | None) -> bool:
        """Return whether all that a commit holds is published already, or is what syncd left: a merge of the two."""
        wanted = {head.id}
        if known in head.parents and len(head.parents) > 1:
            wanted = set(head.parents) - {known}
        async for commit in self._versions.log(self._publish, limit=LOOK_BACK):
            wanted.discard(commit.id)
            if not wanted:
                return True
        return False

    async def _take_over(self, why: str) -> None:
        log.warning("branch_taken_over", branch=self._staging, why=why)
        await self._journal.write(adoption.forget_branch)

    async def _require_word(self, found: str, fact: str, *, cause: str, next_step: str) -> None:
        if not await self._journal.write(branch.hold, found, fact):
            raise BranchChangedError(fact, cause=cause, next_step=next_step)

    async def _origin(self, name: str) -> str:
        """Return from where a branch that is gone can be made again: the publish branch from its newest snapshot."""
        newest = await self._journal.latest_snapshot()
        return self._publish if name == self._staging or newest is None else newest.commit_id

    def _others_objects(self, keys: Sequence[str]) -> BranchChangedError:
        named = ", ".join(repr(key) for key in keys[:MOST_NAMED])
        more = f" and {len(keys) - MOST_NAMED:,} more" if len(keys) > MOST_NAMED else ""
        return BranchChangedError(
            f"the branch {self._staging} holds changes that syncd did not make: {named}{more}",
            cause="someone else wrote to it or deleted from it; a commit would publish that",
            next_step=f"lakectl branch reset {self._place}/{self._staging} --object '{keys[0]}', for each of them;"
            " or without --object: syncd stages its own changes anew",
        )
