"""PostgreSQL: equal tokens of the probe mean for certain that nothing was committed in between."""

from __future__ import annotations

import threading

import pytest

from tests.support.databases import PostgresServer, eventually, read_all


class PostgresStandby(PostgresServer):
    """A copy of a running server that follows it and can be read."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(primary.binaries)
        self._primary = primary

    def make(self) -> None:
        self.run(
            self.binaries / "pg_basebackup",
            *["-D", self.home / "data", "-h", self._primary.home, "-p", str(self._primary.port), "-U", "postgres"],
            *["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"],
        )

    def prepare(self) -> None:
        """Nothing: it has what the primary has."""


def test_the_probe_tells_of_every_commit_and_of_nothing_else(postgres, table, opened):
    postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    database = opened(postgres.url, table=table)
    first = database.probe()
    assert first is not None
    assert {first} == {database.probe() for _ in range(20)}
    read_all(database)
    assert database.probe() == first
    postgres.execute(f"INSERT INTO {table} VALUES (1)")
    assert database.probe() != first


@pytest.mark.parametrize("prepared", [False, True])
def test_a_transaction_that_began_before_the_read_and_commits_after_it_is_told(postgres, table, opened, prepared):
    """It is not in the read, it began before the token was taken, and younger ones have ended already."""
    postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)", f"CREATE TABLE {table}_b (id int)")
    database = opened(postgres.url, table=table)
    with postgres.connect() as old:
        old.execute(f"BEGIN; INSERT INTO {table} VALUES (1)")
        postgres.execute(f"INSERT INTO {table}_b VALUES (1)")  # younger, and ended
        if prepared:
            old.execute(f"PREPARE TRANSACTION '{table}'")
        token = database.probe()
        assert read_all(database)[1] == []
        assert database.probe() == token
        old.execute(f"COMMIT PREPARED '{table}'" if prepared else "COMMIT")
        assert database.probe() != token
    assert read_all(database)[1] == [(1,)]


def test_no_change_is_missed_with_many_writers(postgres, table, opened):
    """Whenever two tokens are equal, so are the rows: 8 writers, of which some are slow to commit."""
    postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    database, done = opened(postgres.url, table=table), threading.Event()

    def write(writer):
        with postgres.connect() as connection:
            for n in range(25):
                connection.execute("BEGIN")
                connection.execute(f"INSERT INTO {table} VALUES ({n * 8 + writer})")
                connection.execute("SAVEPOINT s")
                connection.execute(f"DELETE FROM {table} WHERE id = {(n - 2) * 8 + writer}")
                connection.execute("ROLLBACK TO s" if n % 3 else "RELEASE s")
                done.wait(0.002 * writer)
                connection.execute("COMMIT" if n % 4 else "ROLLBACK")

    writers = [threading.Thread(target=write, args=[writer]) for writer in range(8)]
    for writer in writers:
        writer.start()
    seen = {}
    while any(writer.is_alive() for writer in writers):
        token = database.probe()
        rows = read_all(database)[1]
        if database.probe() == token:  # then nothing was committed in between
            assert seen.setdefault(token, rows) == rows
    token = database.probe()
    assert read_all(database)[1] == postgres.execute(f"SELECT * FROM {table} ORDER BY id")
    assert database.probe() == token


def test_a_standby_tells_of_a_commit_that_its_snapshot_alone_does_not_show(own_postgres, table, opened):
    """There a snapshot does not list who is under way, so it stays the same when an older one of them commits."""
    own_postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)", f"CREATE TABLE {table}_b (id int)")
    with PostgresStandby(own_postgres) as standby:

        def catch_up():
            (written,) = own_postgres.execute("SELECT pg_current_wal_flush_lsn()")[0]
            behind = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
            assert eventually(lambda: standby.execute(behind), [(True,)])

        with own_postgres.connect() as oldest, own_postgres.connect() as old:
            oldest.execute(f"BEGIN; INSERT INTO {table}_b VALUES (1)")
            old.execute(f"BEGIN; INSERT INTO {table} VALUES (1)")
            own_postgres.execute(f"INSERT INTO {table}_b VALUES (2)")
            catch_up()
            database = opened(standby.url, table=table)
            token = database.probe()
            assert read_all(database)[1] == []
            assert database.probe() == token
            old.execute("COMMIT")
            catch_up()
            later = database.probe()
        assert later != token
        assert later[2][0] == token[2][0], "the snapshot's text is the same, as said above"
        assert read_all(database)[1] == [(1,)]


def test_the_probe_cannot_tell_of_what_may_change_without_a_commit(postgres, table, opened):
    postgres.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, until timestamptz)",
        f"CREATE VIEW {table}_view AS SELECT * FROM {table} WHERE until > now()",
        f"CREATE UNLOGGED TABLE {table}_unlogged (id int)",
        f"CREATE TABLE {table}_parts (id int) PARTITION BY RANGE (id)",
        f"CREATE TABLE {table}_part PARTITION OF {table}_parts FOR VALUES FROM (0) TO (9)",
    )
    assert opened(postgres.url, table=f"{table}_parts").probe() is not None
    for name in (f"{table}_view", f"{table}_unlogged", f"{table}_missing"):
        assert opened(postgres.url, table=name).probe() is None
    assert opened(postgres.url, query=f"SELECT * FROM {table}").probe() is None
    parted = opened(postgres.url, table=f"{table}_parts")
    postgres.execute(f"ALTER TABLE {table}_part ENABLE ROW LEVEL SECURITY")
    assert parted.probe() is None


def test_the_token_is_another_one_after_the_connection_was_lost(postgres, table, opened):
    postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    database = opened(postgres.url, table=table)
    token = database.probe()
    postgres.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'syncd'")
    assert database.probe() not in (token, None)
