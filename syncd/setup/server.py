"""The steps on the lakeFS server, one call each. They block; a person may be asked between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from syncd.config import LakefsSettings
from syncd.doctor import alive
from syncd.doctor.repository import Repository
from syncd.doctor.store import of_version
from syncd.errors import NotFoundStoreError, StoreError
from syncd.setup.questions import SetupError
from syncd.store import lakefs_setup
from syncd.store.lakefs_api import LakeFSAPI

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from syncd.store.lakefs_setup import Server


T = TypeVar("T")

CONNECT_S, ANSWER_S = 5.0, 30.0
_PROTECTION = {
    "made": "branch {branch}: protected from now on; syncd changes it by merges, which stay allowed",
    "there": "branch {branch}: protected already",
    "in use": "branch {branch}: has commits and no protection, and others may write to it, so it was left as it is;"
    " to protect it: lakectl branch-protect add lakefs://{repository} {branch}",
    "no branch": "branch {branch}: not there yet; syncd makes it",
}


def reach(endpoint: str, say: Callable[[str], None]) -> bool:
    """Say whether a server answers; return whether it is new.

    Raises:
        StoreError: It does not answer, or is not lakeFS.
    """
    alive.ask(endpoint, None, limit_s=CONNECT_S)

    async def ask(api: LakeFSAPI) -> bool:
        return await lakefs_setup.is_new(api.sdk)

    new = asyncio.run(_with(endpoint, "", "", "", ask))
    say(f"lakeFS {endpoint}: answers{', and is new: nobody has set it up yet' if new else ''}")
    return new


class SetUpServer:
    """A server that has an admin, and the key syncd is to use there."""

    def __init__(self, endpoint: str, access_key_id: str, secret: str, repository: str) -> None:
        self._endpoint, self._key, self._repository = endpoint, (access_key_id, secret), repository

    def make_admin(self) -> None:
        """Set the server up with this key."""

        async def make(api: LakeFSAPI) -> None:
            await lakefs_setup.make_admin(api.sdk, *self._key)

        self._run(make)

    def look(self, say: Callable[[str], None]) -> Server:
        """Say what the server is; a wrong key is refused.

        Raises:
            StoreError: It does not take the key, or does not answer.
        """

        async def describe(api: LakeFSAPI) -> Server:
            return await lakefs_setup.describe(api.sdk)

        server = self._run(describe)
        version = of_version(server.version)
        say(f"key {self._key[0]}: lakeFS takes it")
        say(f"version: {version.fact}{f'; {version.fix}' if version.level != 'ok' else ''}")
        if server.one_admin:
            say(
                "account: this lakeFS has one admin and no other users, so syncd works with the admin's key;"
                " keep it as you keep a root password"
            )
        else:
            say(
                "account: this lakeFS has users with rights of their own; rather than an admin's, give syncd the key"
                f" of a user who may read and write in the repository {self._repository} alone"
            )
        return server

    def namespace(self) -> str | None:
        """Return where the repository is stored; None: there is no such repository."""

        async def find(api: LakeFSAPI) -> str | None:
            try:
                record = await api.sdk.call(
                    f"looking up the repository {self._repository}",
                    api.sdk.client.repositories_api.get_repository,
                    self._repository,
                )
            except NotFoundStoreError:
                return None
            return str(record.storage_namespace)

        return self._run(find)

    def create(self, namespace: str, publish_branch: str, example: str) -> None:
        """Create the repository, after a look whether the namespace fits and is free.

        Raises:
            SyncdError: It does not, or lakeFS refuses.
        """
        place = LakefsSettings(
            endpoint=self._endpoint,
            access_key_id=self._key[0],
            repository=self._repository,
            storage_namespace=namespace,
            publish_branch=publish_branch,
        )

        async def make(api: LakeFSAPI) -> None:
            finding = (await Repository(api, place).find()).finding
            if finding.level == "fail":
                raise SetupError(
                    finding.fact,
                    next_step=f"give --storage-namespace a free folder of the server's own storage, such as {example}",
                )
            await api.ensure_repository(namespace, publish_branch)

        self._run(make)

    def protect(self, branch: str, say: Callable[[str], None]) -> None:
        """Protect the publish branch where that hinders nobody, and say so; a refusal is said, and no more."""

        async def make(api: LakeFSAPI) -> str:
            return await lakefs_setup.protect(api.sdk, self._repository, branch)

        try:
            words = _PROTECTION[self._run(make)]
        except StoreError as error:
            say(f"branch {branch}: left without protection. {error}")
        else:
            say(words.format(branch=branch, repository=self._repository))

    def _run(self, work: Callable[[LakeFSAPI], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(_with(self._endpoint, *self._key, self._repository, work))


async def _with(
    endpoint: str,
    access_key_id: str,
    secret: str,
    repository: str,
    work: Callable[[LakeFSAPI], Coroutine[Any, Any, T]],
) -> T:
    api = LakeFSAPI(
        endpoint=endpoint,
        access_key_id=access_key_id,
        secret_access_key=secret,
        repository=repository,
        connect_timeout_s=CONNECT_S,
        read_timeout_s=ANSWER_S,
    )
    async with api:
        return await work(api)
