"""A PostgreSQL table in snapshots: while others write to it, its server crashes, and nobody tells of changes."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lakefs
import pyarrow.parquet as pq
import pytest

from tests.support.comparing import Reader
from tests.support.daemon import Dataset, until
from tests.support.databases import DATABASE, PASSWORD, PASSWORD_IN_URL, USER, PostgresServer, own_postgres, postgres
from tests.support.table_writers import (
    MARKER,
    Call,
    Caller,
    Cut,
    History,
    NotOneMomentError,
    Row,
    TableWriter,
    Transaction,
    assert_one_moment,
    assert_together,
    make_table,
    rows_of,
    terminate_listeners,
    working,
)
from tests.tables.conftest import table

__all__ = ["own_postgres", "postgres", "table"]

WRITERS, CALLERS = 8, 3
WRITE_S = 15.0
CRASHES, COMMITS_BETWEEN = 4, 60
SECRETS = (PASSWORD, PASSWORD_IN_URL, "p@ss", "p%40ss")
POLL_S = 60.0  # where notifications tell of changes
SOON_S = 20.0  # well under POLL_S, for what takes about a second on a quiet machine


@pytest.fixture
def configure(dataset: Dataset, tmp_path: Path) -> Iterator[Callable[..., Dataset]]:
    """Configure the table "labels", with its url in a file of its own; no daemon's log may hold the password."""

    def with_table(url: str, *, snapshot: Mapping[str, Any] | None = None, **more: Any) -> Dataset:
        secret = tmp_path / "labels-url"
        secret.touch(mode=0o600)
        secret.write_text(url)
        values = {"name": "labels", "url_file": str(secret), "key": "id", "poll_seconds": 0.2}
        dataset.configure(tables=[values | more], snapshot=dict(snapshot or {}))
        return dataset

    yield with_table
    dataset.close()
    assert_no_password(*(daemon.log() for daemon in dataset.daemons))


def assert_no_password(*shown: str) -> None:
    for text in shown:
        assert not [secret for secret in SECRETS if secret in text]


def published(objects: Mapping[str, bytes]) -> list[Row]:
    """The table's rows in a snapshot, in the order of its parts' names, read with pyarrow alone."""
    parts = [objects[key] for key in sorted(objects) if key.startswith("tables/labels/part-")]
    columns = [pq.read_table(io.BytesIO(part)).to_pydict().values() for part in parts]
    return [Row(*row) for values in columns for row in zip(*values, strict=True)]


def check_all(
    reader: Reader, repository: lakefs.Repository, callers: Sequence[Caller], histories: Sequence[History]
) -> list[Cut]:
    """Hold every snapshot there is against the record, whoever made it.

    Fails unless each is the table at one moment, at one during the call if it answers one that left nothing out, and
    never at an earlier one than the snapshot before.
    """
    tags = sorted((tag.id for tag in repository.tags()), key=lambda tag: int(tag.rpartition("-")[2]))
    cuts = {tag: assert_one_moment(published(reader.objects(tag)), histories) for tag in tags}
    for call in (call for caller in callers for call in caller.calls):
        since = {} if call.answer["left_out"] else {"called_at": call.called_at}
        assert_together(cuts[call.answer["tag"]].numbers, histories, answered_at=call.answered_at, **since)
    for before, after in itertools.pairwise(cuts.values()):
        assert all(was <= now for was, now in zip(before.numbers, after.numbers, strict=True)), "it went back"
    return [*cuts.values()]


def whole_answers(calls: Sequence[Call]) -> list[dict[str, Any]]:
    return [call.answer for call in calls if not call.answer["left_out"]]


def show(**figures: float) -> None:
    """Print what a test has compared; pytest shows it with -rP, or when the test fails."""
    print(" ".join(f"{name}={round(figure, 2)}" for name, figure in figures.items()))  # noqa: T201


