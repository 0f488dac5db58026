"""Threads that change a database's table and keep an exact record of it, and the check of a snapshot against that.

Each writer owns a range of keys, so that the history of every row is a plain sequence. The first key of the range is
its marker: a row that holds the number of the writer's last transaction and is updated in each. What a snapshot holds
of the marker says which state of the range it must hold, to the row.
"""

from __future__ import annotations

import bisect
import math
import random
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from syncd.sources.tables.base import Kind
from syncd.sources.tables.parts import cut

if TYPE_CHECKING:
    from tests.support.databases import PostgresServer

LONGEST_PAUSE_S = 0.1
LONGEST_HOLD_S = 2.0  # between the statements of a transaction, while the others commit
LONGEST_REST_S = 0.3  # between two calls
HELD_OPEN, ROLLED_BACK = 0.05, 0.15  # so many of all transactions
ROWS_AT_FIRST, ROWS_AT_MOST = 1_500, 2_000  # of each writer, without the marker
MARKER = "marker"
MOST_SHOWN = 8


class Row(NamedTuple):
    """One row of the table."""

    id: int
    number: int  # of the writer's transaction that wrote it
    label: str


@dataclass(slots=True)
class Transaction:
    """One transaction that was committed, or may have been."""

    changes: dict[int, Row | None]  # by key; None: deleted. Without the marker
    commit_began_at: float  # of time.monotonic, as all moments here
    committed_at: float | None = None  # it was certainly committed by then; None: nobody knows yet


@dataclass(slots=True)
class History:
    """Everything that became of one writer's range: transaction 0 made it, each of the others changed it."""

    first_key: int  # the marker's
    key_count: int
    transactions: list[Transaction] = field(default_factory=list)

    def __contains__(self, key: int) -> bool:
        return self.first_key <= key < self.first_key + self.key_count

    def rows_after(self, number: int) -> dict[int, Row]:
        """Return the range as transaction ``number`` left it, the marker included."""
        rows: dict[int, Row | None] = {}
        for transaction in self.transactions[: number + 1]:
            rows |= transaction.changes
        rows[self.first_key] = Row(self.first_key, number, MARKER)
        return {key: row for key, row in rows.items() if row is not None}


class NotOneMomentError(AssertionError):
    """A snapshot is not the table between two transactions, at any moment it may show."""


class Cut(NamedTuple):
    """What a snapshot was found to be."""

    numbers: tuple[int, ...]  # of each history's last transaction in it
    rows: int  # held against the record, one by one


def assert_one_moment(
    found: Iterable[Row], histories: Sequence[History], called_at: float = -math.inf, answered_at: float = math.inf
) -> Cut:
    """Fail unless the rows are the table as it was at one moment between the call and the answer.

    Raises:
        NotOneMomentError: A row is missing, extra or other than it was after the writer's last transaction that is in,
            or these last transactions do not go together.
    """
    starts = [history.first_key for history in histories]  # ascending
    ranges: list[dict[int, Row]] = [{} for _ in histories]
    for row in found:
        owner = bisect.bisect_right(starts, row.id) - 1
        if owner < 0 or row.id not in histories[owner]:
            raise NotOneMomentError(f"nobody owns the key of {row}")
        if row.id in ranges[owner]:
            raise NotOneMomentError(f"the key {row.id} is there twice")
        ranges[owner][row.id] = row
    numbers = tuple(
        _last_of(writer, rows, history) for writer, (rows, history) in enumerate(zip(ranges, histories, strict=True))
    )
    assert_together(numbers, histories, called_at, answered_at)
    return Cut(numbers, sum(map(len, ranges)))


def _last_of(writer: int, rows: dict[int, Row], history: History) -> int:
    """Return the number of the last transaction that is in a range, which holds exactly what that left."""
    marker = rows.get(history.first_key)
    if marker is None:
        raise NotOneMomentError(f"the marker of writer {writer} is missing")
    if not 0 <= marker.number < len(history.transactions):
        raise NotOneMomentError(f"writer {writer} never committed a transaction {marker.number}")
    expected = history.rows_after(marker.number)
    said = [
        f"{len(keys)} {what}: {[rows.get(key) or expected[key] for key in sorted(keys)[:MOST_SHOWN]]}"
        for what, keys in (
            ("missing", expected.keys() - rows.keys()),
            ("extra", rows.keys() - expected.keys()),
            ("other", {key for key in expected.keys() & rows.keys() if expected[key] != rows[key]}),
        )
        if keys
    ]
    if said:
        raise NotOneMomentError(
            f"after transaction {marker.number} of writer {writer} there are rows {'; '.join(said)}"
        )
    return marker.number


