"""lakeFS: whether it answers, takes the key, and holds the repository and branches as configured."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from syncd.doctor import server_faults
from syncd.doctor.alive import ask, of_clock
from syncd.doctor.examination import in_thread
from syncd.doctor.findings import LAKEFS_REACHABLE, S3_REACHABLE, Finding, fail, of_error, ok, warn
from syncd.doctor.repository import Repository
from syncd.doctor.scratch import Scratch, of_leftovers
from syncd.errors import NotFoundStoreError, StoreError, TransientStoreError
from syncd.service.lakefs import access_now
from syncd.store import s3_client  # noqa: F401 - now: the user that the doctor becomes may not read it
from syncd.store.lakefs_api import LakeFSAPI
from syncd.store.s3_gateway import S3Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from syncd.config import Settings
    from syncd.service.lakefs import Access

CREDENTIALS, VERSION, S3_CREDENTIALS = "lakefs.credentials", "lakefs.version", "s3.credentials"
UNSEEN = "lakefs.not_looked_at"
CONNECT_LIMIT_S, ANSWER_LIMIT_S = 4.0, 5.0
_REST = "version, repository, branches, S3 gateway"


@dataclass(frozen=True, slots=True)
class LakeFSLook:
    """One look at the configured server.

    Args:
        settings: The configuration.
        origins: Where each of its values comes from.
        writes: Whether rights may be tried, on a branch of the doctor's own.
    """

    settings: Settings
    origins: Mapping[str, str]
    writes: bool

    async def findings(self) -> AsyncGenerator[Finding, None]:
        """Yield what there is to say; what is found out later rests on what was found before."""
        access = await in_thread(partial(access_now, self.settings), limit_s=ANSWER_LIMIT_S)
        if access is None:
            yield ok(LAKEFS_REACHABLE, "the embedded lakeFS does not run now; syncd run starts it")
            return
        reached = True
        async for finding in self._reached(access):
            reached = reached and finding.level != "fail"
            yield finding
        if not reached:
            yield warn(UNSEEN, f"what needs an answer was not looked at: credentials, {_REST}", "mend the above first")
            return
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(self._api(access))
            refusal = None
            try:
                version = await api.server_version()
            except StoreError as error:
                refusal = self._refused(error)
            if refusal is not None:
                yield refusal
                yield warn(UNSEEN, f"what needs a good key was not looked at: {_REST}", "mend the above first")
                return
            yield ok(CREDENTIALS, f"lakeFS takes the key ({self._origin()})")
            yield of_version(version)
            async for finding in self._repository(api, access):
                yield finding

    async def _reached(self, access: Access) -> AsyncGenerator[Finding, None]:
        addresses = {LAKEFS_REACHABLE: access.endpoint}
        if access.s3_endpoint != access.endpoint:
            addresses[S3_REACHABLE] = access.s3_endpoint
        asked = (
            in_thread(
                partial(ask, address, self.settings.lakefs.ca_file, limit_s=ANSWER_LIMIT_S),
                limit_s=CONNECT_LIMIT_S + 2 * ANSWER_LIMIT_S,
            )
            for address in addresses.values()
        )
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for (name, address), answer in zip(addresses.items(), answers, strict=True):
            if isinstance(answer, StoreError):
                yield of_error(name, answer)
            elif isinstance(answer, TimeoutError):
                yield fail(name, f"{address} does not answer in time", f"curl {address}/_health")
            elif isinstance(answer, BaseException):
                raise answer
            else:
                yield ok(name, f"{address} answers, in {1000 * answer.took_s:.0f} ms")
                if name == LAKEFS_REACHABLE:
                    yield of_clock(answer)

    async def _repository(self, api: LakeFSAPI, access: Access) -> AsyncGenerator[Finding, None]:
        place = self.settings.lakefs
        repository = Repository(api, place)
        found = await repository.find()
        yield found.finding
        yield await self._s3(access, found.default_branch)
        if not found.default_branch:
            return
        source = place.publish_branch if await repository.has(place.publish_branch) else found.default_branch
        async for finding in repository.branches(found.default_branch):
            yield finding
        if self.writes:
            objects_of = partial(self._objects, access)
            scratch = Scratch(api, place.repository, source, place.prefix, objects_of)
            if left := of_leftovers(place.repository, await scratch.leftovers()):
                yield left
            async for finding in scratch.trial():
                yield finding

    async def _s3(self, access: Access, branch: str) -> Finding:
        """Send one signed request, for an object that is not there."""
        fine = ok(S3_CREDENTIALS, f"the S3 gateway at {access.s3_endpoint} takes the key")
        async with self._objects(access, branch or self.settings.lakefs.publish_branch) as objects:
            try:
                await objects.get("syncd-doctor/nothing")
            except NotFoundStoreError:
                return fine
            except TransientStoreError as error:
                return of_error(S3_REACHABLE, error)
            except StoreError as error:
                return fine if not branch and " (404" in error.fact else of_error(S3_CREDENTIALS, error)
        return fine

    def _refused(self, error: StoreError) -> Finding:
        if isinstance(error, TransientStoreError):
            return of_error(LAKEFS_REACHABLE, error)
        found = of_error(CREDENTIALS, error)
        return fail(CREDENTIALS, f"{found.fact} ({self._origin()})", found.fix)

    def _origin(self) -> str:
        if self.settings.lakefs.embedded:
            return "the embedded server's own"
        where = [self.origins.get(f"lakefs.{key}", "default") for key in ("access_key_id", "secret_access_key")]
        return f"id from {where[0]}, secret from {where[1]}"

    def _api(self, access: Access) -> LakeFSAPI:
        place = self.settings.lakefs
        return LakeFSAPI(
            endpoint=access.endpoint,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            repository=place.repository,
            ca_file=str(place.ca_file) if place.ca_file else None,
            connect_timeout_s=CONNECT_LIMIT_S,
            read_timeout_s=ANSWER_LIMIT_S,
        )

    def _objects(self, access: Access, branch: str) -> S3Gateway:
        place = self.settings.lakefs
        return S3Gateway(
            endpoint=access.s3_endpoint,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            repository=place.repository,
            branch=branch,
            concurrency=1,
            addressing_style=place.addressing_style,
            ca_file=str(place.ca_file) if place.ca_file else None,
            connect_timeout_s=CONNECT_LIMIT_S,
            read_timeout_s=ANSWER_LIMIT_S,
        )


def of_version(version: str) -> Finding:
    """Return what is known of a server's version."""
    numbers, tested = server_faults.parsed(version), ".".join(map(str, server_faults.TESTED))
    upgrade = f"upgrade lakeFS to {tested}"
    if numbers is None:
        return warn(VERSION, f"lakeFS says that it is {version!r}; syncd is tested with {tested}", upgrade)
    if faults := server_faults.known_faults(numbers):
        return warn(VERSION, f"lakeFS {version} has known faults: {'; '.join(faults)}", upgrade)
    if numbers[:2] == server_faults.TESTED[:2]:
        return ok(VERSION, f"lakeFS {version}; syncd is tested with it, and works around its known faults")
    if numbers < server_faults.TESTED:
        return warn(VERSION, f"lakeFS {version} is older than {tested}, which syncd is tested with", upgrade)
    if numbers[0] == server_faults.TESTED[0]:
        return ok(VERSION, f"lakeFS {version}, newer than {tested}, which syncd is tested with")
    return warn(VERSION, f"lakeFS {version} is another generation than {tested}, which syncd is tested with", upgrade)
