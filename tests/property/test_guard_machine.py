"""Random histories of images that go, come back and move, and of a person's answers: no more goes than allowed (P5)."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncd.errors import TransientStoreError
from syncd.journal import absence
from syncd.model import IMAGES, DeletionLimits
from tests.support.histories import HISTORIES
from tests.support.world import World

KEYS = [f"images/{folder}{number}.png" for folder in ("a/", "b/") for number in range(6)]
LIMITS = DeletionLimits(max_delete_count=2)
HOUR = timedelta(hours=1)
TURNS = 4 * len(KEYS)  # each stages one or publishes; there are half as many again under the folder's other name

some_keys = st.sets(st.sampled_from(KEYS), min_size=1)


class GuardMachine(RuleBasedStateMachine):
    """One folder. ``agreed`` and ``kept`` are what a person said, until the source shows the image again."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="syncd-machine-"))
        self.shown: absence.Gone | None = None
        self.shown_keys: set[str] = set()
        self.agreed: set[str] = set()
        self.kept: set[str] = set()
        self.checked = 0
        self.unasked: list[tuple[object, str]] = []  # (when, key) of deletions that nobody was asked about

    def run(self, work):
        return self.runner.run(work)

    @initialize(max_changes=st.sampled_from([1, 3, 100]), batch_objects=st.sampled_from([1, 3, 100]))
    def start(self, max_changes: int, batch_objects: int) -> None:
        self.world = World(self.directory, max_changes=max_changes, batch_objects=batch_objects, limits=LIMITS)
        self.run(self.world.__aenter__())
        self.world.files |= {key: key.encode() for key in KEYS}
        self.run(self.world.settle(turns=20))

    def teardown(self) -> None:
        self.run(self.world.__aexit__(None, None, None))
        self.runner.close()
        shutil.rmtree(self.directory)

    @rule(keys=some_keys)
    def images_go(self, keys: set[str]) -> None:
        for key in keys:
            self.world.files.pop(key, None)

    @rule(keys=some_keys)
    def images_come(self, keys: set[str]) -> None:
        self.world.files |= {key: key.encode() for key in keys}

    @rule(back=st.booleans())
    def the_folder_is_renamed(self, back: bool) -> None:
        here, there = ("images/c/", "images/a/") if back else ("images/a/", "images/c/")
        for key in [key for key in self.world.files if key.startswith(here)]:
            self.world.files[there + key.removeprefix(here)] = self.world.files.pop(key)

    @rule(turns=st.integers(0, 6), span=st.sampled_from([0.0, 31.0, 700.0, 4000.0]))
    def it_is_seen(self, turns: int, span: float) -> None:
        self.run(self.world.look())
        self.agreed -= self.world.files.keys()
        self.kept -= self.world.files.keys()
        self.shown_keys -= self.world.files.keys()  # if it goes again, nobody was shown that
        for _ in range(turns):
            self.world.pass_time(span)
            self.run(self.world.turn())
            self.no_more_goes_unasked_than_the_limit()  # at once: it counts what went within an hour

    @rule()
    def a_person_looks(self) -> None:
        self.shown = self.run(self.world.journal.read(absence.gone, 100))
        self.shown_keys = {IMAGES + path for path in self.shown.paths} if self.shown else set()

    @rule(only=st.one_of(st.none(), some_keys), keep=st.booleans())
    def a_person_answers(self, only: set[str] | None, keep: bool) -> None:
        if self.shown is None:
            return
        said = only if only is not None else set(KEYS) | self.shown_keys
        answer = absence.answer, self.shown.revision, lambda path: IMAGES + path in said
        count = self.run(self.world.journal.write(*answer, keep=keep))
        meant = self.shown_keys & said - self.world.seen.keys()
        if keep:  # what neither an earlier answer nor the end of a hold has sent on its way out
            kept = (meant & self.world.tree("main").keys() & self.world.tree("staging").keys()) - self.agreed
            assert count == len(kept - self.kept)
            self.kept |= kept
        else:
            self.agreed |= meant - self.kept

    @rule(method=st.sampled_from(["put", "delete"]), applied=st.booleans())
    def lakefs_fails(self, method: str, applied: bool) -> None:
        self.world.objects.fail_next(method, TransientStoreError("reset"), applied=applied)

    @rule()
    def crash(self) -> None:
        self.run(self.world.crash())

    @rule()
    def all_is_agreed_on_and_published(self) -> None:
        """P4: then the snapshot holds the folder, and what was kept."""
        self.it_is_seen(turns=12, span=700.0)
        self.a_person_looks()
        self.a_person_answers(only=None, keep=False)
        self.it_is_seen(turns=TURNS, span=700.0)
        assert self.world.tree("main").keys() == self.world.files.keys() | self.kept

    @rule()
    def what_was_agreed_on_goes(self) -> None:
        """Whatever else waits for an answer."""
        self.it_is_seen(turns=TURNS, span=700.0)
        assert not self.agreed & self.world.tree("main").keys()

    @invariant()
    def no_more_goes_unasked_than_the_limit(self) -> None:
        commits = [commit for commit in reversed(list(self.world.repository.log("main"))) if commit.parents]
        before: dict[str, bytes] = {}
        for number, commit in enumerate(commits):
            tree = self.world.tree(commit.id)
            if number >= self.checked:
                there = set(tree.values())  # what is there under another name was moved
                gone = {key for key in before.keys() - tree.keys() if before[key] not in there}
                assert not gone & self.kept
                self.unasked += [(self.world.now, key) for key in gone - self.agreed]
                recent = [key for at, key in self.unasked if at > self.world.now - HOUR]
                assert len(recent) <= LIMITS.max_delete_count, recent
            before = tree
        self.checked = len(commits)


GuardMachine.TestCase.settings = HISTORIES
TestGuardMachine = GuardMachine.TestCase
