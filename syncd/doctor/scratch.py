"""What the key may do on a branch, by trying: a branch of the doctor's own is made, written to, and removed.

P9: the staging branch and the publish branch are not touched; nothing is committed.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from syncd.doctor.findings import Finding, fail, of_error, ok, warn
from syncd.errors import NotFoundStoreError, StoreError
from syncd.model import Fingerprint
from syncd.store.lakefs_calls import no_answer
from syncd.store.lakefs_rows import to_reference

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from syncd.store.lakefs_api import LakeFSAPI
    from syncd.store.s3_gateway import S3Gateway

PREFIX = "syncd-doctor-"
RIGHTS, LEFT = "lakefs.branch_rights", "lakefs.scratch"
CLEANS_WITHIN_S = 5.0
_KEY = "syncd-doctor.txt"
_BODY = b"syncd doctor tries whether it may write here\n"


class Scratch:
    """A hidden branch that lives for one try.

    Args:
        api: Of the repository.
        repository: Its name.
        source: The branch it begins at.
        prefix: Where on it the object is written.
        objects_of: Returns the objects of a branch, not yet entered.
    """

    def __init__(
        self, api: LakeFSAPI, repository: str, source: str, prefix: str, objects_of: Callable[[str], S3Gateway]
    ) -> None:
        self._api, self._repository, self._source = api, repository, source
        self._key, self._objects_of = prefix + _KEY, objects_of
        self.branch = PREFIX + secrets.token_hex(8)

    async def trial(self) -> AsyncGenerator[Finding, None]:
        """Yield whether a branch can be made, written and removed; however it ends, the branch is removed."""
        creating = asyncio.ensure_future(self._create())
        try:
            await asyncio.shield(creating)
            await self._write_and_remove()
        except StoreError as error:
            yield of_error(RIGHTS, error)
        else:
            yield ok(RIGHTS, "a branch can be made, and an object written to it and deleted, through the S3 gateway")
        finally:
            await asyncio.wait({creating})  # what was cancelled goes on, and must not come after its removal
            left = None if _refused(creating) else await self._remove()
        if left is not None:
            yield left

    async def leftovers(self) -> list[str]:
        """Return the branches that earlier ones could not remove."""
        listing = self._api.sdk.client.branches_api.list_branches
        rows = self._api.sdk.rows("listing branches", listing, of=to_reference, prefix=PREFIX, show_hidden=True)
        return [name async for name, _ in rows if name != self.branch]

    async def _create(self) -> Any:
        return await self._api.sdk.call(
            f"creating the branch {self.branch}",
            self._api.sdk.client.branches_api.create_branch,
            self._repository,
            {"name": self.branch, "source": self._source, "hidden": True},
            branch=self.branch,
        )

    async def _write_and_remove(self) -> None:
        print_of_body = Fingerprint(
            hashlib.sha256(_BODY).digest(), hashlib.md5(_BODY, usedforsecurity=False).digest(), len(_BODY)
        )
        async with self._objects_of(self.branch) as objects:
            await objects.put(self._key, _BODY, print_of_body, "text/plain")
            for error in (await objects.delete([self._key])).failed.values():
                raise error

    async def _remove(self) -> Finding | None:
        deleting = partial(
            self._api.sdk.call,
            f"removing the branch {self.branch}",
            no_answer(self._api.sdk.client.branches_api.delete_branch),
            self._repository,
            self.branch,
            branch=self.branch,
        )
        try:
            async with asyncio.timeout(CLEANS_WITHIN_S):
                await deleting()
        except NotFoundStoreError:
            return None
        except (StoreError, TimeoutError) as error:
            said = error.fact if isinstance(error, StoreError) else "lakeFS does not answer"
            return fail(LEFT, f"{said}: it stays", removal(self._repository, self.branch))
        return None


def _refused(creating: asyncio.Future[Any]) -> bool:
    """Return whether it is certain that the branch was not made."""
    error = None if creating.cancelled() else creating.exception()
    return isinstance(error, StoreError) and error.kind != "transient"


def of_leftovers(repository: str, branches: list[str]) -> Finding | None:
    """Return what to do about branches that earlier ones left behind; None: there are none."""
    if not branches:
        return None
    fact = f"an earlier syncd doctor that was killed left branches behind, or one runs now: {', '.join(branches[:5])}"
    return warn(LEFT, fact, " && ".join(removal(repository, branch) for branch in branches[:5]))


def removal(repository: str, branch: str) -> str:
    """Return the line that removes a branch."""
    return f"lakectl branch delete --yes lakefs://{repository}/{branch}"
