"""Pins as hidden branches of a lakeFS repository."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from syncd.errors import ConflictStoreError, NotFoundStoreError
from syncd.store.lakefs_calls import no_answer
from syncd.store.lakefs_rows import to_reference
from syncd.store.pins import (
    NOTE_PATH,
    USE_PREFIX,
    Keeper,
    Note,
    Pin,
    moved,
    new_use_branch,
    pin_of,
    prefix_of,
    use_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from syncd.store.lakefs_calls import SDKCalls
    from syncd.store.pins import Use


class LakeFSPins:
    """A ``PinStore`` over the calls of an open ``LakeFSAPI``.

    Args:
        sdk: The calls.
        repository: Its name.
        staging: The staging branch, after which retention's pins are named.
    """

    def __init__(self, sdk: SDKCalls, repository: str, staging: str) -> None:
        self._sdk, self._repository, self._staging = sdk, repository, staging

    async def pin(self, keeper: Keeper, commit_id: str) -> bool:
        """See ``PinStore.pin``."""
        branch = prefix_of(keeper, self._staging) + commit_id
        try:
            await self._create(branch, commit_id, f"pinning the commit {commit_id[:12]}")
        except ConflictStoreError:
            found = await self._sdk.call(
                f"looking up the pin {branch}", self._sdk.client.branches_api.get_branch, self._repository, branch
            )
            if found.commit_id != commit_id:
                raise moved(branch, Pin(commit_id, found.commit_id), self._repository) from None
            return False
        return True

    async def unpin(self, keeper: Keeper, commit_id: str) -> bool:
        """See ``PinStore.unpin``."""
        doing = f"removing the pin of the commit {commit_id[:12]}"
        return await self._delete(prefix_of(keeper, self._staging) + commit_id, doing)

    async def pins(self, keeper: Keeper) -> AsyncIterator[Pin]:
        """See ``PinStore.pins``."""
        prefix = prefix_of(keeper, self._staging)
        async for branch, head in self._branches(prefix):
            if (found := pin_of(branch, head, prefix)) is not None:
                yield found

    async def write_note(self, commit_id: str, note: Note) -> None:
        """See ``PinStore.write_note``."""
        await self._sdk.call(
            f"noting why the commit {commit_id[:12]} is pinned",
            self._sdk.client.objects_api.upload_object,
            self._repository,
            prefix_of(Keeper.PERSON, self._staging) + commit_id,
            NOTE_PATH,
            content=note.to_json(),
        )

    async def note(self, commit_id: str) -> Note | None:
        """See ``PinStore.note``."""
        try:
            kept = await self._sdk.call(
                f"reading why the commit {commit_id[:12]} is pinned",
                self._sdk.client.objects_api.get_object,
                self._repository,
                prefix_of(Keeper.PERSON, self._staging) + commit_id,
                NOTE_PATH,
            )
        except NotFoundStoreError:
            return None
        return Note.from_json(bytes(kept))

    async def use(self, commit_id: str, until: datetime) -> str:
        """See ``PinStore.use``."""
        branch = new_use_branch(until)
        await self._create(branch, commit_id, f"holding the commit {commit_id[:12]} while it is pulled")
        return branch

    async def end_use(self, name: str) -> None:
        """See ``PinStore.end_use``."""
        await self._delete(name, "letting go of what was held for a pull")

    async def uses(self) -> AsyncIterator[Use]:
        """See ``PinStore.uses``."""
        async for branch, head in self._branches(USE_PREFIX):
            if (found := use_of(branch, head)) is not None:
                yield found

    async def delete_tag(self, tag: str) -> None:
        """See ``PinStore.delete_tag``."""
        with suppress(NotFoundStoreError):
            await self._sdk.call(
                f"deleting the tag {tag}", no_answer(self._sdk.client.tags_api.delete_tag), self._repository, tag
            )

    async def _create(self, branch: str, commit_id: str, doing: str) -> None:
        await self._sdk.call(
            f"{doing} (branch {branch})",
            self._sdk.client.branches_api.create_branch,
            self._repository,
            {"name": branch, "source": commit_id, "hidden": True},
            branch=branch,
        )

    async def _delete(self, branch: str, doing: str) -> bool:
        """Delete a branch; return whether it was there."""
        try:
            await self._sdk.call(
                f"{doing} (branch {branch})",
                no_answer(self._sdk.client.branches_api.delete_branch),
                self._repository,
                branch,
                branch=branch,
            )
        except NotFoundStoreError:
            return False
        return True

    async def _branches(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        rows = self._sdk.rows(
            f"listing pins (branches {prefix}…)",
            self._sdk.client.branches_api.list_branches,
            of=to_reference,
            prefix=prefix,
            show_hidden=True,
        )
        async for branch in rows:
            yield branch
