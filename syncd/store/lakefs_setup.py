"""What is done once to a lakeFS server: its admin, the facts of its storage, the protection of a branch."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from syncd.errors import ConflictStoreError, NeedsPersonStoreError, NotFoundStoreError, PermanentStoreError
from syncd.store.lakefs_calls import no_answer

if TYPE_CHECKING:
    from syncd.store.lakefs_calls import SDKCalls

ADMIN = "admin"
_NEW = "not_initialized"

Protection = Literal["made", "there", "in use", "no branch"]


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself to those who have a key."""

    version: str
    namespace_start: str  # what its storage namespaces begin with, such as "local://"; "" if it does not say
    one_admin: bool  # it has no users with rights of their own


async def is_new(sdk: SDKCalls) -> bool:
    """Return whether nobody has set the server up yet. Needs no key.

    Raises:
        StoreError: It cannot be asked.
    """
    state = await sdk.call("asking whether it is set up", sdk.client.internal_api.get_setup_state)
    return bool(state.state == _NEW)


async def make_admin(sdk: SDKCalls, access_key_id: str, secret_access_key: str) -> None:
    """Set a new server up, with one admin who has this key. Needs no key; works once.

    Raises:
        StoreError: It refused, or it is unknown whether it did.
    """
    key = {"access_key_id": access_key_id, "secret_access_key": secret_access_key}
    try:
        await sdk.call("setting it up", sdk.client.internal_api.setup, {"username": ADMIN, "key": key})
    except ConflictStoreError as error:
        raise NeedsPersonStoreError(
            error.fact, cause="Somebody else has just set it up", next_step="run syncd init again, with a key of theirs"
        ) from error


async def describe(sdk: SDKCalls) -> Server:
    """Return what the server says of itself; a key that it does not take is refused here.

    Raises:
        StoreError: It refused, or does not answer.
    """
    config = await sdk.call("asking for its configuration", sdk.client.config_api.get_config)
    storage: Any = config.storage_config
    return Server(
        version=str(getattr(config.version_config, "version", "") or ""),
        namespace_start=str(getattr(storage, "default_namespace_prefix", "") or ""),
        one_admin=await _has_one_admin(sdk),
    )


async def protect(sdk: SDKCalls, repository: str, branch: str) -> Protection:
    """Let a branch be changed by merges only, unless others may have come to write to it.

    Returns:
        "made"; "there": a rule covers it already; "in use": it has commits, so nothing was done; "no branch".

    Raises:
        StoreError: It refused, or does not answer.
    """
    doing = f"protecting the branch {branch}"
    rules = await sdk.call(doing, sdk.client.repositories_api.get_branch_protection_rules, repository)
    patterns = [str(rule.pattern) for rule in rules]
    if any(fnmatchcase(branch, pattern) for pattern in patterns):
        return "there"
    try:
        head = await sdk.call(doing, sdk.client.commits_api.get_commit, repository, branch, branch=branch)
    except NotFoundStoreError:
        return "no branch"
    if head.parents:
        return "in use"
    wanted = [{"pattern": pattern} for pattern in (*patterns, branch)]
    await sdk.call(doing, no_answer(sdk.client.repositories_api.set_branch_protection_rules), repository, wanted)
    return "made"


async def _has_one_admin(sdk: SDKCalls) -> bool:
    """Return whether the server has no policies: it answers 501 then."""
    try:
        await sdk.call("asking for its policies", sdk.client.auth_api.list_policies, amount=1)
    except NeedsPersonStoreError:
        return False  # this user may not look, so there are others who may
    except PermanentStoreError:
        return True
    return False
