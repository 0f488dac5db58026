"""One writer per staging branch (P9): two that would hold it, over one store and with one pretended clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncd.errors import JournalError, TransientStoreError
from syncd.ownership.lease import Lease, LeaseError, elapsed_s
from syncd.store.memory_lease import MemoryLease

LASTS_S = 60.0


class Place:
    """Claims, and those who make them."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.now_s = directory, 0.0
        self.claims: dict[int, dict[str, str]] = {}

    def lease(self, name: str) -> Lease:
        """Return the lease of a syncd with this state directory, as a new process."""
        state_dir = self.directory / name
        state_dir.mkdir(exist_ok=True)
        return Lease(
            MemoryLease(self.claims),
            branch="syncd-staging",
            source="main",
            state_dir=state_dir,
            lasts_s=LASTS_S,
            monotonic=lambda: self.now_s,
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_the_first_one_takes_it_and_the_second_is_told_who_has_it(place):
    first, second = place.lease("a"), place.lease("b")
    assert await first.acquire() is False
    await first.check()
    with pytest.raises(LeaseError, match=r"another syncd writes to the branch syncd-staging: process \d+ on .+, since"):
        await second.acquire()
    with pytest.raises(LeaseError):
        await second.check()
    await first.check()


async def test_one_that_is_stopped_lets_the_next_in_at_once(place):
    first, second = place.lease("a"), place.lease("b")
    await first.acquire()
    await first.release()
    assert await second.acquire() is False  # it never held it: what is on the branch is new to it anyway
    await second.release()
    assert await place.lease("a").acquire() is True  # the other one wrote to it meanwhile


async def test_one_that_is_started_again_is_the_same(place):
    """P4: after a kill nobody has to wait."""
    await place.lease("a").acquire()
    again = place.lease("a")
    assert await again.acquire() is False
    await again.check()


async def test_one_that_died_is_followed_once_it_was_silent_for_so_long(place):
    first, second = place.lease("a"), place.lease("b")
    await first.acquire()
    with pytest.raises(LeaseError):
        await second.acquire()
    place.now_s += LASTS_S - 1
    with pytest.raises(LeaseError):
        await second.acquire()
    place.now_s += 1
    await second.acquire()
    await second.check()


async def test_a_sign_of_life_begins_the_wait_anew(place):
    first, second = place.lease("a"), place.lease("b")
    await first.acquire()
    for _ in range(5):
        with pytest.raises(LeaseError):
            await second.acquire()
        place.now_s += LASTS_S * 0.6
        await first.check()  # its claim is older than it trusts: it asks, and shows that it lives


async def test_one_that_was_frozen_notices_before_it_writes(place):
    """As after SIGSTOP, a laptop's sleep, or a network that was away."""
    first, second = place.lease("a"), place.lease("b")
    await first.acquire()
    with pytest.raises(LeaseError):
        await second.acquire()
    place.now_s += LASTS_S
    await second.acquire()
    with pytest.raises(LeaseError, match="another syncd"):
        await first.check()
    with pytest.raises(LeaseError):
        await first.acquire()
    await first.release()  # it does not take it from the other
    await second.check()


def test_the_time_asleep_counts():
    """Another syncd may have taken the branch meanwhile; a clock that stood still would let this one write."""
    assert abs(elapsed_s() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1.0


async def test_of_many_that_follow_at_once_one_succeeds(place):
    await place.lease("dead").acquire()
    others = [place.lease(f"{number}") for number in range(8)]
    for other in others:
        with pytest.raises(LeaseError):
            await other.acquire()
    place.now_s += LASTS_S
    outcomes = await asyncio.gather(*(other.acquire() for other in others), return_exceptions=True)
    assert sum(outcome is False for outcome in outcomes) == 1
    assert all(isinstance(outcome, bool | LeaseError | TransientStoreError) for outcome in outcomes)


async def test_a_claim_that_someone_removed_is_noticed_and_taken_again(place):
    lease = place.lease("a")
    await lease.acquire()
    place.claims.clear()
    place.now_s += LASTS_S
    with pytest.raises(LeaseError, match="is gone"):
        await lease.check()
    assert await lease.acquire() is True  # who knows who held it meanwhile
    await lease.check()


async def test_a_copied_state_directory_does_not_make_two_of_one(place):
    first = place.lease("a")
    await first.acquire()
    copy = place.lease("a")
    await copy.acquire()
    place.now_s += LASTS_S
    await copy.check()
    with pytest.raises(LeaseError, match=r"copy of this state directory|another syncd"):
        await first.check()


async def test_old_claims_do_not_pile_up(place):
    for number in range(5):
        lease = place.lease(f"{number}")
        await lease.acquire()
        await lease.release()
    assert list(place.claims) == [5]


async def test_a_claim_whose_answer_was_lost_is_ones_own(place):
    """P4: it says nothing yet of who made it, but for its content."""
    lease = place.lease("a")
    store = lease._store
    claim = store.claim

    async def claim_and_lose_the_answer(generation: int, mine: str) -> bool:
        await claim(generation, mine)
        raise TransientStoreError("reset")

    store.claim = claim_and_lose_the_answer
    with pytest.raises(TransientStoreError):
        await lease.acquire()
    store.claim = claim
    assert await place.lease("a").acquire() is False  # also after a kill
    with pytest.raises(LeaseError):
        await place.lease("b").acquire()


async def test_a_state_directory_that_cannot_be_written_is_an_error_that_the_loop_gets_over(place):
    """P4: as a full disk; what came up as it was ended the daemon."""
    lease = place.lease("first")
    (place.directory / "first" / "lease.new").mkdir()
    with pytest.raises(JournalError, match=r"lease.json cannot be written"):
        await lease.acquire()
    (place.directory / "first" / "lease.new").rmdir()
    await lease.acquire()
