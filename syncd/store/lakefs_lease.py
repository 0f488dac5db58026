"""Claims on a staging branch, kept in lakeFS itself: as objects of a hidden branch beside it, never committed.

Each takeover is an object of the next generation, created with ``If-None-Match``: of several that try, one succeeds.
What a holder says of itself is the object's metadata, rewritten in place: a sign of life costs no stored object.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from syncd.errors import ConflictStoreError, NotFoundStoreError
from syncd.store.base import Claim
from syncd.store.lakefs_calls import no_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncd.store.lakefs_calls import SDKCalls

_FOLDER = "lease/"
_SUFFIX = "-lease"  # of the hidden branch


class LakeFSLease:
    """A ``LeaseStore`` for one branch of one repository, over the calls of an open ``LakeFSAPI``."""

    def __init__(self, sdk: SDKCalls, repository: str, branch: str) -> None:
        self._sdk, self._repository, self._of, self._branch = sdk, repository, branch, branch + _SUFFIX

    async def prepare(self, source: str) -> None:
        """See ``LeaseStore.prepare``."""
        with suppress(ConflictStoreError):  # it is there
            await self._sdk.call(
                self._doing("creating"),
                self._sdk.client.branches_api.create_branch,
                self._repository,
                {"name": self._branch, "source": source, "hidden": True},
            )

    async def claims(self) -> list[Claim]:
        """See ``LeaseStore.claims``."""
        rows = self._sdk.rows(
            self._doing("reading"),
            self._sdk.client.objects_api.list_objects,
            self._branch,
            of=_to_claim,
            prefix=_FOLDER,
            user_metadata=True,
        )
        found = [claim async for claim in rows if claim is not None]
        return sorted(found, key=lambda claim: claim.generation)

    async def claim(self, generation: int, mine: str) -> bool:
        """See ``LeaseStore.claim``."""
        try:
            await self._sdk.call(
                self._doing("taking"),
                self._sdk.client.objects_api.upload_object,
                self._repository,
                self._branch,
                _path(generation),
                if_none_match="*",
                content=mine.encode(),
            )
        except ConflictStoreError:
            return False
        return True

    async def note(self, generation: int, note: Mapping[str, str]) -> None:
        """See ``LeaseStore.note``."""
        await self._sdk.call(
            self._doing("renewing"),
            no_answer(self._sdk.client.objects_api.update_object_user_metadata),
            self._repository,
            self._branch,
            _path(generation),
            {"set": dict(note)},
        )

    async def forget(self, generation: int) -> None:
        """See ``LeaseStore.forget``."""
        with suppress(NotFoundStoreError):
            await self._sdk.call(
                self._doing("clearing"),
                no_answer(self._sdk.client.objects_api.delete_object),
                self._repository,
                self._branch,
                _path(generation),
            )

    def _doing(self, what: str) -> str:
        return f"{what} the lease of branch {self._of} (branch {self._branch})"


def _path(generation: int) -> str:
    return f"{_FOLDER}{generation:012}"


def _to_claim(row: Mapping[str, Any]) -> Claim | None:
    name = row["path"].removeprefix(_FOLDER)
    return Claim(int(name), row.get("metadata") or {}, row["checksum"]) if name.isdecimal() else None
