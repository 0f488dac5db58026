"""Being notified by PostgreSQL, losing the connection and coming back."""

from __future__ import annotations

import threading
import time

import pytest

from syncd.sources.tables.base import TableFaultError, TableUnavailableError
from syncd.sources.tables.listening import Listener, apply_trigger_sql, trigger_sql
from tests.support.databases import PASSWORD

PATIENCE_SECONDS = 20


class Hints:
    """Counts the calls, and waits for one more."""

    def __init__(self):
        self.count, self._changed = 0, threading.Condition()

    def __call__(self):
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: self.count >= count, PATIENCE_SECONDS)


@pytest.fixture
def hints():
    return Hints()


@pytest.fixture
def channel(table):
    return f'{table} "of" labels; --'


@pytest.fixture
def listener(postgres, channel, hints):
    with Listener(postgres.url, channel, hints) as listener:
        hints.wait_for(1)  # connected: what was sent before is lost
        yield listener


def test_every_statement_that_writes_notifies(postgres, table, channel, hints, listener):
    postgres.execute(f'CREATE TABLE "{table} %s" (id int PRIMARY KEY)')
    for _ in range(2):  # it may be run again
        apply_trigger_sql(postgres.url, f"public.{table} %s", channel)
    assert listener.connected
    assert listener.trouble == ""
    for count, statement in enumerate(
        ("INSERT INTO {} VALUES (1), (2)", "UPDATE {} SET id = 3 WHERE id = 1", "DELETE FROM {}", "TRUNCATE {}"), 2
    ):
        assert hints.count == count - 1
        postgres.execute(statement.format(f'"{table} %s"'))
        hints.wait_for(count)
    assert hints.count == 5


def test_two_channels_may_be_told_of_one_table(postgres, table):
    postgres.execute(f"CREATE TABLE {table} (id int)")
    hints = [Hints(), Hints()]
    with Listener(postgres.url, f"{table}_a", hints[0]), Listener(postgres.url, f"{table}_b", hints[1]):
        for each, channel in zip(hints, "ab", strict=True):
            each.wait_for(1)
            postgres.execute(trigger_sql(table, f"{table}_{channel}"))
        postgres.execute(f"INSERT INTO {table} VALUES (1)")
        for each in hints:
            each.wait_for(2)


def test_it_connects_again_and_gives_a_hint_for_what_it_missed(postgres, channel, hints, listener):
    for round_ in range(3):
        postgres.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        hints.wait_for(2 + 2 * round_)
        quoted = channel.replace("'", "''")
        postgres.execute(f"SELECT pg_notify('{quoted}', '')")
        hints.wait_for(3 + 2 * round_)
    assert listener.connected


def test_it_says_why_it_is_not_connected_and_never_the_password(own_postgres, hints):
    with Listener(own_postgres.url, "labels", hints) as listener:
        hints.wait_for(1)
        own_postgres.stop(immediate=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "does not answer" not in listener.trouble and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not listener.connected
        assert "does not answer" in listener.trouble
        assert PASSWORD not in listener.trouble
        own_postgres.start()
        hints.wait_for(2)
        assert listener.connected
    assert listener.trouble == "it was stopped"


def test_it_stops_at_once(postgres, channel, hints):
    before = threading.active_count()
    listener = Listener(postgres.url, channel, hints)
    assert listener.trouble == "it was not started"
    listener.start()
    hints.wait_for(1)
    began = time.monotonic()
    listener.stop()
    assert time.monotonic() - began < 1
    assert threading.active_count() == before

    unreachable = Listener("postgresql://u:p@127.0.0.1:1/d", channel, hints)
    unreachable.start()
    unreachable.stop()
    assert threading.active_count() == before
    assert hints.count == 1


def test_a_channel_or_url_that_cannot_be_used_is_refused(postgres, hints):
    for channel in ("", "x" * 64, "a\0b"):
        with pytest.raises(TableFaultError, match="1 to 63 bytes"):
            Listener(postgres.url, channel, hints)
    with pytest.raises(TableFaultError, match="Only PostgreSQL"):
        Listener("sqlite:///x.db", "labels", hints)


def test_triggers_that_cannot_be_made_are_explained(postgres, table):
    with pytest.raises(TableFaultError, match="no such table"):
        apply_trigger_sql(postgres.url, table, "labels")
    with pytest.raises(TableUnavailableError):
        apply_trigger_sql("postgresql://u:p@127.0.0.1:1/d", table, "labels")
    postgres.execute(f"CREATE VIEW {table}_view AS SELECT 1 AS id")
    with pytest.raises(TableFaultError, match="refuses the statement"):
        apply_trigger_sql(postgres.url, f"{table}_view", "labels")
