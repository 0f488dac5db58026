"""Random histories in which others have their hands on the branches, and the journal is lost; a person sorts it out.

P9: nothing of theirs is published before a person has agreed. P1, P4, P6 hold as ever, whatever they did.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import invariant, precondition, rule

from syncd.journal import branch
from syncd.ownership.staging_branch import BranchChangedError
from syncd.service.requests import SnapshotAnswer
from syncd.store.memory_repository import MemoryObject
from tests.property.test_state_machine import SyncMachine
from tests.support.histories import HISTORIES
from tests.support.observing import fingerprint

THEIRS = ["notes/a.txt", "images/theirs.png", "images/a.png"]
MOST_ANSWERS = 20  # a person is not asked more often than that for one history


def stored(content: bytes) -> MemoryObject:
    known = fingerprint(content)
    return MemoryObject(content=content, etag=known.md5.hex(), sha256=known.sha256, content_type="image/png")


class ForeignMachine(SyncMachine):
    """The same, with others at work."""

    MOST_ON_STAGING = 2  # made again from the publish branch, it has the merges as well

    def __init__(self) -> None:
        super().__init__()
        self.uncommitted: set[str] = set()  # what others staged, and nobody has committed or reset
        self.not_agreed: set[str] = set()  # ids of commits that others made on the staging branch

    @property
    def has_staging(self) -> bool:
        return self.world is not None and "staging" in self.world.repository.branches

    @precondition(lambda self: self.has_staging)
    @rule(key=st.sampled_from(THEIRS), content=st.sampled_from([b"theirs", b"more of theirs"]))
    def others_stage(self, key: str, content: bytes) -> None:
        self.world.repository.stage("staging", key, stored(content))
        self.lived.setdefault(key, {None}).add(content)
        self.uncommitted.add(key)

    @precondition(lambda self: self.has_staging and self.world.repository.uncommitted("staging"))
    @rule()
    def others_commit(self) -> None:
        self.world.repository.commit("staging", "by hand", {})
        self.not_agreed.add(self.world.repository.head("staging").id)
        self.uncommitted.clear()

    @precondition(lambda self: self.has_staging)
    @rule()
    def others_reset(self) -> None:
        self.world.repository.branches["staging"].staged.clear()
        self.uncommitted.clear()

    @precondition(lambda self: self.has_staging)
    @rule(made_again=st.booleans())
    def others_delete(self, made_again: bool) -> None:
        self.world.repository.delete_branch("staging")
        self.uncommitted.clear()
        if made_again:
            self.world.repository.create_branch("staging", "main")

    @precondition(lambda self: self.world is not None and self.world.repository.exists)
    @rule(content=st.sampled_from([b"book", b"other book"]))
    def others_publish(self, content: bytes) -> None:
        repository = self.world.repository
        if repository.find_object("main", "books/b.txt") != stored(content):
            repository.stage("main", "books/b.txt", stored(content))
            repository.commit("main", "theirs", {})
            self.lived.setdefault("books/b.txt", {None}).add(content)

    @rule()
    def lose_the_journal(self) -> None:
        self.run(self._lose_the_journal())

    async def _lose_the_journal(self) -> None:
        await self.world.journal.__aexit__(None, None, None)
        (self.world.directory / "journal.db").unlink()
        await self.world._start()

    @rule()
    def agree(self) -> None:
        self.run(self._agree())

    async def _agree(self) -> None:
        told = await self.world.journal.read(branch.held)
        if told:
            assert await self.world.journal.write(branch.agree, told)
            if "a commit that syncd did not make" in told:
                self.not_agreed.clear()
            self.world.daemon.try_again()

    @invariant()
    def nothing_of_theirs_is_published_before_a_person_agreed(self) -> None:
        if self.not_agreed and self.world is not None:
            published = {commit.id for commit in self.world.repository.log("main")}  # without the store's faults
            assert not self.not_agreed & published

    async def _sort_out(self) -> None:
        """What a person does: reset what others staged, agree to the rest."""
        for _ in range(MOST_ANSWERS):
            for _ in range(12):
                await self.world.turn()
                self.world.pass_time(61)
            failure = self.world.daemon.failure
            if failure is None:
                return
            assert isinstance(failure.error, BranchChangedError), failure.error
            for key in self.uncommitted:
                self.world.repository.branches["staging"].staged.pop(key, None)
            self.uncommitted.clear()
            await self._agree()
            self.world.daemon.try_again()
        raise AssertionError(f"a person is asked for ever: {failure}")

    async def _heal(self) -> None:
        await super()._heal()
        await self._sort_out()

    async def _ask(self) -> SnapshotAnswer:
        for _ in range(MOST_ANSWERS):
            try:
                return await super()._ask()
            except BranchChangedError:  # found out only now
                await self._sort_out()
        raise AssertionError("a person is asked for ever")

    async def _converges(self) -> None:
        self.world.files["images/before.png"] = b"before"  # what others did is found out when there is something to do
        self.lived["images/before.png"] = {b"before"}
        self.lived["images/last.png"] = {b"last"}
        await super()._heal()
        await self.world.settle()
        await self._sort_out()
        await super()._converges()

    def _own(self, reference: str) -> dict[str, bytes]:
        return {key: body for key, body in super()._own(reference).items() if key.startswith(("images/", "tables/"))}

    async def _not_pinned(self) -> list[str]:
        return []  # a history that was read back tells of what was removed, too, until retention has judged it again

    def _is_whole(self, tag: str) -> None:
        for key, content in self.trees[tag].items():
            assert content in self.lived[key]


ForeignMachine.TestCase.settings = HISTORIES
TestForeignMachine = ForeignMachine.TestCase
