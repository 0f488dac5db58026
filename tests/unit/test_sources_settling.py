"""When a file counts as settled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncd.model import Signature
from syncd.sources.settling import SHORTEST_SETTLE_SECONDS, Settling

SETTLE = 2.0
WALL = 1_800_000_000.0


def signature(changed_s: float, size: int = 1) -> Signature:
    return Signature(size, int(changed_s * 1e9), int(changed_s * 1e9), 7)


def test_a_file_left_alone_for_long_is_settled_at_once() -> None:
    settling = Settling(SETTLE)
    assert settling.seen("a", signature(WALL - 10), wall_s=WALL, monotonic_s=50.0)
    assert len(settling) == 0


def test_a_fresh_file_is_settled_after_the_rest_of_its_time() -> None:
    settling = Settling(SETTLE)
    assert not settling.seen("a", signature(WALL - 0.5), wall_s=WALL, monotonic_s=50.0)
    due = settling.next_due()
    assert due is not None
    assert abs(due - 51.5) < 0.001
    assert list(settling.due(51.4)) == []
    assert [path for path, _ in settling.due(51.6)] == ["a"]
    assert len(settling) == 0


def test_either_time_counts() -> None:
    """A copy that keeps the old mtime is as fresh as its ctime."""
    settling = Settling(SETTLE)
    copied = Signature(1, 0, int(WALL * 1e9), 7)
    assert not settling.seen("a", copied, wall_s=WALL, monotonic_s=0.0)


def test_another_signature_starts_anew() -> None:
    settling = Settling(SETTLE)
    settling.seen("a", signature(WALL), wall_s=WALL, monotonic_s=0.0)
    settling.seen("a", signature(WALL + 1.5, 2), wall_s=WALL + 1.5, monotonic_s=1.5)
    assert list(settling.due(3.0)) == []
    assert list(settling.due(3.6)) == [("a", signature(WALL + 1.5, 2))]


def test_a_file_from_the_future_is_settled_once_seen_the_same_for_the_whole_time() -> None:
    settling = Settling(SETTLE)
    future = signature(WALL + 3600)
    assert not settling.seen("a", future, wall_s=WALL, monotonic_s=0.0)
    assert not settling.seen("a", future, wall_s=WALL + 1, monotonic_s=1.0)
    assert settling.seen("a", future, wall_s=WALL + 2, monotonic_s=2.0)


def test_a_jump_of_the_wall_clock_neither_hurries_nor_stalls() -> None:
    """Fault 40."""
    settling = Settling(SETTLE)
    fresh = signature(WALL)
    settling.seen("a", fresh, wall_s=WALL, monotonic_s=0.0)
    assert not settling.seen("a", fresh, wall_s=WALL + 3600, monotonic_s=0.1)
    assert settling.seen("a", fresh, wall_s=WALL - 3600, monotonic_s=2.1)


def test_a_tick_of_the_clock_is_always_waited_for() -> None:
    settling = Settling(0.0)
    assert not settling.seen("a", signature(WALL), wall_s=WALL, monotonic_s=0.0)
    assert settling.next_due() == SHORTEST_SETTLE_SECONDS


def test_a_held_file_waits_whatever_its_times_say() -> None:
    settling = Settling(SETTLE)
    old = signature(WALL - 100)
    settling.hold("a", old, 5.0)
    assert not settling.seen("a", old, wall_s=WALL, monotonic_s=4.0)
    assert settling.seen("a", old, wall_s=WALL, monotonic_s=5.0)
    settling.hold("a", old, 5.0)
    settling.forget("a")
    assert list(settling.due(6.0)) == []


def test_a_file_that_never_stops_changing_does_not_grow_the_memory() -> None:
    settling = Settling(SETTLE)
    for step in range(20_000):
        now_s = step / 100
        settling.seen("a", signature(WALL + now_s, step), wall_s=WALL + now_s, monotonic_s=now_s)
    assert len(settling) == 1
    assert len(settling._heap) < 2_000  # what only this test is about


sightings = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.floats(-5, 5), st.floats(0, 3)), min_size=1, max_size=40
)


@given(sightings=sightings)
def test_nothing_is_settled_before_its_time_and_everything_is_in_the_end(
    sightings: list[tuple[str, int, float, float]],
) -> None:
    """P2: whatever the file's times and the order, a new signature is at least the settle time old."""
    settling, now_s = Settling(SETTLE), 0.0
    first_seen: dict[str, tuple[Signature, float]] = {}
    waiting: set[str] = set()

    def check(path: str, found: Signature) -> None:
        known, since_s = first_seen[path]
        age_s = WALL + now_s - found.mtime_ns / 1e9
        assert known == found
        assert now_s - since_s >= SETTLE - 0.001 or age_s >= SETTLE - 0.001
        waiting.discard(path)

    for path, size, offset_s, step_s in sightings:
        now_s += step_s
        for due, found in settling.due(now_s):
            check(due, found)
        seen = signature(round(WALL + offset_s, 1), size)
        if path not in waiting or first_seen[path][0] != seen:
            first_seen[path] = (seen, now_s)
            waiting.add(path)
        if settling.seen(path, seen, wall_s=WALL + now_s, monotonic_s=now_s):
            check(path, seen)
    now_s += SETTLE
    for due, found in settling.due(now_s):
        check(due, found)
    assert waiting == set()
    assert len(settling) == 0
