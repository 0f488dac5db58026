"""The server's side of the in-memory store: branches with staged changes, commits that never change, tags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from syncd.errors import (
    ConflictStoreError,
    NeedsPersonStoreError,
    NotFoundStoreError,
    NothingToCommitError,
    PermanentStoreError,
)
from syncd.names import branch_fault, namespace_fault, repository_fault, tag_faults
from syncd.store.base import Commit, Difference, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST_COMMIT_AT = datetime(2026, 1, 1, tzinfo=UTC)  # each further commit is a second later: no clock is read


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryObject:
    """One stored object. Two that are equal are the same to a diff, as in lakeFS."""

    content: bytes
    etag: str
    sha256: bytes
    content_type: str

    def info(self, key: str) -> ObjectInfo:
        """Return what a listing says of it."""
        return ObjectInfo(key=key, size_bytes=len(self.content), etag=self.etag, sha256=self.sha256)


Tree = dict[str, MemoryObject]


@dataclass(slots=True)
class _Branch:
    head: str
    staged: dict[str, MemoryObject | None] = field(default_factory=dict)  # None: deleted


class MemoryRepository:
    """One repository, missing until ``create``.

    ``protected`` branches refuse writes and commits but take merges; ``read_only`` refuses everything that writes;
    ``used_namespaces`` is shared between repositories of one imagined server.
    """

    def __init__(self, name: str = "photos", *, used_namespaces: set[str] | None = None) -> None:
        self.name = name
        self.exists = False
        self.read_only = False
        self.protected: set[str] = set()
        self.default_branch = ""
        self.branches: dict[str, _Branch] = {}
        self.tags: dict[str, str] = {}  # tag -> commit id
        self._used_namespaces = used_namespaces if used_namespaces is not None else set()
        self._commits: dict[str, Commit] = {}
        self._trees: dict[str, Tree] = {}

    def create(self, storage_namespace: str, default_branch: str) -> bool:
        """Create it if it is missing; return whether it was created."""
        if self.exists:
            return False
        faults = (
            repository_fault(self.name),
            namespace_fault(storage_namespace),
            branch_fault(default_branch),
        )
        for fault in filter(None, faults):
            raise NeedsPersonStoreError(f"The repository {self.name!r} cannot be created", cause=fault)
        if storage_namespace in self._used_namespaces:
            raise NeedsPersonStoreError(f"The storage namespace {storage_namespace} is in use")
        self._used_namespaces.add(storage_namespace)
        self.exists = True
        self.default_branch = default_branch
        self.branches[default_branch] = _Branch(self._store_commit("Repository created", {}, (), {}).id)
        return True

    def find_default_branch(self) -> str:
        """Return the default branch of a repository that exists."""
        self._require()
        return self.default_branch

    def create_branch(self, branch: str, source: str) -> bool:
        """Create a branch at the head of ``source`` if it is missing; return whether it was created."""
        if fault := branch_fault(branch):
            raise PermanentStoreError(f"The branch {branch!r} cannot be made", cause=fault)
        self._require()
        if branch in self.branches:
            return False
        commit_id = self.resolve(source)
        self._require_writable()
        self.branches[branch] = _Branch(commit_id)
        return True

    def delete_branch(self, branch: str) -> None:
        """Delete a branch with all that is staged on it, as someone with lakectl might."""
        del self.branches[branch]

    def require_bucket(self) -> None:
        """Raise as the S3 gateway does where the repository is missing."""
        if not self.exists:
            raise NeedsPersonStoreError(f"There is no repository {self.name}")

    def stage(self, branch: str, key: str, stored: MemoryObject) -> None:
        """Put an object on a branch."""
        self.require_bucket()
        if branch not in self.branches:
            raise NeedsPersonStoreError(f"There is no branch {branch}")
        self._require_writable(branch)
        self.branches[branch].staged[key] = stored

    def unstage(self, branch: str, key: str) -> None:
        """Delete an object from a branch; on one that does not exist this does nothing, as lakeFS does."""
        self.require_bucket()
        if branch in self.branches:
            self._require_writable(branch)
            self.branches[branch].staged[key] = None

    def find_object(self, branch: str, key: str) -> MemoryObject | None:
        """Return what a branch, staged changes included, a tag or a commit holds at a key."""
        if branch not in self.branches:
            tree = self._trees.get(self.tags.get(branch, branch))
            return None if tree is None else tree.get(key)
        found = self.branches[branch]
        return found.staged[key] if key in found.staged else self._trees[found.head].get(key)

    def head(self, branch: str) -> Commit:
        """Return the newest commit of a branch."""
        return self._commits[self._branch(branch).head]

    def find_commit(self, reference: str) -> Commit:
        """Return the commit of a branch, a tag, or a commit id or its unique beginning."""
        self._require()
        begun = [commit_id for commit_id in self._commits if len(reference) > 1 and commit_id.startswith(reference)]
        named = reference in self.branches or reference in self.tags
        return self._commits[begun[0] if len(begun) == 1 and not named else self.resolve(reference)]

    def resolve(self, reference: str) -> str:
        """Return the commit id of a branch, a tag or a commit id."""
        self._require()
        if reference in self.branches:
            return self.branches[reference].head
        commit_id = self.tags.get(reference, reference)
        if commit_id not in self._commits:
            raise NotFoundStoreError(f"There is no branch, tag or commit {reference}")
        return commit_id

    def tree(self, reference: str) -> Tree:
        """Return all objects of a reference, on a branch with its staged changes; a copy."""
        tree = dict(self._trees[self.resolve(reference)])
        if reference in self.branches:
            for key, staged in self.branches[reference].staged.items():
                if staged is None:
                    tree.pop(key, None)
                else:
                    tree[key] = staged
        return tree

    def uncommitted(self, branch: str) -> list[Difference]:
        """Return what committing the branch would change; staging what is there already changes nothing."""
        found = self._branch(branch)
        before = self._trees[found.head]
        return [
            replace(difference, sha256=None)  # lakeFS does not tell it here
            for key, staged in sorted(found.staged.items(), key=lambda item: item[0].encode())
            if (difference := _difference(key, before.get(key), staged))
        ]

    def diff(self, left: str, right: str) -> list[Difference]:
        """Return what differs between two references."""
        before, after = self.tree(left), self.tree(right)
        keys = sorted(before.keys() | after.keys(), key=str.encode)
        return [found for key in keys if (found := _difference(key, before.get(key), after.get(key)))]

    def commit(self, branch: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """Commit what is staged on a branch."""
        found = self._branch(branch)
        self._require_writable(branch)
        if not self.uncommitted(branch):
            raise NothingToCommitError(f"{branch} holds no uncommitted change")
        made = self._store_commit(message, metadata, (found.head,), self.tree(branch))
        found.head, found.staged = made.id, {}
        return made

    def merge(self, source: str, into: str, message: str, metadata: Mapping[str, str]) -> Commit:
        """Merge the head of one branch into another."""
        destination = self._branch(into)
        theirs_id = self.resolve(source)
        self._require_writable()
        if self.uncommitted(into):
            raise NeedsPersonStoreError(f"{into} holds uncommitted changes")
        base = self._trees[self._merge_base(theirs_id, destination.head)]
        ours, theirs = self._trees[destination.head], self._trees[theirs_id]
        merged = dict(ours)
        for key in base.keys() | theirs.keys():
            before, after = base.get(key), theirs.get(key)
            if before == after or ours.get(key) == after:
                continue
            if ours.get(key) != before:
                raise ConflictStoreError(f"{key} changed on {source} and on {into}")
            if after is None:
                merged.pop(key, None)
            else:
                merged[key] = after
        if merged == ours:
            raise NothingToCommitError(f"{into} holds {source} already")
        made = self._store_commit(message, metadata, (destination.head, theirs_id), merged)
        destination.head = made.id
        return made

    def create_tag(self, tag: str, commit_id: str) -> None:
        """Create a tag; one that exists already at this very commit is fine."""
        if faults := tag_faults(tag):
            raise PermanentStoreError(f"The tag {tag!r} cannot be made", cause=f"It {faults[0]}")
        target = self.resolve(commit_id)
        if self.tags.get(tag) == target:
            return
        if tag in self.tags or tag in self.branches or tag in self._commits:
            raise ConflictStoreError(f"The name {tag} is taken")
        self._require_writable()
        self.tags[tag] = target

    def log(self, reference: str, paths: Sequence[str] = ()) -> list[Commit]:
        """Return the commits reachable from a reference, newest first; all, or those that changed some paths."""
        reachable = self._ancestors(self.resolve(reference))
        found = [commit for commit in reversed(self._commits.values()) if commit.id in reachable]
        return [commit for commit in found if self._changes(commit, paths)] if paths else found

    def _changes(self, commit: Commit, paths: Sequence[str]) -> bool:
        if len(commit.parents) != 1:
            return False
        changed = [difference.key for difference in self.diff(commit.parents[0], commit.id)]
        return any(key == path or (path.endswith("/") and key.startswith(path)) for path in paths for key in changed)

    def _store_commit(self, message: str, metadata: Mapping[str, str], parents: tuple[str, ...], tree: Tree) -> Commit:
        number = len(self._commits)
        made = Commit(
            id=hashlib.sha256(f"{self.name} {number}".encode()).hexdigest(),
            message=message,
            metadata=MappingProxyType(dict(metadata)),
            parents=parents,
            created_at=FIRST_COMMIT_AT + timedelta(seconds=number),
        )
        self._commits[made.id], self._trees[made.id] = made, tree
        return made

    def _ancestors(self, commit_id: str) -> set[str]:
        found, waiting = set(), [commit_id]
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting.extend(self._commits[current].parents)
        return found

    def _merge_base(self, one: str, other: str) -> str:
        common = self._ancestors(one) & self._ancestors(other)
        return next(commit_id for commit_id in reversed(self._commits) if commit_id in common)

    def _branch(self, branch: str) -> _Branch:
        self._require()
        if branch not in self.branches:
            raise NotFoundStoreError(f"There is no branch {branch}")
        return self.branches[branch]

    def _require(self) -> None:
        if not self.exists:
            raise NotFoundStoreError(f"There is no repository {self.name}")

    def _require_writable(self, branch: str | None = None) -> None:
        if self.read_only:
            raise NeedsPersonStoreError(f"The repository {self.name} is read-only")
        if branch in self.protected:
            raise NeedsPersonStoreError(f"The branch {branch} is protected")


def _difference(key: str, before: MemoryObject | None, after: MemoryObject | None) -> Difference | None:
    there = after or before
    if before == after or there is None:
        return None
    kind = "added" if before is None else "removed" if after is None else "changed"
    return Difference(key=key, kind=kind, size_bytes=len(there.content), sha256=there.sha256)