def show_work(writers: Sequence[TableWriter], callers: Sequence[Caller], cuts: Sequence[Cut]) -> None:
    show(
        transactions=sum(writer.committed for writer in writers),
        held_open=sum(writer.held_open for writer in writers),
        rolled_back=sum(writer.rolled_back for writer in writers),
        unsure=sum(writer.unsure for writer in writers),
        calls=sum(len(caller.calls) for caller in callers),
        calls_with_the_table_left_out=sum(bool(call.answer["left_out"]) for each in callers for call in each.calls),
        snapshots=len(cuts),
        rows_compared=sum(cut.rows for cut in cuts),
    )


@pytest.mark.slow
@pytest.mark.acceptance
@pytest.mark.lakefs
def test_every_snapshot_is_the_table_at_one_moment_while_eight_write(
    postgres: PostgresServer,
    table: str,
    configure: Callable[..., Dataset],
    reader: Reader,
    versions: lakefs.Repository,
    rng: random.Random,
) -> None:
    """P1, P2: whoever takes them, people or the daemon by itself, which is started anew half-way.

    First it looks often and uploads in the smallest steps, so that a version has long been followed by others when it
    is complete. Then only calls make it look, so that each gets what its own look has found, or another call's.
    """
    histories = make_table(postgres, table, WRITERS)
    writers: list[TableWriter] = []
    callers: list[Caller] = []
    for poll_s, batch_objects in ((0.2, 1), (POLL_S, 1000)):
        dataset = configure(postgres.url, snapshot={"max_wait_seconds": 1}, table=table, poll_seconds=poll_s)
        dataset.configure(upload={"batch_objects": batch_objects})
        daemon = dataset.start()
        writing = [TableWriter(postgres, table, history, rng.getrandbits(32)) for history in histories]
        calling = [Caller(dataset.snapshot, rng.getrandbits(32)) for _ in range(CALLERS)]
        ends_at = time.monotonic() + WRITE_S / 2
        with working([*writing, *calling]):
            until(lambda: time.monotonic() > ends_at, "the end of writing")  # noqa: B023
        writers += writing
        callers += calling
        last = reader.objects(dataset.snapshot()["tag"])
        assert published(last) == rows_of(postgres, table)
        daemon.stop()

    assert sum(key.startswith("tables/labels/part-") for key in last) >= WRITERS, "in one part nothing can be torn"
    calls = [call for caller in callers for call in caller.calls]
    assert len(whole_answers(calls)) == len(calls)
    cuts = check_all(reader, versions, callers, histories)
    show_work(writers, callers, cuts)
    assert len(cuts) > 5, "too few snapshots: they proved nothing"
    assert sum(writer.committed for writer in writers) > 20 * WRITERS
    assert all(sum(getattr(writer, what) for writer in writers) > 0 for what in ("held_open", "rolled_back"))