def assert_together(
    numbers: Sequence[int], histories: Sequence[History], called_at: float = -math.inf, answered_at: float = math.inf
) -> None:
    """Fail unless, at one moment between the call and the answer, these were the writers' last transactions.

    Each transaction took effect at one instant between the beginning of its COMMIT and the moment when that had
    returned. So there is such a moment exactly if every transaction that is in began to commit before every one that
    is not had returned.

    Raises:
        NotOneMomentError: There is none.
    """
    begun = [(called_at, "the call")]
    ended = [(answered_at, "the answer")]
    for writer, (number, history) in enumerate(zip(numbers, histories, strict=True)):
        last, following = history.transactions[number], history.transactions[number + 1 : number + 2]
        begun.append((last.commit_began_at, f"the COMMIT of {writer}/{number}, which is in,"))
        ended += [
            (each.committed_at, f"the COMMIT of {writer}/{number + 1}, which is not in,")
            for each in following
            if each.committed_at is not None
        ]
    (earliest, what_began), (latest, what_ended) = max(begun), min(ended)
    if earliest > latest:
        raise NotOneMomentError(f"{what_began} began {earliest - latest:.6f} s after {what_ended} had returned")


class Worker(threading.Thread):
    """Does its work until told to stop; what goes wrong in it is told to who stops it."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._told_to_stop = threading.Event()
        self._error: BaseException | None = None

    def tell_to_stop(self) -> None:
        """Let it finish what it is at."""
        self._told_to_stop.set()

    def stop(self) -> None:
        """Let it finish what it is at, and wait for that."""
        self.tell_to_stop()
        self.join()
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - told to the test by stop()
            self._error = error

    @abstractmethod
    def work(self) -> None:
        """Work until told to stop."""


@contextmanager
def working(workers: Sequence[Worker]) -> Iterator[None]:
    """Let them all work meanwhile."""
    with ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(worker.stop)
        for worker in workers:
            stack.callback(worker.tell_to_stop)  # comes first: all at once
        yield


class TableWriter(Worker):
    """Inserts, updates and deletes rows of its own in every transaction.

    Args:
        server: Where.
        table: Has the columns of ``Row``; see ``make_table``.
        history: Its range as it is; goes on to be written here.
        seed: Of what it does.
        comes_back: Whether it makes a new connection when it loses one; else that is an error.
    """

    def __init__(
        self, server: PostgresServer, table: str, history: History, seed: int, *, comes_back: bool = False
    ) -> None:
        super().__init__(f"writer of {history.first_key}")
        self.history = history
        self.rolled_back = self.held_open = self.unsure = 0  # transactions
        self._server, self._table, self._comes_back = server, table, comes_back
        self._rng = random.Random(seed)
        self._rows = history.rows_after(len(history.transactions) - 1)
        del self._rows[history.first_key]
        self._began_with = len(history.transactions)
        self._attempts = 0

    @property
    def committed(self) -> int:
        """How many transactions were committed by this writer."""
        return sum(each.committed_at is not None for each in self.history.transactions[self._began_with :])

    def work(self) -> None:
        """Write; come back after each loss of the connection, at least to learn what became of the last COMMIT."""
        while not self._told_to_stop.is_set() or self._is_unsure:
            try:
                self._write()
            except psycopg.OperationalError:
                if not self._comes_back:
                    raise
                threading.Event().wait(self._rng.random() * LONGEST_PAUSE_S)

    def _write(self) -> None:
        with self._server.connect() as connection:
            self._learn_what_became(connection)
            connection.autocommit = False
            while not self._told_to_stop.wait(self._rng.random() * LONGEST_PAUSE_S):
                self._transact(connection)

    @property
    def _is_unsure(self) -> bool:
        return self.history.transactions[-1].committed_at is None

    def _learn_what_became(self, connection: psycopg.Connection[Any]) -> None:
        """Read the marker: the last COMMIT was lost with the connection, or only its answer was."""
        last = self.history.transactions[-1]
        number = len(self.history.transactions) - 1
        ((found,),) = connection.execute(
            f"SELECT number FROM {self._table} WHERE id = {self.history.first_key}"
        ).fetchall()
        if last.committed_at is None and found == number:
            self._took_effect(last)
        elif last.committed_at is None:
            del self.history.transactions[-1]
            number -= 1
        assert found == number, f"the server lost a transaction: {found} instead of {number}"

    def _took_effect(self, transaction: Transaction) -> None:
        transaction.committed_at = time.monotonic()
        for key, row in transaction.changes.items():
            if row is None:
                del self._rows[key]
            else:
                self._rows[key] = row

    def _transact(self, connection: psycopg.Connection[Any]) -> None:
        changes = self._drawn(len(self.history.transactions))
        hold_after = self._rng.choice(sorted(changes)) if self._rng.random() < HELD_OPEN else None
        self._touch_marker(connection)
        for key, row in changes.items():
            self._apply(connection, key, row)
            if key == hold_after:
                self.held_open += 1
                self._told_to_stop.wait(self._rng.random() * LONGEST_HOLD_S)
        if self._rng.random() < ROLLED_BACK:
            connection.rollback()
            self.rolled_back += 1
            return
        transaction = Transaction(changes, time.monotonic())
        self.history.transactions.append(transaction)
        try:
            connection.commit()
        except psycopg.OperationalError:
            self.unsure += 1
            raise
        self._took_effect(transaction)

    def _drawn(self, number: int) -> dict[int, Row | None]:
        """Draw rows to update, to delete and to insert, one of each at least, in any order."""
        self._attempts += 1
        keys = range(self.history.first_key + 1, self.history.first_key + self.history.key_count)
        present, free = sorted(self._rows), sorted(set(keys) - self._rows.keys())
        updated, deleted, inserted = (self._rng.randint(1, 3) for _ in range(3))
        chosen = self._rng.sample(present, updated + deleted)
        changes: dict[int, Row | None] = dict.fromkeys(chosen[updated:])
        for key in [*chosen[:updated], *self._rng.sample(free, inserted)]:
            changes[key] = Row(key, number, f"attempt {self._attempts} wrote {key}")
        return dict(self._rng.sample(sorted(changes.items()), len(changes)))

    def _apply(self, connection: psycopg.Connection[Any], key: int, row: Row | None) -> None:
        if row is None:
            done = connection.execute(f"DELETE FROM {self._table} WHERE id = %s", [key])
        elif key in self._rows:
            statement = f"UPDATE {self._table} SET number = %s, label = %s WHERE id = %s"
            done = connection.execute(statement, [row.number, row.label, key])
        else:
            done = connection.execute(f"INSERT INTO {self._table} VALUES (%s, %s, %s)", row)
        assert done.rowcount == 1

    def _touch_marker(self, connection: psycopg.Connection[Any]) -> None:
        statement = f"UPDATE {self._table} SET number = %s WHERE id = %s"
        connection.execute(statement, [len(self.history.transactions), self.history.first_key])


def make_table(server: PostgresServer, table: str, writer_count: int) -> list[History]:
    """Make the table with all its ranges full, each in a part of its own where syncd publishes it in parts."""
    histories = [History(key, 1 + ROWS_AT_MOST) for key in _first_keys(writer_count)]
    server.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY, number bigint NOT NULL, label text NOT NULL)")
    with server.connect() as connection, connection.transaction():
        for history in histories:
            keys = range(history.first_key + 1, history.first_key + 1 + ROWS_AT_FIRST)
            made = Transaction({key: Row(key, 0, f"made {key}") for key in keys}, time.monotonic())
            history.transactions.append(made)
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in history.rows_after(0).values():
                    copy.write_row(row)
    for history in histories:
        history.transactions[0].committed_at = time.monotonic()
    return histories


def _first_keys(count: int) -> list[int]:
    """Return keys that begin parts, far enough from each other."""
    found = [0]
    for part in cut([[(key,) for key in range(count * 40_000)]], 0, Kind.INTEGER):
        (first_key,) = part.rows[0]
        if first_key > found[-1] + ROWS_AT_MOST:
            found.append(first_key)
    assert len(found) > count, "too few keys begin a part"
    return found[1 : count + 1]


def rows_of(server: PostgresServer, table: str) -> list[Row]:
    """Return the table as it is now."""
    return [Row(*row) for row in server.execute(f"SELECT id, number, label FROM {table} ORDER BY id")]


class Call(NamedTuple):
    """One call of ``syncd snapshot``."""

    called_at: float
    answered_at: float
    answer: dict[str, Any]


class Caller(Worker):
    """Takes one snapshot after the other, with pauses, so that the calls of several do not come in step."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]], seed: int) -> None:
        super().__init__("caller")
        self.calls: list[Call] = []
        self._snapshot, self._rng = snapshot, random.Random(seed)

    def work(self) -> None:
        """Call until told to stop."""
        while not self._told_to_stop.wait(self._rng.random() * LONGEST_REST_S):
            called_at = time.monotonic()
            answer = self._snapshot()
            self.calls.append(Call(called_at, time.monotonic(), answer))


def terminate_listeners(server: PostgresServer) -> int:
    """End every connection that waits for notifications, and wait for that; return how many there were."""
    statement = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    return len(server.execute(statement))
