"""One bad answer, or three in a row, to each request that changes something: nothing is lost, nothing made twice."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Outcome
from tests.support.daemon import Dataset
from tests.support.fault_proxy import Fault, FaultProxy, Rule
from tests.support.figures import Figures

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

FILES = 12
OPERATIONS = ("put", "delete_objects", "commit", "merge", "tag")
GROUPS = {
    "lost": ((Fault("drop"), 1), (Fault("drop"), 3), (Fault("reset"), 1)),
    "busy": tuple(
        (fault, 1)
        for fault in (
            Fault("refuse", status=500),
            Fault("refuse", status=503, retry_after_s=1),
            Fault("refuse", status=429),
        )
    ),
    "mangled": ((Fault("truncate"), 1), (Fault("duplicate"), 1)),
}
BUSY = Fault("refuse", status=503, retry_after_s=1)


def change(dataset: Dataset, turn: int) -> None:
    """Add, replace and delete."""
    for number in (0, 1, 2):
        (dataset.root / f"{number:02}.png").write_bytes(b"changed %d in %d" % (number, turn))
    for number in (turn, turn + 1):
        (dataset.root / f"{FILES + number:02}.png").write_bytes(b"new %d" % number)
    for number in (0, 1):
        (dataset.root / f"{FILES - 1 - number:02}.png").unlink(missing_ok=True)
    (dataset.root / f"{FILES + turn - 1:02}.png").unlink(missing_ok=True)


@pytest.fixture
def running(behind: Dataset, outcome: Outcome) -> Dataset:
    """A daemon whose first snapshot is made."""
    for number in range(FILES):
        (behind.root / f"{number:02}.png").write_bytes(b"first %d" % number)
    behind.start()
    behind.snapshot()
    outcome.tags()
    return behind


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_bad_answer_leaves_no_trace(
    running: Dataset, proxy: FaultProxy, outcome: Outcome, operation: str, group: str, figures: Figures
) -> None:
    """P1, P4, P6: what changed is in one snapshot byte for byte, with one commit, one merge and one tag.

    Where syncd learns otherwise that a request was applied, and sends none again, the next snapshot's is lost too.
    """
    tag, turn = outcome.wait_until_published(timeout_s=10), 0
    for fault, times in GROUPS[group]:
        print(f"{times} times {fault}")  # noqa: T201 - shown when the test fails
        rule = Rule([fault], operation, times=times)
        proxy.misbehave(rule)
        most_turns = turn + times
        while rule.used < times and turn < most_turns:
            turn += 1
            change(running, turn)
            tag = outcome.wait_until_published(timeout_s=20, than=tag)
        assert rule.used == times
        outcome.assert_exact(tag)
    assert running.snapshot()["tag"] == tag, "there was something left to publish"
    bad = sum(times for _, times in GROUPS[group])
    figures(f"bad answers to {operation}: {group}", bad, snapshots=len(outcome.tags()), different=0, twice=0)


def test_a_busy_server_is_left_alone_as_long_as_it_asks(running: Dataset, proxy: FaultProxy, outcome: Outcome) -> None:
    """P4: after ``Retry-After: 1`` the same object is not offered again within the second."""
    tag = outcome.wait_until_published(timeout_s=10)
    proxy.misbehave(Rule([BUSY], "put", times=1))
    (running.root / "00.png").write_bytes(b"changed")
    outcome.assert_exact(outcome.wait_until_published(timeout_s=20, than=tag))
    refused, again = [one.at for one in proxy.attempts if one.target.endswith("/00.png")][-2:]
    assert again - refused >= 1, f"offered again after {again - refused:.3f} s"


def test_a_server_busy_for_two_seconds_leaves_nothing_out(
    running: Dataset, proxy: FaultProxy, outcome: Outcome
) -> None:
    """P1, P8: uploads that meet 503 for two seconds are waited for, not called refused and left out."""
    outcome.wait_until_published(timeout_s=10)
    busy_until = time.monotonic() + 2
    proxy.misbehave(Rule([BUSY], "put", where=lambda _: time.monotonic() < busy_until))
    change(running, 1)
    answer = running.snapshot(timeout_s=20)
    assert answer["left_out"] == []
    outcome.assert_exact(answer["tag"])


def test_what_was_stored_all_the_same_is_not_called_refused(
    running: Dataset, proxy: FaultProxy, outcome: Outcome
) -> None:
    """P8: two bad answers and a lost one to the same object; it is in the snapshot, and no problem stays.

    The HTTP client sends a PUT again by itself if a kept connection is reset, so two replies are lost for one.
    """
    tag = outcome.wait_until_published(timeout_s=10)
    lost = Rule([Fault("drop")], "put", times=2)
    proxy.misbehave(Rule([Fault("refuse", status=503)], "put", times=2), lost)
    (running.root / "00.png").write_bytes(b"changed")
    tag = outcome.wait_until_published(timeout_s=20, than=tag)
    assert lost.used == 2
    outcome.assert_exact(tag)


def test_a_refusal_ends_with_the_next_content(running: Dataset, proxy: FaultProxy, outcome: Outcome) -> None:
    """P8: an object that is called refused, and whose file then changes and is uploaded, is not called so for ever."""
    tag = outcome.wait_until_published(timeout_s=10)
    proxy.misbehave(Rule([Fault("refuse", status=413)], "put"))
    (running.root / "00.png").write_bytes(b"too large")
    running.status_until(lambda seen: seen["problems"], "the refusal is named")
    proxy.misbehave()
    (running.root / "00.png").write_bytes(b"smaller")
    outcome.assert_exact(outcome.wait_until_published(timeout_s=20, than=tag))
