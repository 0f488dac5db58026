"""What is told of what was seen, look by look."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.notify.events import Event, Kind, Memory, Rules, Sight, compare
from syncd.notify.notice import LONGEST_WORDS, Dataset, notice_of

START = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
RULES = Rules(grace_s=60, stale_s=0)
SNAPSHOT = {"tag": "snap-1", "commit_id": "c" * 64, "added": 3, "changed": 0, "deleted": 1}
DATASET = Dataset(repository="photos", branch="main", source="/srv/images")


def sight(moment_s: float, state: str = "idle", **changes: Any) -> Sight:
    """One look, so many seconds after the start; what is held is "images" unless it is said."""
    held_by = frozenset({"images"}) if state == "held" else frozenset()
    values: dict[str, Any] = {
        "at": START + timedelta(seconds=moment_s),
        "moment_s": moment_s,
        "state": state,
        "since": START.isoformat(),
        "why": f"it is {state}",
        "next_step": "syncd approve" if state == "held" else "",
        "failing": state == "failing",
        "held_by": held_by,
        "in_step": state == "idle",
    }
    return Sight(**{**values, **changes})


def told(*looks: Sight, rules: Rules = RULES) -> list[tuple[float, str]]:
    """Return when what was told: ``(seconds, "failure")``, ``(seconds, "recovery of failure")``."""
    memory, found = Memory(in_step_s=0), []
    for look in looks:
        memory, events = compare(memory, look, rules)
        found += [(look.moment_s, str(one.kind) + (f" of {one.of}" if one.of else "")) for one in events]
    return found


def every(seconds: float, states: str, **changes: Any) -> list[Sight]:
    """Looks at regular intervals: i(dle), f(ailing), h(eld), u(ploading)."""
    names = {"i": "idle", "f": "failing", "h": "held", "u": "uploading"}
    return [sight(seconds * number, names[letter], **changes) for number, letter in enumerate(states)]


@pytest.mark.parametrize(
    ("case", "states", "expected"),
    [
        ("nothing happens", "iiiuuui", []),
        ("a failure is told once, when it has lasted", "iffffff", [(90, "failure")]),
        ("a failure at the start is told, too", "fffff", [(60, "failure")]),
        ("a short failure is told to nobody", "iffiiiii", []),
        ("its end is told once it has lasted", "fffiiii", [(60, "failure"), (150, "recovery of failure")]),
        ("one that comes back at once is the same", "fffifffiii", [(60, "failure"), (270, "recovery of failure")]),
        ("work that goes on after it is its end", "fffuuu", [(60, "failure"), (150, "recovery of failure")]),
        ("a hold is told", "ihhhh", [(90, "hold")]),
        ("and that it is over", "hhhiii", [(60, "hold"), (150, "recovery of hold")]),
        ("flapping is told to nobody", "fifififififi", []),
        (
            "a hold stands while lakeFS is away",
            "hhhffffhhhii",
            [(60, "hold"), (150, "failure"), (270, "recovery of failure")],
        ),
        (
            "both end",
            "hhhfffiii",
            [(60, "hold"), (150, "failure"), (240, "recovery of failure"), (240, "recovery of hold")],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_trouble_is_told_once_it_lasts_and_so_is_its_end(
    case: str, states: str, expected: list[tuple[float, str]]
) -> None:
    assert told(*every(30, states)) == expected, case


def test_another_hold_beside_the_first_is_told_and_their_end_only_when_both_are_over() -> None:
    first, both = frozenset({"images"}), frozenset({"images", "labels"})
    looks = [
        (0, first),
        (60, first),
        (90, both),
        (150, both),
        (180, first),
        (300, first),
        (330, frozenset()),
        (390, frozenset()),
    ]
    found = told(*(sight(at, "held" if held else "idle", held_by=held) for at, held in looks))
    assert found == [(60, "hold"), (150, "hold"), (390, "recovery of hold")]


def test_staleness_is_told_once_and_its_end_at_once() -> None:
    rules = Rules(grace_s=60, stale_s=100)
    looks = [sight(0), sight(90, "uploading"), sight(100, "uploading"), sight(200, "uploading"), sight(210), sight(220)]
    assert told(*looks, rules=rules) == [(100, "stale"), (210, "recovery of stale")]


def test_what_was_never_in_step_is_stale_counted_from_the_start() -> None:
    looks = every(30, "uuuuuu")
    assert told(*looks, rules=Rules(grace_s=60, stale_s=100)) == [(120, "stale")]
    assert told(*looks) == []


def test_every_snapshot_is_told_in_order_before_what_came_of_it() -> None:
    memory = compare(Memory(in_step_s=0), sight(0, "failing"), RULES)[0]
    made = tuple({**SNAPSHOT, "tag": f"snap-{number}"} for number in range(3))
    _, events = compare(memory, sight(60, "failing", snapshots=made), RULES)
    assert [event.snapshot and event.snapshot["tag"] for event in events] == ["snap-0", "snap-1", "snap-2", None]
    assert events[-1].kind is Kind.FAILURE


@given(states=st.text("ifhu", max_size=60), grace_s=st.sampled_from([0, 1, 45, 60, 120]))
def test_no_end_without_a_beginning_and_none_twice(states: str, grace_s: float) -> None:
    """Whatever is seen: beginnings and ends of a trouble take turns, the beginning first."""
    found = [what for _, what in told(*every(30, states), rules=Rules(grace_s=grace_s, stale_s=300))]
    for kind in ("failure", "stale", "hold"):
        of_it = [what for what in found if what.endswith(kind)]
        assert of_it == [kind if number % 2 == 0 else f"recovery of {kind}" for number in range(len(of_it))]


@given(states=st.text("ifu", max_size=60), grace_s=st.sampled_from([30, 60, 120]))
def test_a_failure_is_told_exactly_if_it_lasts(states: str, grace_s: float) -> None:
    lasts = max((len(run) for run in states.replace("u", "i").split("i")), default=0)
    kinds = {what for _, what in told(*every(30, states), rules=Rules(grace_s=grace_s, stale_s=0))}
    assert ("failure" in kinds) == ((lasts - 1) * 30 >= grace_s)


def test_a_notice_has_all_keys_whatever_it_is_of() -> None:
    events = [
        Event(kind=Kind.SNAPSHOT, sight=sight(1), snapshot=SNAPSHOT),
        Event(kind=Kind.HOLD, sight=sight(1, "held")),
        Event(kind=Kind.RECOVERY, of=Kind.FAILURE, sight=sight(1)),
        Event(kind=Kind.STALE, sight=sight(1, "uploading", why="it is busy")),
    ]
    found = [json.loads(notice_of(event, DATASET, f"id-{number}").body) for number, event in enumerate(events)]
    keys = {"id", "event", "of", "at", "dataset", "state", "since", "why", "next_step", "snapshot", "text"}
    assert all(set(one) == keys for one in found)
    assert [one["id"] for one in found] == ["id-0", "id-1", "id-2", "id-3"]
    assert found[0]["dataset"] == {"repository": "photos", "branch": "main", "source": "/srv/images"}
    assert [one["snapshot"] for one in found] == [SNAPSHOT, None, None, None]
    assert [one["text"] for one in found] == [
        "syncd photos/main: snapshot snap-1: 3 added, 0 changed, 1 deleted",
        "syncd photos/main: hold: it is held. Next: syncd approve",
        "syncd photos/main: it works again (it is idle)",
        "syncd photos/main: stale: no snapshot has held all of it for too long; now: it is busy. Next: syncd status",
    ]


def test_long_words_are_cut_and_a_name_that_is_no_text_does_not_matter() -> None:
    event = Event(kind=Kind.FAILURE, sight=sight(1, "failing", why="x\n" * 5000))
    body = notice_of(event, Dataset(repository="r", branch="b", source="/srv/\udcff"), "1").body
    assert len(body) < 4096
    assert len(json.loads(body)["why"]) == LONGEST_WORDS + 1
