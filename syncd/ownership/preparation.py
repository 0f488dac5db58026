"""Makes sure that the repository and both branches exist, and takes over what the staging branch holds already."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from syncd.errors import NotFoundStoreError
from syncd.journal import adoption, moments
from syncd.keys import is_folder_marker
from syncd.model import IMAGES, TABLES
from syncd.store.pages import pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from syncd.journal import Journal
    from syncd.ownership.recovery import Recovery
    from syncd.ownership.staging_branch import StagingBranch
    from syncd.store.base import VersionStore

log = structlog.get_logger(__name__)

KEYS_A_TRANSACTION = 1000


class Preparation:
    """Done once at the start, and again whenever the repository or a branch was missing."""

    def __init__(  # noqa: PLR0913  # most are settings of the configuration
        self,
        *,
        journal: Journal,
        versions: VersionStore,
        repository: str,
        storage_namespace: str,
        staging_branch: str,
        publish_branch: str,
        prefix: str,
        clock: Callable[[], datetime],
        branch: StagingBranch,
        recovery: Recovery,
        acquire: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            journal: What is known of the branch.
            versions: The repository.
            repository: Its name.
            storage_namespace: For one that is created.
            staging_branch: Uploaded to.
            publish_branch: Merged into.
            prefix: Put in front of every key.
            clock: The time now, in UTC.
            branch: The staging branch, as syncd left it.
            recovery: Of the snapshots that the journal does not know.
            acquire: Takes the staging branch for this syncd alone; says whether another one may have had it. None:
                nobody else is there.
        """
        self._branch, self._recovery, self._acquire = branch, recovery, acquire
        self._journal, self._versions, self._clock = journal, versions, clock
        self._repository, self._namespace = repository, storage_namespace
        self._staging, self._publish, self._prefix = staging_branch, publish_branch, prefix

    async def prepare(self) -> None:
        """Create what is missing; the first time, read what the staging branch holds.

        Raises:
            BranchChangedError: A person has to say what becomes of the staging branch.
            StoreError: lakeFS does not answer, or refuses.
            JournalError: The journal belongs to another repository, branch or prefix.
        """
        await self._journal.bind(
            {
                "repository": self._repository,
                "staging branch": self._staging,
                "publish branch": self._publish,
                "prefix": self._prefix,
            }
        )
        await self._branch.require_places()
        if await self._versions.ensure_repository(self._namespace, self._publish):
            log.info("repository_created", repository=self._repository, storage_namespace=self._namespace)
        await self._ensure_publish_branch()
        if self._acquire is not None and await self._acquire():
            log.info("branch_was_others", branch=self._staging)
            await self._journal.write(adoption.forget_branch)
        if await self._versions.ensure_branch(self._staging, self._publish):
            log.info("branch_created", branch=self._staging, source=self._publish)
            await self._journal.write(adoption.forget_branch)
        else:
            await self._branch.compare()
        if not await self._journal.read(adoption.adopted):
            await self._adopt()

    async def _ensure_publish_branch(self) -> None:
        """Create it if it is missing: from the newest snapshot that is known, so that its history goes on."""
        newest = await self._journal.latest_snapshot()
        default = await self._versions.default_branch()
        if newest is not None:
            with suppress(NotFoundStoreError):  # the repository is another one
                if await self._versions.ensure_branch(self._publish, newest.commit_id):
                    log.warning("branch_created", branch=self._publish, source=newest.tag)
                return
        if await self._versions.ensure_branch(self._publish, default):
            log.info("branch_created", branch=self._publish, source=default)

    async def _adopt(self) -> None:
        head = await self._versions.head(self._staging)
        count = 0
        for area in (IMAGES, TABLES):
            count += await self._adopt_committed(head.id, area)
        await self._adopt_uncommitted()
        await self._journal.write(adoption.finish_adoption, head.id)
        snapshots = await self._recovery.recover(head)
        await self._journal.write(moments.not_after, self._clock())  # theirs are the times of lakeFS's clock
        if count or snapshots:
            log.info("branch_adopted", branch=self._staging, objects=count, snapshots=snapshots)

    async def _adopt_committed(self, commit_id: str, area: str) -> int:
        count = 0
        async for page in pages(self._versions.objects(commit_id, self._prefix + area), KEYS_A_TRANSACTION):
            found = [
                (item.key.removeprefix(self._prefix), item.sha256, item.size_bytes)
                for item in page
                if not is_folder_marker(item.key)
            ]
            await self._journal.write(adoption.adopt_committed, found, self._clock())
            count += len(found)
        return count

    async def _adopt_uncommitted(self) -> None:
        ours = (self._prefix + IMAGES, self._prefix + TABLES)
        async for page in pages(self._versions.uncommitted(self._staging), KEYS_A_TRANSACTION):
            keys = [
                change.key.removeprefix(self._prefix)
                for change in page
                if change.key.startswith(ours) and not is_folder_marker(change.key)
            ]
            await self._journal.write(adoption.adopt_uncommitted, keys, self._clock())
