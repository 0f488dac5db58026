"""The repository: there, or to be made; its branches, and the rules that protect them. Only reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from syncd.doctor.findings import Finding, fail, ok
from syncd.errors import NotFoundStoreError
from syncd.names import namespace_fault, repository_fault

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from syncd.config import LakefsSettings
    from syncd.store.lakefs_api import LakeFSAPI

REPOSITORY, PUBLISH, STAGING = "lakefs.repository", "lakefs.publish_branch", "lakefs.staging_branch"
_MOST_LISTED = 1_000
_NAMESPACE = "set lakefs.storage_namespace to a free folder of the server's own storage, such as {example}"


@dataclass(frozen=True, slots=True)
class Found:
    """The repository as it is."""

    finding: Finding
    default_branch: str  # "": it is not there


class Repository:
    """The configured one, on an open server."""

    def __init__(self, api: LakeFSAPI, place: LakefsSettings) -> None:
        self._api, self._place = api, place
        self._sdk, self._name = api.sdk, place.repository

    async def find(self) -> Found:
        """Return whether it is there and can be written, or could be made."""
        try:
            record = await self._sdk.call(
                f"looking up the repository {self._name}", self._sdk.client.repositories_api.get_repository, self._name
            )
        except NotFoundStoreError:
            return Found(await self._missing(), "")
        if getattr(record, "read_only", False):
            fact = f"the repository {self._name} is read-only"
            return Found(fail(REPOSITORY, fact, "set lakefs.repository to another, or make it writable"), "")
        return Found(ok(REPOSITORY, f"the repository {self._name} is there"), str(record.default_branch))

    async def has(self, branch: str) -> bool:
        """Return whether a branch is there."""
        try:
            await self._api.head_id(branch)
        except NotFoundStoreError:
            return False
        return True

    async def branches(self, default_branch: str) -> AsyncGenerator[Finding, None]:
        """Yield whether both branches are there, or can be made, and whether a rule forbids to write."""
        publish, staging = self._place.publish_branch, self._place.staging_branch
        rules = await self._sdk.call(
            f"reading the branch protection of {self._name}",
            self._sdk.client.repositories_api.get_branch_protection_rules,
            self._name,
        )
        if await self.has(publish):
            yield ok(PUBLISH, f"the publish branch {publish} is there{_protected(rules, publish)}")
        else:
            yield ok(PUBLISH, f"the publish branch {publish} is not there yet; syncd makes it from {default_branch}")
        for pattern in (rule.pattern for rule in rules if fnmatchcase(staging, rule.pattern)):
            yield fail(
                STAGING,
                f"the protection rule {pattern!r} covers the staging branch {staging}, which syncd writes to",
                f"lakectl branch-protect delete lakefs://{self._name} '{pattern}', or set lakefs.staging_branch",
            )
            return
        if await self.has(staging):
            yield ok(STAGING, f"the staging branch {staging} is there")
        else:
            yield ok(STAGING, f"the staging branch {staging} is not there yet; syncd makes it from {publish}")

    async def _missing(self) -> Finding:
        name, namespace = self._name, self._place.storage_namespace
        if self._place.embedded:
            return ok(REPOSITORY, f"the repository {name} is not there yet; syncd makes it")
        config = await self._sdk.call("asking for the server's storage", self._sdk.client.config_api.get_config)
        storage: Any = config.storage_config
        example = str(getattr(storage, "blockstore_namespace_example", "") or "s3://bucket/folder")
        fix = _NAMESPACE.format(example=example)
        fact = f"the repository {name} is not there"
        if fault := repository_fault(name):
            return fail(REPOSITORY, f"{fact} and cannot be made: {fault}", "set lakefs.repository")
        if not namespace:
            return fail(REPOSITORY, f"{fact}, and cannot be made without lakefs.storage_namespace", fix)
        regex = str(getattr(storage, "blockstore_namespace_validity_regex", "") or "")
        if namespace_fault(namespace) or (regex and not re.search(regex, namespace)):
            return fail(REPOSITORY, f"{fact}, and the server cannot store it in {namespace}", fix)
        if taken := await self._holder(namespace):
            return fail(REPOSITORY, f"{fact}, and {namespace} is the repository {taken}'s", fix)
        return ok(REPOSITORY, f"{fact} yet; syncd makes it in {namespace}, which is free")

    async def _holder(self, namespace: str) -> str:
        listed = await self._sdk.call(
            "listing repositories", self._sdk.client.repositories_api.list_repositories, amount=_MOST_LISTED
        )
        for one in listed.results:
            if one.storage_namespace.rstrip("/") == namespace.rstrip("/"):
                return str(one.id)
        return ""


def _protected(rules: Any, branch: str) -> str:
    return ", protected against all but merges" if any(fnmatchcase(branch, rule.pattern) for rule in rules) else ""