@pytest.mark.slow
@pytest.mark.acceptance
@pytest.mark.lakefs
def test_a_server_that_crashes_again_and_again_tears_and_loses_nothing(
    own_postgres: PostgresServer,
    table: str,
    configure: Callable[..., Dataset],
    reader: Reader,
    versions: lakefs.Repository,
    rng: random.Random,
) -> None:
    """P2, P5, P8: no snapshot is empty or torn, the outage is said, and nobody needs to help."""
    histories = make_table(own_postgres, table, WRITERS)
    dataset = configure(own_postgres.url, snapshot={"max_wait_seconds": 1}, table=table)
    daemon = dataset.start()
    dataset.snapshot()
    writers = [TableWriter(own_postgres, table, each, rng.getrandbits(32), comes_back=True) for each in histories]
    caller = Caller(lambda: dataset.snapshot(timeout_s=0.5), rng.getrandbits(32))
    with working([*writers, caller]):
        for number in range(CRASHES):
            enough = sum(writer.committed for writer in writers) + COMMITS_BETWEEN
            until(lambda: sum(writer.committed for writer in writers) > enough, "the writers are back")  # noqa: B023
            known = len(caller.calls) + 1  # one may be under way since the server was away
            until(lambda: whole_answers(caller.calls[known:]), "a call gets the table again")  # noqa: B023
            own_postgres.stop(immediate=True)
            if number % 2:
                away = {"labels": {"source-unavailable": 1}}
                dataset.status_until(lambda status: status["not_synced"] == away, "the outage is noticed")  # noqa: B023
                until(lambda: caller.calls[-1].answer["left_out"], "a call leaves the table out")
            own_postgres.start()
        dataset.status_until(lambda status: not status["not_synced"], "the table is read again, with nobody's help")

    answer = dataset.snapshot()
    assert daemon.exit_code is None
    assert answer["left_out"] == []
    assert published(reader.objects(answer["tag"])) == rows_of(own_postgres, table)
    answers = [call.answer for call in caller.calls]
    assert {left["path"] for answer in answers for left in answer["left_out"]} <= {"labels"}
    assert not any(answer["held"] for answer in answers)
    assert_no_password(json.dumps(answers), json.dumps(dataset.status()))
    cuts = check_all(reader, versions, [caller], histories)
    show_work(writers, [caller], cuts)
    assert len(cuts) > CRASHES, "too few snapshots: they proved nothing"
    assert_one_moment(rows_of(own_postgres, table), histories)


class Changes:
    """One row more with each call, and the wait until the newest snapshot holds it."""

    def __init__(self, server: PostgresServer, table: str, reader: Reader) -> None:
        self._server, self._table, self._reader = server, table, reader
        self._next = 1
        self.slowest_s = 0.0  # of the waits
        server.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY, number bigint, label text)")
        self.make()

    def make(self) -> None:
        self._server.execute(f"INSERT INTO {self._table} VALUES ({self._next}, 0, 'a')")
        self._next += 1

    def are_found(self, within_s: float) -> None:
        """The published branch gets them; nobody calls for a snapshot."""
        began_at = time.monotonic()
        expected = rows_of(self._server, self._table)
        what = "the newest snapshot holds the change"
        until(lambda: published(self._reader.objects("main")) == expected, what, timeout_s=within_s)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_at)


@pytest.fixture
def changes(postgres: PostgresServer, table: str, reader: Reader) -> Changes:
    return Changes(postgres, table, reader)


