"""The history of snapshots, read back from lakeFS where the journal does not know it: it is new, was lost, or outrun.

Every commit of a syncd carries what the journal knew of its snapshot. One that was cut off on its way is carried on
with from there: a commit that was not merged is merged, a merge without a tag is tagged.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from syncd.commit_text import metadata_of
from syncd.journal import recovered, snapshots
from syncd.journal.recovered import Recovered
from syncd.model import Trigger
from syncd.planner.tag_name import is_tag_for
from syncd.store.base import INTENT_METADATA, STAGING_METADATA, TAG_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from syncd.journal import Journal
    from syncd.store.base import Commit, VersionStore

MOST_COMMITS = 20_000  # of the publish branch; a snapshot is two


class Recovery:
    """Reads what a journal is to know of snapshots.

    Args:
        journal: To be filled; what the branch holds has been taken over.
        versions: The repository.
        staging: The branch that is ours.
        publish: The branch with the snapshots, perhaps also of others.
        name_tag: Makes a tag's name of a time and a sequence number.
        syncd_version: For the metadata of what nobody described.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        versions: VersionStore,
        staging: str,
        publish: str,
        name_tag: Callable[[datetime, int], str],
        syncd_version: str,
    ) -> None:
        self._journal, self._versions, self._staging, self._publish = journal, versions, staging, publish
        self._name_tag, self._version = name_tag, syncd_version

    async def recover(self, head: Commit) -> int:
        """Fill in the snapshots that the journal does not know; return how many.

        Args:
            head: The newest commit of the staging branch. If it is not published, it is about to be.
        """
        tags: dict[str, list[str]] = {}  # by commit
        async for name, commit_id in self._versions.tags():
            tags.setdefault(commit_id, []).append(name)
        found: list[Recovered] = []  # newest first
        unfinished: Recovered | None = None
        published = False
        async for commit in self._versions.log(self._publish, limit=MOST_COMMITS):
            published = published or commit.id == head.id
            if not commit.is_snapshot or commit.metadata.get(STAGING_METADATA, self._staging) != self._staging:
                continue  # one that another syncd made; what does not say so is older
            intent = commit.metadata[INTENT_METADATA]
            if (tag := _own(tags.get(commit.id, ()), commit)) is not None:
                found.append(_of(commit, intent, step="tagged", tag=tag))
            elif not found and unfinished is None:
                unfinished = _of(commit, intent, step="merged")
        if not published:
            unfinished = await self._unpublished(head)
        if unfinished is not None:
            tag = unfinished.metadata.get(TAG_METADATA) or self._name_tag(unfinished.created_at, len(found) + 1)
            found.insert(0, replace(unfinished, tag=tag, metadata={**unfinished.metadata, TAG_METADATA: tag}))
        return await self._journal.write(recovered.recover, found[::-1])

    async def _unpublished(self, head: Commit) -> Recovered:
        """Return the snapshot to be made of a commit that is not merged: a syncd's, or one that a person agreed to."""
        intent = head.metadata.get(INTENT_METADATA)
        if intent is None:
            intent = uuid.uuid4().hex
            summary = await self._journal.read(snapshots.summarise)
            metadata = metadata_of(
                summary,
                intent,
                Trigger.REQUEST,
                {},
                staging=self._staging,
                version=self._version,
                observed_at=head.created_at,
            )
            head = replace(head, metadata=metadata)
        return replace(_of(head, intent, step="committed"), commit_id=None, staging_commit=head.id)


def _own(tags: Sequence[str], commit: Commit) -> str | None:
    """Return which of a commit's tags is the snapshot's: never another, which people put there for themselves.

    A commit that has only theirs is as one that has none: the newest still gets its own, an older one has lost it.
    Where it does not say what it was to get, the first one will do as a name; retention removes none of those.
    """
    meant = commit.metadata.get(TAG_METADATA)
    if not meant:
        return min(tags, default=None)
    return min((tag for tag in tags if is_tag_for(tag, meant)), key=len, default=None)


def _of(commit: Commit, intent: str, *, step: str, tag: str = "") -> Recovered:
    return Recovered(
        intent=intent,
        step=step,
        tag=tag,
        message=commit.message,
        metadata=commit.metadata,
        staging_commit=commit.parents[-1],
        commit_id=commit.id,
        created_at=commit.created_at,
    )
