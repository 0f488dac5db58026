"""From an event to its receivers: the bounded queue, the tries, and that no receiver is in another's way."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.notify.backlog import Backlog
from syncd.notify.delivery import Patience, UndeliveredError, pause_s
from syncd.notify.events import Event, Kind, Sight
from syncd.notify.lane import Lane
from syncd.notify.notice import Dataset, Notice
from syncd.notify.post import FINISH_S, Post, Receivers

QUICK = Patience(first_s=0.001, most_s=0.01, longest_asked_s=0.05)


def notice(number: int, kind: Kind = Kind.SNAPSHOT) -> Notice:
    return Notice(id=str(number), kind=kind, body=b"{}", made_s=time.monotonic())


def event(kind: Kind, of: Kind | None = None) -> Event:
    sight = Sight(
        at=datetime(2026, 11, 27, tzinfo=UTC),
        moment_s=time.monotonic(),
        state="idle",
        since=None,
        why="",
        next_step="",
        failing=False,
        held_by=frozenset(),
        in_step=True,
    )
    snapshot = {"tag": "t", "added": 0, "changed": 0, "deleted": 0} if kind is Kind.SNAPSHOT else None
    return Event(kind=kind, of=of, sight=sight, snapshot=snapshot)


class Recording:
    """A receiver in this process; fails as often as it is told, or hangs."""

    def __init__(self, *failures: UndeliveredError, hangs: bool = False) -> None:
        self.sent: list[Notice] = []
        self.tries = 0
        self._failures, self._hangs = list(failures), hangs

    async def send(self, notice: Notice) -> None:
        self.tries += 1
        if self._hangs:
            await asyncio.get_running_loop().create_future()
        if self._failures:
            raise self._failures.pop(0)
        self.sent.append(notice)


async def sent_through(receiver: Recording, *notices: Notice, patience: Patience = QUICK) -> Counter[str]:
    tally = Counter[str]()
    lane = Lane("webhook", tally, patience)
    lane.sender = receiver
    running = asyncio.create_task(lane.run())
    for one in notices:
        lane.put(one)
    async with asyncio.timeout(10):
        while sum(tally.values()) < len(notices):
            await asyncio.sleep(0.001)
    running.cancel()
    return tally


def again(after_s: float | None = None) -> UndeliveredError:
    return UndeliveredError("the answer was 503", again=True, after_s=after_s)


async def taken(backlog: Backlog) -> list[str]:
    return [(await backlog.take()).id for _ in range(len(backlog))]


async def test_a_full_queue_gives_up_its_oldest_snapshots_and_no_hold_for_one() -> None:
    backlog = Backlog(most=4)
    for number, kind in enumerate([Kind.HOLD, Kind.SNAPSHOT, Kind.SNAPSHOT, Kind.FAILURE]):
        assert backlog.put(notice(number, kind)) is None
    gone = [backlog.put(notice(4)), backlog.put(notice(5, Kind.HOLD)), backlog.put(notice(6, Kind.HOLD))]
    assert [one and one.id for one in gone] == ["1", "2", "4"]
    assert backlog.put(notice(7)) is not None, "a snapshot pushed out a hold"
    gone_at_last = backlog.put(notice(8, Kind.RECOVERY))
    assert gone_at_last is not None
    assert gone_at_last.id == "0"
    assert await taken(backlog) == ["3", "5", "6", "8"]


@given(kinds=st.lists(st.sampled_from(list(Kind)), max_size=60), most=st.integers(1, 10))
def test_the_queue_is_bounded_in_order_and_loses_others_only_for_want_of_snapshots(
    kinds: list[Kind], most: int
) -> None:
    async def check() -> None:
        backlog, dropped = Backlog(most=most), []
        for number, kind in enumerate(kinds):
            if (gone := backlog.put(notice(number, kind))) is not None:
                dropped.append(int(gone.id))
        left = [int(one) for one in await taken(backlog)]
        assert len(left) <= most
        assert left == sorted(left)
        assert sorted([*left, *dropped]) == list(range(len(kinds)))
        if any(kinds[number] is not Kind.SNAPSHOT for number in dropped):
            assert sum(kind is not Kind.SNAPSHOT for kind in kinds) > most

    asyncio.run(check())


@given(
    tries=st.integers(1, 50),
    age_s=st.floats(0, 1000),
    asked_s=st.one_of(st.none(), st.floats(0, 1e9)),
    jitter=st.floats(0, 0.999),
)
def test_a_pause_is_bounded_and_so_is_the_number_of_tries(
    tries: int, age_s: float, asked_s: float | None, jitter: float
) -> None:
    patience = Patience()
    found = pause_s(patience, tries=tries, age_s=age_s, asked_s=asked_s, jitter=jitter)
    if found is None:
        assert tries >= patience.tries or age_s + max(patience.most_s, patience.longest_asked_s) > patience.all_s
    else:
        assert found >= min(asked_s or 0, patience.longest_asked_s)
        assert 0.5 * patience.first_s <= found <= patience.longest_asked_s
        assert age_s + found <= patience.all_s


def test_pauses_grow() -> None:
    found = [pause_s(Patience(), tries=tries, age_s=0, asked_s=None, jitter=0.0) for tries in range(1, 10)]
    assert found == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_what_failed_is_sent_again_before_what_came_later() -> None:
    receiver = Recording(again(), again())
    assert await sent_through(receiver, notice(1), notice(2)) == {"sent": 2}
    assert ([one.id for one in receiver.sent], receiver.tries) == (["1", "2"], 4)


async def test_what_will_not_work_is_not_tried_again_and_the_next_has_its_chance() -> None:
    receiver = Recording(UndeliveredError("the answer was 404", again=False))
    assert await sent_through(receiver, notice(1), notice(2)) == {"failed": 1, "sent": 1}
    assert receiver.tries == 2


async def test_a_receiver_that_never_works_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    receiver = Recording(*itertools.repeat(again(), 100))
    patience = Patience(first_s=0.001, most_s=0.001, tries=7)
    assert await sent_through(receiver, notice(1), patience=patience) == {"failed": 1}
    assert receiver.tries == 7
    said = capsys.readouterr()
    assert "notification_failed" in said.out + said.err


async def test_it_waits_as_long_as_the_receiver_asks_but_not_for_ever() -> None:
    began = time.monotonic()
    await sent_through(Recording(again(after_s=3600)), notice(1))
    assert 0.05 <= time.monotonic() - began < 5


async def test_each_receiver_gets_everything_while_another_hangs() -> None:
    """And what a receiver did not want to hear of, nor its end, does not come."""
    hangs, works, tally = Recording(hangs=True), Recording(), Counter[str]()
    numbers = itertools.count()
    post = Post(Dataset(repository="r", branch="b", source="/s"), tally, lambda: str(next(numbers)), QUICK)
    post.start()
    post.follow(Receivers(on=frozenset({Kind.SNAPSHOT, Kind.RECOVERY, Kind.HOLD}), webhook=hangs, command=works))
    post.tell([event(Kind.FAILURE), event(Kind.RECOVERY, Kind.FAILURE), event(Kind.RECOVERY, Kind.HOLD)])
    for _ in range(150):
        post.tell([event(Kind.SNAPSHOT)])
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while len(works.sent) < 151:
            await asyncio.sleep(0.001)
    assert [one.id for one in works.sent] == [str(number) for number in range(151)]
    assert tally["dropped"] == 151 - 1 - 100, "one under way, a hundred waiting"
    began = time.monotonic()
    await post.finish()
    assert time.monotonic() - began < FINISH_S + 1
    assert (tally["sent"], tally["dropped"]) == (151, 151)


async def test_the_end_waits_for_nobody_who_is_done_and_tries_once_more_what_failed() -> None:
    receiver, tally = Recording(again()), Counter[str]()
    post = Post(Dataset(repository="r", branch="b", source="/s"), tally, lambda: "1", Patience(first_s=300, most_s=300))
    post.start()
    post.follow(Receivers(webhook=receiver))
    post.tell([event(Kind.HOLD)])
    async with asyncio.timeout(5):
        while not receiver.tries:
            await asyncio.sleep(0.001)
    began = time.monotonic()
    await post.finish()
    assert time.monotonic() - began < 1
    assert (receiver.tries, tally) == (2, {"sent": 1})


async def test_a_receiver_that_is_named_anew_gets_what_waits() -> None:
    former, latter, tally = Recording(*itertools.repeat(again(), 10_000)), Recording(), Counter[str]()
    post = Post(Dataset(repository="r", branch="b", source="/s"), tally, lambda: "1", QUICK)
    post.start()
    post.follow(Receivers(webhook=former))
    post.tell([event(Kind.HOLD)])
    async with asyncio.timeout(5):
        while not former.tries:
            await asyncio.sleep(0.001)
        post.follow(Receivers(webhook=latter))
        while not latter.sent:
            await asyncio.sleep(0.001)
    await post.finish()
    assert [one.id for one in latter.sent] == ["1"]
