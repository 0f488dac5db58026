"""The pins of ``lakefs_pins`` in memory, for tests; they fail on request as the other stores in memory do."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from syncd.errors import NotFoundStoreError
from syncd.store.memory import Scripted
from syncd.store.memory_repository import MemoryObject
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

    from syncd.store.memory_repository import MemoryRepository
    from syncd.store.pins import Use


class MemoryPins(Scripted):
    """A ``PinStore`` on a ``MemoryRepository``."""

    def __init__(self, repository: MemoryRepository, staging: str) -> None:
        super().__init__()
        self._repository, self._staging = repository, staging

    async def pin(self, keeper: Keeper, commit_id: str) -> bool:
        """See ``PinStore.pin``."""
        branch = prefix_of(keeper, self._staging) + commit_id

        def effect() -> bool:
            made = self._repository.create_branch(branch, commit_id)
            head = self._repository.head(branch).id
            if head != commit_id:
                raise moved(branch, Pin(commit_id, head), self._repository.name)
            return made

        return await self._perform("pin", effect)

    async def unpin(self, keeper: Keeper, commit_id: str) -> bool:
        """See ``PinStore.unpin``."""
        return await self._perform("unpin", lambda: self._delete(prefix_of(keeper, self._staging) + commit_id))

    async def pins(self, keeper: Keeper) -> AsyncIterator[Pin]:
        """See ``PinStore.pins``."""
        prefix = prefix_of(keeper, self._staging)
        for branch, head in await self._perform("pins", lambda: self._branches(prefix)):
            if (found := pin_of(branch, head, prefix)) is not None:
                yield found

    async def write_note(self, commit_id: str, note: Note) -> None:
        """See ``PinStore.write_note``."""
        content = note.to_json()
        md5, sha256 = hashlib.md5(content, usedforsecurity=False).hexdigest(), hashlib.sha256(content).digest()
        stored = MemoryObject(content=content, etag=md5, sha256=sha256, content_type="application/json")
        branch = prefix_of(Keeper.PERSON, self._staging) + commit_id
        await self._perform("write_note", lambda: self._repository.stage(branch, NOTE_PATH, stored))

    async def note(self, commit_id: str) -> Note | None:
        """See ``PinStore.note``."""
        branch = prefix_of(Keeper.PERSON, self._staging) + commit_id
        found = await self._perform("note", lambda: self._repository.find_object(branch, NOTE_PATH))
        return None if found is None else Note.from_json(found.content)

    async def use(self, commit_id: str, until: datetime) -> str:
        """See ``PinStore.use``."""
        branch = new_use_branch(until)
        await self._perform("use", lambda: self._repository.create_branch(branch, commit_id))
        return branch

    async def end_use(self, name: str) -> None:
        """See ``PinStore.end_use``."""
        await self._perform("end_use", lambda: self._delete(name))

    async def uses(self) -> AsyncIterator[Use]:
        """See ``PinStore.uses``."""
        for branch, head in await self._perform("uses", lambda: self._branches(USE_PREFIX)):
            if (found := use_of(branch, head)) is not None:
                yield found

    async def delete_tag(self, tag: str) -> None:
        """See ``PinStore.delete_tag``."""
        await self._perform("delete_tag", lambda: self._repository.tags.pop(tag, None))

    def _delete(self, branch: str) -> bool:
        if not self._repository.exists:
            raise NotFoundStoreError(f"There is no repository {self._repository.name}")
        if branch not in self._repository.branches:
            return False
        self._repository.delete_branch(branch)
        return True

    def _branches(self, prefix: str) -> list[tuple[str, str]]:
        return [
            (branch, self._repository.head(branch).id)
            for branch in sorted(self._repository.branches)
            if branch.startswith(prefix)
        ]
