"""Random histories of images, tables and snapshots: what closure counts by change is what comparing all would say.

The journal is the real one, in memory. Beside it stands a model that forgets nothing and compares everything after
every step.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from syncd.journal import (
    adoption,
    closure,
    exclusion,
    migrate,
    observations,
    pictures,
    snapshots,
    staging,
    table_rows,
    tables,
)
from syncd.journal.closure import Listed, Pairing
from syncd.journal.staging import Staged
from syncd.model import RowImage, Trigger
from tests.support.histories import HISTORIES
from tests.support.observing import START, absent, fingerprint, present
from tests.support.table_versions import table_object, table_version

LATER = START + timedelta(hours=1)
TABLES = ["labels", "label", "boxes"]
IMAGES = [
    *["images/a.png", "images/A.png", "images/b.png", "images/b", "images/b/a.png", "images/B/a.png"],
    *["images/bä/ä ö.png", "images/b/c/😀'.png", 'images/"b"/%_.png', "images/g/g/g", "images/.png"],
]
OTHER = "tables/others.csv"  # on the branch, and no image
NO_IMAGES = [OTHER, "tables/labels/part-0", "a.png", "", "/", "images/", "images", "images/a.png\0", "b/"]
CONTENTS = [b"1", b"22"]
ROW_KEYS = ["1", "2", "10", "é", "z", "Z", ""]
ALL = 1000

some_images = st.lists(st.sampled_from(IMAGES), min_size=1, max_size=6, unique=True)
named_images = st.one_of(
    st.none(),
    *[st.sampled_from(names) for names in (IMAGES, IMAGES[:3], NO_IMAGES, NO_IMAGES[:1])],
)
some_rows = st.dictionaries(
    st.sampled_from(ROW_KEYS), st.tuples(st.integers(0, 2), named_images, st.booleans()), max_size=5
)


class ClosureMachine(RuleBasedStateMachine):
    """One journal, and what it should say."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate.bring_up_to_date(self.connection, Path("journal.db"))
        observations.record(self.connection, [present(OTHER, b"id")])
        self.staged: dict[str, bytes] = {}  # key -> content on the staging branch
        self.committed: dict[str, bytes] = {}
        self.uncertain: set[str] = set()
        self.excluding: set[str] = set()
        self.rows: dict[str, dict[str, RowImage]] = {}  # of the tables whose rows are kept, as last read
        self.compared: dict[str, tuple[set[str], set[str]]] = {}  # what was stored when they were last compared
        self.objects: dict[str, dict[str, tuple[bytes, int]]] = {}  # table -> key -> (content, rows), as last read

    def teardown(self) -> None:
        self.connection.close()

    # The world.

    @rule(keys=some_images, content=st.sampled_from(CONTENTS))
    def images_are_seen(self, keys, content) -> None:
        observations.record(self.connection, [present(key, content) for key in keys])

    @rule(keys=some_images)
    def images_go(self, keys) -> None:
        observations.record(self.connection, [absent(key) for key in keys])

    @rule(name=st.sampled_from(TABLES), added=some_rows, dropped=st.sets(st.sampled_from(ROW_KEYS)), csv=st.booleans())
    def a_table_is_read(self, name, added, dropped, csv) -> None:
        """Rows come, go, name other images, and move between parts."""
        before, parts = self.rows.get(name, {}), self._parts(name, csv=csv)
        after = {
            key: RowImage(key, parts[int(row.part[-1])], row.image, row.shown)
            for key, row in before.items()
            if key not in dropped
        }
        after |= {key: RowImage(key, parts[part], image, shown) for key, (part, image, shown) in added.items()}
        gone = {row.part for row in before.values()}.difference(parts)
        changed = [part for part in parts if self._part_of(before, part) != self._part_of(after, part)]
        changed += [] if csv else sorted(gone)  # a part that is an object of its own is seen to have gone
        table_rows.add(self.connection, name, [RowImage("stale", "left over", None)])
        table_rows.begin(self.connection, name)
        for part in changed:
            table_rows.add(self.connection, name, list(self._part_of(after, part).values()))
        self._record(name, after, changed, csv=csv)
        self.rows[name] = after

    def _parts(self, name: str, *, csv: bool) -> list[str]:
        return [f"bucket-{number}" if csv else f"tables/{name}/part-{number}" for number in range(3)]

    def _part_of(self, rows: dict[str, RowImage], part: str) -> dict[str, RowImage]:
        return {key: row for key, row in rows.items() if row.part == part}

    def _record(self, name: str, rows: dict[str, RowImage], changed: list[str] | None, *, csv: bool) -> None:
        held = (
            {f"tables/{name}.csv": rows}
            if csv
            else {part: self._part_of(rows, part) for part in self._parts(name, csv=csv)}
        )
        contents = {key: (repr(sorted(part.items())).encode(), len(part)) for key, part in held.items() if part or csv}
        if not csv:
            contents[f"tables/{name}/_schema.json"] = (b"{}", 0)
        objects = [table_object(key, content, rows=count) for key, (content, count) in contents.items()]
        tables.record(self.connection, table_version(name, *objects), changed_parts=changed)
        self.objects[name] = contents

    @rule(name=st.sampled_from(TABLES))
    def a_table_is_read_without_closure(self, name) -> None:
        self._record(name, {}, None, csv=False)
        self.rows.pop(name, None)
        self.compared.pop(name, None)

    @rule(names=st.sets(st.sampled_from(TABLES)))
    def other_tables_exclude(self, names) -> None:
        closure.configure(self.connection, names)
        for name in names - self.excluding:
            self.compared.pop(name, None)
        self.excluding = names

    @rule(keep=st.sets(st.sampled_from(TABLES), min_size=2))
    def closure_is_turned_off(self, keep) -> None:
        closure.forget(self.connection, keep)
        for name in set(self.rows) - keep:
            del self.rows[name]
            self.compared.pop(name, None)

    @rule(keep=st.sets(st.sampled_from(TABLES), min_size=2))
    def a_table_is_not_configured_any_more(self, keep) -> None:
        """One of which something was sent, and not all, is known until it is there; what is published stays."""
        half_sent = {name for name in self.objects if self._differing(name) and self._is_sent(name)}
        unfinished = set(tables.forget(self.connection, keep))
        for name in set(self.objects) - keep:
            assert (name in unfinished) == (name in half_sent)
            self.rows.pop(name, None)
            self.compared.pop(name, None)
            if name not in unfinished:
                del self.objects[name]

    def _own(self, name: str, keys: Iterable[str]) -> set[str]:
        return {key for key in keys if key == f"tables/{name}.csv" or key.startswith(f"tables/{name}/")}

    def _differing(self, name: str) -> set[str]:
        """The keys of a table that the staging branch does not hold as they were last read."""
        seen = {key: fingerprint(content).sha256 for key, (content, _) in self.objects[name].items()}
        own = self._own(name, self.staged.keys() | self.uncertain) | seen.keys()
        return {key for key in own if self.staged.get(key) != seen.get(key) or key in self.uncertain}

    def _is_sent(self, name: str) -> bool:
        own = self._own(name, self.staged.keys() | self.committed.keys() | self.uncertain)
        return any(self.staged.get(key) != self.committed.get(key) or key in self.uncertain for key in own)

    @rule(name=st.sampled_from(TABLES))
    def all_is_compared_anew(self, name) -> None:
        closure.pair_all(self.connection, name)
        if name in self.rows:
            self.compared.pop(name, None)
            self._compare([name])

    # Staging.

    @rule(limit=st.integers(1, 20), outcomes=st.lists(st.sampled_from(["sent", "lost", "refused"]), min_size=1))
    def a_batch_is_staged(self, limit, outcomes) -> None:
        puts, deletes = staging.due(self.connection, LATER, limit)
        changes = (*puts, *deletes)
        if not changes:
            return
        batch = staging.begin(self.connection, changes, LATER).number
        done = [self._staged(change, outcomes[place % len(outcomes)]) for place, change in enumerate(changes)]
        staging.finish(self.connection, done, LATER)
        staging.end(self.connection, batch, LATER)

    def _staged(self, change, outcome: str) -> Staged:
        key = change.key
        if outcome == "sent":
            self.uncertain.discard(key)
            if change.fingerprint is None:
                self.staged.pop(key, None)
                return Staged(key=key, sha256=None, size_bytes=None, sent=True)
            self.staged[key] = change.fingerprint.sha256
            return Staged(key=key, sha256=change.fingerprint.sha256, size_bytes=1, sent=True)
        if outcome == "lost":  # it was applied, or not: nobody knows
            self.uncertain.add(key)
            return Staged(key=key, sha256=b"", size_bytes=None, sent=False)
        if change.staged == b"":
            self.uncertain.add(key)
        return Staged(key=key, sha256=change.staged, size_bytes=change.staged_bytes, sent=False, refused=True)

    @rule()
    def all_is_staged(self) -> None:
        """Else few histories would get as far as a commit with much in it."""
        self.a_batch_is_staged(ALL, ["sent"])

    # Snapshots.

    @precondition(lambda self: not self.uncertain)
    @rule(comes_to_nothing=st.booleans(), name=st.sampled_from(TABLES), meanwhile=st.one_of(st.none(), some_rows))
    def a_snapshot_is_made(self, comes_to_nothing, name, meanwhile) -> None:
        """Also while a table is only partly staged, and with a new version of it read between intent and commit."""
        summary = snapshots.summarise(self.connection)
        snapshots.begin(
            self.connection,
            summary,
            intent=f"{self.connection.total_changes}",
            trigger=Trigger.QUIET,
            tag="t",
            message="",
            metadata={},
            now=LATER,
        )
        opened = snapshots.open_snapshot(self.connection)
        if meanwhile is not None:
            self.a_table_is_read(name, meanwhile, set(), csv=False)
        if comes_to_nothing:
            snapshots.abandon(self.connection, opened.sequence)
        else:
            snapshots.committed(self.connection, opened.sequence, "c")
            snapshots.merged(self.connection, opened.sequence, "m", LATER)
            snapshots.tagged(self.connection, opened.sequence)
        self.committed = dict(self.staged)
        self._compare(self.rows)

    @rule()
    def all_is_staged_and_committed(self) -> None:
        self.all_is_staged()
        self.a_snapshot_is_made(comes_to_nothing=False, name="labels", meanwhile=None)

    @rule(foreign=st.sets(st.sampled_from(IMAGES)), uncommitted=st.sets(st.sampled_from(IMAGES)))
    def the_branch_is_another_one(self, foreign, uncommitted) -> None:
        """What it holds is adopted: what was committed, some of it changed, and some that was never seen here."""
        held = self.committed | {key: fingerprint(b"foreign").sha256 for key in foreign}
        adoption.forget_branch(self.connection)
        self.staged, self.committed, self.compared, self.uncertain = {}, {}, {}, set()
        self._fits()  # nothing is on the branch now, as far as is known
        found = [(key, None if key in foreign else sha256, 1) for key, sha256 in held.items()]
        for part in (found[:2], found):  # the process was killed in between
            adoption.adopt_committed(self.connection, part, LATER)
        adoption.adopt_uncommitted(self.connection, sorted(uncommitted), LATER)
        adoption.finish_adoption(self.connection, "head")
        unknown = {key for key, sha256, _ in found if sha256 is None}
        self.staged, self.committed = dict(held), dict(held)
        self.uncertain = uncommitted | unknown
        self._compare(self.rows)
        self.a_batch_is_staged(ALL, ["sent"])

    # What must hold.

    def _unfit(self, name: str, there: set[str]) -> tuple[set[str], set[str]]:
        images = {key for key in there if key.startswith("images/")}
        rows = self.rows[name]
        missing = {key for key, row in rows.items() if row.image not in images}
        return missing, images - {row.image for row in rows.values()}

    def _compare(self, names) -> None:
        """Rows and committed images are compared; not under exclude where other rows are shown than are to be."""
        for name in names:
            if name in self.excluding and self._misshown(name, self.committed):
                self.compared.pop(name, None)
            else:
                self.compared[name] = self._unfit(name, set(self.committed))

    def _misshown(self, name: str, held: dict[str, bytes]) -> set[str]:
        there = {key for key in held if key.startswith("images/")}
        rows = self.rows.get(name, {}).values()
        return {row.part for row in rows if row.shown != (self._told(row.image) in there)}

    @invariant()
    def counting_by_change_is_comparing_all(self) -> None:
        if not self.uncertain:
            self._fits()

    def _fits(self) -> None:
        unfit = {name: self._unfit(name, set(self.staged)) for name in self.rows}
        counted = closure.check(self.connection, TABLES)
        assert counted == {name: Pairing(len(missing), len(orphaned)) for name, (missing, orphaned) in unfit.items()}
        for name, (missing, orphaned) in unfit.items():
            rows = sorted(
                ((key, self._told(self.rows[name][key].image)) for key in missing), key=lambda row: row[0].encode()
            )
            images = sorted(orphaned, key=str.encode)
            for limit in (ALL, 2):
                assert closure.listed(self.connection, name, limit) == Listed(
                    pairing=counted[name], rows=tuple(rows[:limit]), images=tuple(images[:limit])
                )
            told = json.loads(closure.closure_json(name, closure.listed(self.connection, name, ALL)))
            assert [row["key"] for row in told["missing"]["rows"]] == [key for key, _ in rows]
            assert told["orphaned"] == {"count": len(images), "images": images, "more": False}

    def _told(self, image: str | None) -> str | None:
        return image and image.replace("\0", "\N{REPLACEMENT CHARACTER}")

    @invariant()
    def what_was_compared_is_stored(self) -> None:
        stored: dict[str, tuple[set[str], set[str]]] = {name: (set(), set()) for name in TABLES}
        for place, statement in enumerate(("SELECT * FROM missing", "SELECT * FROM orphaned")):
            for name, what in self.connection.execute(statement):
                stored[name][place].add(what)
        assert stored == {name: self.compared.get(name, (set(), set())) for name in TABLES}
        counts = self.connection.execute("SELECT name, paired, missing, orphaned FROM table_state").fetchall()
        for name, paired, missing, orphaned in counts:
            assert bool(paired) == (name in self.compared)
            assert (missing, orphaned) == tuple(map(len, stored[name]))

    @invariant()
    def the_rows_are_those_last_read(self) -> None:
        found: dict[str, dict[str, RowImage]] = {name: {} for name in self.rows}
        for name, key, part, image, shown in self.connection.execute(
            "SELECT table_name, row_key, part, seen_image, shown FROM table_row WHERE seen = 1"
        ):
            found[name][key] = RowImage(key, part, image, bool(shown))
        told = {
            name: {key: RowImage(key, row.part, self._told(row.image), row.shown) for key, row in rows.items()}
            for name, rows in self.rows.items()
        }
        assert found == told
        assert self.connection.execute("SELECT count(*) FROM incoming_row").fetchone() == (0,)

    @invariant()
    def an_image_is_withheld_just_if_an_excluding_table_does_not_name_it(self) -> None:
        named = {
            name: {self._told(row.image) for row in rows.values()}
            for name, rows in self.rows.items()
            if name in self.excluding
        }
        seen = "SELECT directory || name, withheld FROM entry WHERE seen_sha256 IS NOT NULL"
        for key, withheld in self.connection.execute(seen).fetchall():
            unnamed = key.startswith("images/") and any(key not in images for images in named.values())
            assert bool(withheld) == unnamed, key
        for name in TABLES:
            held = "SELECT directory || name FROM entry WHERE withheld = 1"
            kept_back = [key for (key,) in self.connection.execute(held) if key not in named.get(name, {key})]
            assert exclusion.withheld(self.connection, name, 2) == (
                len(kept_back),
                sorted(kept_back, key=str.encode)[:2],
            )

    @invariant()
    def rows_shown_without_their_image_and_the_reverse_are_found(self) -> None:
        for name in self.excluding if not self.uncertain else ():
            assert closure.misshown(self.connection, name) == self._misshown(name, self.staged)

    @invariant()
    def tables_are_known_as_last_read(self) -> None:
        unstaged, staged_rows = set(), {}
        for name, contents in self.objects.items():
            known = tables.known(self.connection, name)
            assert known.keeps_rows == (name in self.rows)
            assert {
                found.object.key: (found.object.fingerprint.sha256, found.object.rows) for found in known.objects
            } == {key: (fingerprint(content).sha256, rows) for key, (content, rows) in contents.items()}
            differ = self._differing(name)
            unstaged |= differ if name in self.rows else {key for key in differ if key.startswith(f"tables/{name}/")}
            assert {found.object.key for found in known.objects if found.staged} == contents.keys() - differ
            held = [seen_rows for key, (_, seen_rows) in contents.items() if key not in differ]
            if not differ:
                staged_rows[name] = sum(held)
        assert pictures.standing(self.connection, count_up_to=1).unstaged_tables == len(unstaged)
        counted = tables.staged_rows(self.connection)
        assert {name: counted[name] for name in staged_rows} == staged_rows


ClosureMachine.TestCase.settings = settings(HISTORIES, max_examples=120, stateful_step_count=40)
TestClosureMachine = ClosureMachine.TestCase
