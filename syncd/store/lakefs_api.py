"""The version store: branches, commits, merges and tags, through the REST API of lakeFS."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from syncd.errors import ConflictStoreError, NeedsPersonStoreError, NotFoundStoreError, PermanentStoreError
from syncd.names import branch_fault, namespace_fault, repository_fault, tag_faults
from syncd.store.lakefs_calls import PAGE_ROWS, SDKCalls
from syncd.store.lakefs_rows import paths_query, to_commit, to_difference, to_object, to_reference
from syncd.store.observing import nobody
from syncd.store.translate import Place, not_lakefs, require_name
from syncd.store.trust import require_ca_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType

    from syncd.store.base import Commit, Difference, ObjectInfo
    from syncd.store.observing import Observer

MOST_NAMED = 10  # keys in a message


class LakeFSAPI:
    """A ``VersionStore`` on one repository; use it as ``async with LakeFSAPI(...) as versions``.

    A call that is cancelled goes on in its thread until it ends or meets its time limit: its outcome is then as
    unknown as after a lost connection.
    """

    def __init__(  # noqa: PLR0913  # each is one setting, and who is told
        self,
        *,
        endpoint: str,
        access_key_id: str,
        secret_access_key: str,
        repository: str,
        ca_file: str | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
        commit_timeout_s: float = 300.0,
        observer: Observer = nobody,
    ) -> None:
        """Prepare a store; nothing is sent before it is used.

        Args:
            endpoint: The server's URL, "http://127.0.0.1:8000"; "/api/v1" at its end does no harm.
            access_key_id: Of lakeFS.
            secret_access_key: Of lakeFS.
            repository: Its name.
            ca_file: PEM file of the certificates to trust; None: the system's.
            connect_timeout_s: For a connection.
            read_timeout_s: For an answer.
            commit_timeout_s: For the answer to a commit or a merge, which grow with what they hold.
            observer: Told of each request.
        """
        self._place = Place(endpoint=endpoint, repository=repository)
        self._repository, self._ca_file = repository, ca_file
        self._commit_limits_s = (connect_timeout_s, commit_timeout_s)
        self.sdk = SDKCalls(
            place=self._place,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            ca_file=ca_file,
            limits_s=(connect_timeout_s, read_timeout_s),
            observer=observer,
        )

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(require_ca_file, self._ca_file)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.sdk.close()

    async def ensure_repository(self, storage_namespace: str, default_branch: str) -> bool:
        """See ``VersionStore.ensure_repository``."""
        doing = f"creating the repository {self._repository} in {storage_namespace or 'no storage namespace'}"
        require_name(repository_fault(self._repository), self._repository, "lakefs.repository")
        if await self._has_repository():
            return False
        require_name(namespace_fault(storage_namespace), self._repository, "lakefs.storage_namespace")
        require_name(branch_fault(default_branch), self._repository, "lakefs.publish_branch")
        try:
            await self.sdk.call(
                doing,
                self.sdk.client.repositories_api.create_repository,
                {"name": self._repository, "storage_namespace": storage_namespace, "default_branch": default_branch},
            )
        except (ConflictStoreError, NeedsPersonStoreError):  # the name or the namespace is taken; maybe just now
            if await self._has_repository():
                return False
            raise
        return True

    async def default_branch(self) -> str:
        """See ``VersionStore.default_branch``."""
        return str((await self._repository_record()).default_branch)

    async def ensure_branch(self, branch: str, source: str) -> bool:
        """See ``VersionStore.ensure_branch``."""
        if fault := branch_fault(branch):
            raise PermanentStoreError(f"The branch {branch!r} cannot be made", cause=fault.capitalize())
        with suppress(NotFoundStoreError):
            await self._branch_head(branch)
            return False
        try:
            await self.sdk.call(
                f"creating the branch {branch} from {source}",
                self.sdk.client.branches_api.create_branch,
                self._repository,
                {"name": branch, "source": source},
            )
        except ConflictStoreError:  # someone else made it meanwhile
            return False
        return True

    async def head(self, branch: str) -> Commit:
        """See ``VersionStore.head``."""
        return await self.find_commit(await self._branch_head(branch))

    async def head_id(self, branch: str) -> str:
        """See ``VersionStore.head_id``."""
        return await self._branch_head(branch)

    async def find_commit(self, reference: str) -> Commit:
        """See ``VersionStore.find_commit``."""
        doing = f"reading the commit {reference}"
        found = await self.sdk.call(doing, self.sdk.client.commits_api.get_commit, self._repository, reference)
        return to_commit(found.to_dict())

    async def commit(self, branch: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """See ``VersionStore.commit``."""
        made = await self.sdk.call(
            f"committing {branch}",
            self.sdk.client.commits_api.commit,
            self._repository,
            branch,
            {"message": message, "metadata": dict(metadata)},
            branch=branch,
            limits_s=self._commit_limits_s,
        )
        return to_commit(made.to_dict())

    async def merge(self, source: str, into: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """See ``VersionStore.merge``."""
        doing = f"merging {source} into {into}"
        try:
            merged = await self.sdk.call(
                doing,
                self.sdk.client.refs_api.merge_into_branch,
                self._repository,
                source,
                into,
                {"message": message, "metadata": dict(metadata)},
                branch=into,
                limits_s=self._commit_limits_s,
            )
        except ConflictStoreError as error:
            paths = await self._conflicts(source, into)
            raise ConflictStoreError(
                f"lakeFS at {self._place.address} found conflicts when {doing}: {', '.join(paths)}",
                cause=f"Someone else changed on {into} what syncd changed on {source}",
                next_step=f"lakectl diff lakefs://{self._repository}/{into} lakefs://{self._repository}/{source}",
            ) from error
        return await self.find_commit(merged.reference)

    async def create_tag(self, tag: str, commit_id: str) -> None:
        """See ``VersionStore.create_tag``."""
        if faults := tag_faults(tag):
            raise PermanentStoreError(
                f"The tag {tag!r} cannot be made", cause=f"It {faults[0]}", next_step="change snapshot.tag"
            )
        try:
            await self.sdk.call(
                f"creating the tag {tag}",
                self.sdk.client.tags_api.create_tag,
                self._repository,
                {"id": tag, "ref": commit_id},
            )
        except ConflictStoreError as error:
            target = await self.tag_target(tag)
            if target == commit_id:
                return
            taken = f"It points at {target}" if target else "A branch or a commit has that name"
            raise ConflictStoreError(
                f"The tag {tag} cannot be made at {commit_id}", cause=taken, next_step="change snapshot.tag"
            ) from error

    async def tag_target(self, tag: str) -> str | None:
        """See ``VersionStore.tag_target``."""
        if tag_faults(tag):
            return None
        try:
            found = await self.sdk.call(
                f"looking up the tag {tag}", self.sdk.client.tags_api.get_tag, self._repository, tag
            )
        except NotFoundStoreError:
            return None
        return str(found.commit_id)

    def tags(self) -> AsyncIterator[tuple[str, str]]:
        """See ``VersionStore.tags``."""
        return self.sdk.rows("listing tags", self.sdk.client.tags_api.list_tags, of=to_reference)

    async def log(self, reference: str, *, limit: int = 100, paths: Sequence[str] = ()) -> AsyncIterator[Commit]:
        """See ``VersionStore.log``."""
        rows = self.sdk.rows(
            f"reading the log of {reference}",
            self.sdk.client.refs_api.log_commits,
            reference,
            of=to_commit,
            page_rows=min(limit, PAGE_ROWS),
            **paths_query(paths),
        )
        async for commit in rows:
            if limit <= 0:
                return
            limit -= 1
            yield commit

    def objects(self, reference: str, prefix: str) -> AsyncIterator[ObjectInfo]:
        """See ``VersionStore.objects``."""
        return self.sdk.rows(
            f"listing {reference}",
            self.sdk.client.objects_api.list_objects,
            reference,
            of=to_object,
            prefix=prefix,
            user_metadata=True,
            presign=False,
        )

    def uncommitted(self, branch: str) -> AsyncIterator[Difference]:
        """See ``VersionStore.uncommitted``."""
        doing = f"listing the uncommitted changes of {branch}"
        return self.sdk.rows(doing, self.sdk.client.branches_api.diff_branch, branch, of=to_difference)

    def diff(self, left: str, right: str, prefix: str = "") -> AsyncIterator[Difference]:
        """See ``VersionStore.diff``. Digests come with the differences: nothing needs to be looked up for them."""
        return self.sdk.rows(
            f"comparing {left} and {right}",
            self.sdk.client.refs_api.diff_refs,
            left,
            right,
            of=to_difference,
            type="two_dot",
            prefix=prefix,
            include_right_stats=True,
        )

    async def server_version(self) -> str:
        """See ``VersionStore.server_version``."""
        doing = "asking for the server's version"
        config = await self.sdk.call(doing, self.sdk.client.config_api.get_config)
        if not config.version_config or not config.version_config.version:
            raise not_lakefs(doing, self._place)
        return str(config.version_config.version)

    async def _conflicts(self, source: str, into: str) -> list[str]:
        """Return the first keys that changed on both branches, quoted."""
        doing = f"comparing {source} and {into}"
        found: list[str] = []
        rows = self.sdk.rows(
            doing, self.sdk.client.refs_api.diff_refs, into, source, of=to_difference, type="three_dot"
        )
        async for change in rows:
            if change.kind == "conflict":
                found.append(repr(change.key))
            if len(found) == MOST_NAMED:
                return [*found, "…"]
        return found

    async def _has_repository(self) -> bool:
        try:
            await self._repository_record()
        except NotFoundStoreError:
            return False
        return True

    async def _repository_record(self) -> Any:
        doing = f"looking up the repository {self._repository}"
        return await self.sdk.call(doing, self.sdk.client.repositories_api.get_repository, self._repository)

    async def _branch_head(self, branch: str) -> str:
        doing = f"looking up the branch {branch}"
        found = await self.sdk.call(
            doing, self.sdk.client.branches_api.get_branch, self._repository, branch, branch=branch
        )
        return str(found.commit_id)