def listener_is_killed(server: PostgresServer) -> None:
    until(lambda: terminate_listeners(server), "somebody listens")


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_triggers_tell_of_each_change_though_listeners_are_killed(
    postgres: PostgresServer,
    table: str,
    configure: Callable[..., Dataset],
    changes: Changes,
    rng: random.Random,
) -> None:
    """P1: also of what was committed while nobody listened, and all long before the next poll."""
    dataset = configure(
        postgres.url, snapshot={"quiet_seconds": 0.1}, table=table, poll_seconds=POLL_S, channel=f"{table}_told"
    )
    applied = dataset.command("table triggers labels", "--apply")
    assert applied.returncode == 0, applied.stderr
    assert_no_password(applied.stdout, applied.stderr)
    dataset.start()
    dataset.snapshot()
    for _ in range(4):
        changes.make()
        changes.are_found(SOON_S)

    for _ in range(6):
        steps = [lambda: listener_is_killed(postgres), lambda: listener_is_killed(postgres), changes.make, changes.make]
        rng.shuffle(steps)
        for step in steps:
            step()
        changes.are_found(SOON_S)
    show(slowest_s=changes.slowest_s)


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_a_channel_on_which_nothing_arrives_costs_no_more_than_the_poll(
    postgres: PostgresServer, table: str, configure: Callable[..., Dataset], changes: Changes
) -> None:
    """P1: a notification is a hint; who never gets one polls."""
    snapshot = {"quiet_seconds": 0.1}
    dataset = configure(postgres.url, snapshot=snapshot, table=table, poll_seconds=1, channel=f"{table}_silent")
    dataset.start()
    dataset.snapshot()
    for number in range(4):
        if number == 2:
            listener_is_killed(postgres)
        changes.make()
        changes.are_found(SOON_S)
    show(slowest_s=changes.slowest_s)


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_the_printed_triggers_work_as_they_are(
    postgres: PostgresServer, table: str, configure: Callable[..., Dataset], changes: Changes
) -> None:
    """Piped into psql, twice: the second time does no harm. The table's name says its schema, the channel is odd."""
    dataset = configure(
        postgres.url,
        snapshot={"quiet_seconds": 0.1},
        table=f"public.{table}",
        poll_seconds=POLL_S,
        channel=f'{table}\'s "own"',
    )
    printed = dataset.command("table triggers labels")
    assert printed.returncode == 0, printed.stderr
    assert_no_password(printed.stdout, printed.stderr)
    psql = shutil.which("psql", path=f"{os.environ.get('PATH', '')}:{postgres.binaries}")
    assert psql, "psql comes with every PostgreSQL"
    arguments = [psql, "-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", USER, DATABASE]
    for _ in range(2):
        subprocess.run(arguments, input=printed.stdout, env={"PGPASSWORD": PASSWORD}, text=True, check=True)

    dataset.start()
    dataset.snapshot()
    for _ in range(3):
        changes.make()
        changes.are_found(SOON_S)


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_triggers_for_what_has_none_are_a_wrong_call(configure: Callable[..., Dataset]) -> None:
    """P8: nothing is printed that could be piped into a database, and no server is asked."""
    dataset = configure(f"postgresql://{USER}:{PASSWORD_IN_URL}@127.0.0.1:1/{DATABASE}")
    url_file = dataset.sections["tables"][0]["url_file"]
    tables = [
        {"name": "text", "csv": "labels.csv"},
        {"name": "file", "url": "sqlite:///labels.db", "table": "labels", "channel": "told"},
        {"name": "query", "url_file": url_file, "query": "SELECT 1 AS id", "channel": "told"},
        {"name": "quiet", "url_file": url_file, "table": "labels"},
    ]
    dataset.configure(tables=[{"key": "id", **values} for values in tables])
    for name, options, said in (
        ("text", [], "the table text is not one of PostgreSQL"),
        ("text", ["--apply"], "the table text is not one of PostgreSQL"),
        ("file", [], "the table file is not one of PostgreSQL"),
        ("query", [], "the table query has no table"),
        ("quiet", ["--apply"], "the table quiet has no channel"),
        ("other", [], "there are: file, query, quiet, text"),
    ):
        done = dataset.command("table triggers", name, *options)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert done.stdout == ""
        assert_no_password(done.stderr)


@pytest.mark.acceptance
@pytest.mark.lakefs
def test_triggers_that_cannot_be_applied_say_why_and_no_password(
    postgres: PostgresServer, table: str, configure: Callable[..., Dataset]
) -> None:
    """P8."""
    away = f"postgresql://{USER}:{PASSWORD_IN_URL}@127.0.0.1:1/{DATABASE}"
    refused = postgres.url.replace(PASSWORD_IN_URL, PASSWORD_IN_URL + "x")
    for url, said in ((postgres.url, "no such table"), (away, "does not answer"), (refused, "does not accept")):
        dataset = configure(url, table=table, channel="told")
        done = dataset.command("table triggers labels", "--apply")
        assert done.returncode not in (0, 2)
        assert said in done.stderr
        assert_no_password(done.stdout, done.stderr)


# What the check finds: two writers of ranges 0… and 100…; times are seconds of one clock.

A, B = 0, 100


def row(key: int, number: int) -> Row:
    return Row(key, number, f"{number} wrote {key}")


@pytest.fixture
def two_writers() -> list[History]:
    """A/1 is committed before B/1 begins, and B/2 while A/2 is; A/3 has no answer."""
    made = {A: {1: row(1, 0), 2: row(2, 0)}, B: {101: row(101, 0), 102: row(102, 0)}}
    first, second = (History(key, 50, [Transaction(dict(rows), 0.0, 1.0)]) for key, rows in made.items())
    first.transactions += [
        Transaction({1: row(1, 1), 2: None, 3: row(3, 1)}, 10.0, 11.0),
        Transaction({3: None, 4: row(4, 2)}, 30.0, 33.0),
        Transaction({4: row(4, 3)}, 50.0),
    ]
    second.transactions += [
        Transaction({101: None, 103: row(103, 1)}, 20.0, 21.0),
        Transaction({103: row(103, 2)}, 31.0, 32.0),
    ]
    return [first, second]


def snapshot_after(histories: Sequence[History], first: int, second: int) -> list[Row]:
    return [
        *histories[0].rows_after(first).values(),
        *histories[1].rows_after(second).values(),
    ]


@pytest.mark.parametrize("numbers", [(0, 0), (1, 0), (1, 1), (2, 1), (1, 2), (2, 2), (3, 2)])
def test_the_check_accepts_every_moment_there_was(two_writers: list[History], numbers: tuple[int, int]) -> None:
    rows = snapshot_after(two_writers, *numbers)
    assert assert_one_moment(rows, two_writers) == (numbers, len(rows))


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0, 1), "COMMIT of 1/1, which is in, began 9.0"),  # it began after 0/1 had returned
        ((0, 2), "COMMIT of 1/2"),
        ((2, 0), "COMMIT of 0/2"),
        ((3, 1), "COMMIT of 0/3"),
    ],
)
def test_the_check_finds_transactions_torn_apart(
    two_writers: list[History], numbers: tuple[int, int], said: str
) -> None:
    with pytest.raises(NotOneMomentError, match=said):
        assert_one_moment(snapshot_after(two_writers, *numbers), two_writers)


def test_the_check_finds_what_came_before_the_call_and_after_the_answer(two_writers: list[History]) -> None:
    rows = snapshot_after(two_writers, 1, 1)
    assert_one_moment(rows, two_writers, called_at=31.5, answered_at=40.0)  # before 1/2 had returned
    with pytest.raises(NotOneMomentError, match="the call began"):
        assert_one_moment(rows, two_writers, called_at=32.5, answered_at=40.0)
    with pytest.raises(NotOneMomentError, match="the answer had returned"):
        assert_one_moment(rows, two_writers, called_at=5.0, answered_at=19.0)


def test_the_check_finds_every_row_that_is_missing_extra_or_older(two_writers: list[History]) -> None:
    whole = snapshot_after(two_writers, 2, 2)
    assert_one_moment(whole, two_writers)
    ever = {
        row
        for each in two_writers
        for number in range(len(each.transactions))
        for row in each.rows_after(number).values()
    }
    doctored = [[row for row in whole if row != gone] for gone in whole]
    doctored += [[*whole, row] for row in ever]  # resurrected, or twice
    doctored += [[*(row for row in whole if row.id != other.id), other] for other in ever - set(whole)]
    doctored += [[*whole, Row(1_000, 0, "nobody's")], [*whole, Row(A + 20, 9, "rolled back")], []]
    for rows in doctored:
        with pytest.raises(NotOneMomentError):
            assert_one_moment(rows, two_writers)


def test_the_check_finds_half_of_a_transaction(two_writers: list[History]) -> None:
    """The marker is the new one and a row is not, and the other way round."""
    before, after = (two_writers[0].rows_after(number) for number in (1, 2))
    others = two_writers[1].rows_after(2).values()
    for rows in ({**before, A: after[A]}, {**after, A: before[A]}):
        with pytest.raises(NotOneMomentError, match="after transaction"):
            assert_one_moment([*rows.values(), *others], two_writers)
    assert before[A].label == MARKER
