"""PostgreSQL: a version made of what changed alone is the table as it was at one moment between transactions."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from syncd.sources.settings import DatabaseTableSettings
from syncd.sources.tables import parquet
from syncd.sources.tables.base import KeyRange, Row, TableChangingError, TableFaultError, TableReading
from syncd.sources.tables.database import open_database
from syncd.sources.tables.incremental import Follower, SeenPart
from syncd.sources.tables.parts import cut
from syncd.sources.tables.publish import KnownObject, Published, Publisher
from syncd.sources.tables.reader import TableReader, _changes_in
from syncd.sources.tables.spool import Spool
from tests.support.databases import DATABASE, PASSWORD_IN_URL, USER, eventually, read_all
from tests.support.memory_inventory import MemoryInventory
from tests.tables.test_probing_postgres import PostgresStandby

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {  # declared: how a number becomes a key
    "int": "{n}",
    "bigint": "{n}::bigint * -3000000000",
    "oid": "({n}::bigint + 4294960000)::oid",
    "numeric": "{n} / 7.0",
    "numeric(12,3)": "{n} / 8.0",
    'text COLLATE "und-x-icu"': "CASE {n} % 3 WHEN 0 THEN 'Ä' WHEN 1 THEN 'a' ELSE 'Z''\\%' END || {n}",
    "varchar(20)": "'é ' || {n}",
    "char(9)": "'k' || {n}",
    "uuid": "md5({n}::text)::uuid",
    "bytea": "decode(md5({n}::text), 'hex')",
    "date": "date '2024-01-01' - {n}",
    "timestamp": "timestamp '2024-01-01' + {n} * interval '1.000001 s'",
    "timestamptz": "timestamptz '2024-01-01 00:00+02' - {n} * interval '1.5 h'",
    "inet": "inet '10.0.0.0' + {n}",
    "a_number": "{n}",
}


class Counted:
    """What tells of changes, with the rows that travel counted; ``before_rows`` happens between count and reading."""

    def __init__(self, changes: Any, before_rows: Callable[[], object]) -> None:
        self._changes, self._before_rows, self.travelled = changes, before_rows, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._changes, name)

    def rows(self, ranges: Sequence[KeyRange]) -> TableReading:
        self._before_rows()
        reading = self._changes.rows(ranges)
        batches = reading.batches

        def counted():
            for batch in batches():
                self.travelled += len(batch)
                yield batch

        reading.batches = counted
        return reading


class Followed:
    """A table that is read again and again; each version is compared with all rows of the same snapshot."""

    def __init__(self, url: str, spool: Path, *, target_rows: int = 50, key: str = "id", **source: Any) -> None:
        self.database = open_database(url, **{"table": None, "query": None, **source}, key=key)
        self._spool, self._target_rows = Spool(spool), target_rows
        self._follower = Follower("labels", whole_seconds=3600)
        self._known: dict[str, KnownObject] = {}
        self.before_rows: Callable[[], object] = lambda: None
        self.travelled: int | None = None  # None: all of them
        self.tells = False

    def read(self, *, accept: bool = True) -> Published:
        publisher = Publisher(
            name="labels", image_column=None, known=self._known, spool=self._spool, target_rows=self._target_rows
        )
        with self.database.read() as reading:
            found = _changes_in(reading)
            self.tells = found is not None and found.mark() is not None
            changes = found and Counted(found, self.before_rows)
            taken: list[Row] = []
            original, self.travelled = reading.batches, 0

            def kept():
                self.travelled = None
                for batch in original():
                    taken.extend(batch)
                    yield batch

            reading.batches = kept
            known = [one.published for one in self._known.values()]
            published = self._follower.publish(reading, changes, publisher, known=known, now=START)
            if self.travelled is not None:
                self.travelled = changes.travelled
                taken = [row for batch in original() for row in batch]  # of the same snapshot
            self._compare(reading, published, taken)
        if accept:
            self._known = {one.key: KnownObject(published=one) for one in published.objects}
            self._follower.accept()
        return published

    def _compare(self, reading: TableReading, published: Published, rows: Sequence[Row]) -> None:
        at, columns = reading.key_position, reading.columns
        parts = list(cut([rows], at, columns[at].kind, target_rows=self._target_rows))
        assert published.parts == tuple(
            SeenPart(part.name, part.rows[0][at], len(part.rows), part.begun) for part in parts
        )
        assert {one.key: one.rows_digest for one in published.objects if one.rows} == {
            f"tables/labels/{part.name}.parquet": parquet.rows_digest(columns, parquet.to_table(columns, part.rows, at))
            for part in parts
        }


@pytest.fixture
def follow(tmp_path):
    opened = []

    def make(url: str, **more: Any) -> Followed:
        opened.append(Followed(url, tmp_path / str(len(opened)), **more))
        return opened[-1]

    yield make
    for one in opened:
        one.database.close()


@pytest.fixture
def filled(postgres, table):
    """A table of 1,000 rows in about 20 parts."""
    postgres.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, label text)",
        f"INSERT INTO {table} SELECT n, 'label ' || n FROM generate_series(1, 1000) n",
    )
    return table


@pytest.mark.parametrize("declared", KEYS)
def test_keys_of_many_types_bound_the_parts_as_they_are_read(postgres, table, follow, declared):
    key = KEYS[declared].format
    if declared == "a_number":
        postgres.execute("DROP DOMAIN IF EXISTS a_number CASCADE", "CREATE DOMAIN a_number AS smallint")
    postgres.execute(
        f"CREATE TABLE {table} (id {declared} PRIMARY KEY, label text)",
        f"INSERT INTO {table} SELECT {key(n='n')}, 'x' FROM generate_series(1, 900) n",
    )
    followed = follow(postgres.url, table=table)
    begins = [part.begin for part in followed.read().parts]
    assert followed.read().rows == 900
    assert followed.travelled == 0
    for change in (
        f"UPDATE {table} SET label = 'y' WHERE id = {key(n=500)}",
        f"DELETE FROM {table} WHERE id IN ({key(n=77)}, {key(n=78)})",
        f"UPDATE {table} SET id = {key(n=901)} WHERE id = {key(n=40)}",
        f"INSERT INTO {table} SELECT {key(n='n')}, 'z' FROM generate_series(902, 960, 29) n",
    ):
        postgres.execute(change)
        followed.read()
        assert followed.travelled is not None, change
        assert 0 < followed.travelled < 600
    with postgres.connect() as connection:
        for begin in begins[1::7]:
            connection.execute(f"DELETE FROM {table} WHERE id::text = %s::{declared}::text", [begin])
    followed.read()
    assert followed.travelled


def test_a_database_of_another_encoding_is_compared_in_the_order_of_utf8(own_postgres, follow):
    own_postgres.execute(
        "CREATE DATABASE other ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", admin=True
    )
    followed = follow(own_postgres.url.replace(f"/{DATABASE}", "/other"), table="t")
    with psycopg.connect(
        host=str(own_postgres.home), port=own_postgres.port, user="postgres", dbname="other", autocommit=True
    ) as connection:
        connection.execute("CREATE TABLE t (id text PRIMARY KEY)")
        for first in ("日", "a", "ア", "亜"):
            connection.execute(f"INSERT INTO t SELECT '{first}' || n FROM generate_series(1, 200) n")
        followed.read()
        connection.execute("DELETE FROM t WHERE id IN ('ア7', '日8')")
        followed.read()
        assert followed.travelled


@pytest.mark.parametrize("seed", range(3))
def test_whatever_writers_do_each_version_is_one_moment(postgres, table, follow, seed):
    """Five of them, with subtransactions, prepared ones, rollbacks, moved keys, and some that are slow to commit."""
    postgres.execute(
        f"CREATE TABLE {table} (id int, label text, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
        f"CREATE TABLE {table}_a PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO (700)",
        f"CREATE TABLE {table}_b PARTITION OF {table} FOR VALUES FROM (700) TO (MAXVALUE)",
        f"INSERT INTO {table} SELECT n, 'x' FROM generate_series(1, 1500) n",
    )
    rng, followed = random.Random(seed), follow(postgres.url, table=table)
    followed.read()
    partly = 0
    with ExitStack() as connections:
        writers = [Writer(connections.enter_context(postgres.connect()), table, rng) for _ in range(4)]
        for _ in range(40):
            for _ in range(rng.randrange(8)):
                rng.choice(writers).step()
            followed.read(accept=rng.random() < 0.9)
            partly += followed.travelled is not None
        for writer in writers:
            writer.end()
    assert partly > 20
    assert followed.read().rows == postgres.execute(f"SELECT count(*) FROM {table}")[0][0]


class Writer:
    """One connection that does anything; waits for nobody."""

    def __init__(self, connection: psycopg.Connection[Any], table: str, rng: random.Random) -> None:
        self._connection, self._table, self._rng = connection, table, rng
        self._connection.execute("SET lock_timeout = '5ms'; SET synchronous_commit = off")
        self._prepared: str | None = None
        self._depth = 0

    def step(self) -> None:
        if self._prepared:
            self._connection.execute(f"{self._rng.choice(('COMMIT', 'ROLLBACK'))} PREPARED '{self._prepared}'")
            self._prepared = None
            return
        if not self._depth:
            self._connection.execute("BEGIN")
            self._depth = 1
        try:
            self._connection.execute(self._statement())
        except (psycopg.errors.LockNotAvailable, psycopg.errors.UniqueViolation):
            self._connection.execute("ROLLBACK")
            self._depth = 0
            return
        if self._rng.random() < 0.4:
            self.end()

    def _statement(self) -> str:
        table, key, other = self._table, self._rng.randint(-20, 1600), self._rng.randint(-20, 1600)
        if self._depth > 1 and self._rng.random() < 0.3:
            self._depth -= 1
            return f"{self._rng.choice(('RELEASE', 'ROLLBACK TO'))} s{self._depth}"
        if self._rng.random() < 0.2:
            self._depth += 1
            return f"SAVEPOINT s{self._depth - 1}; UPDATE {table} SET label = 'in s' WHERE id = {key}"
        return self._rng.choice(
            [
                f"INSERT INTO {table} VALUES ({key}, 'new') ON CONFLICT (id) DO UPDATE SET label = 'again {other}'",
                f"UPDATE {table} SET label = 'set {other}' WHERE id BETWEEN {key} AND {key + 3}",
                f"DELETE FROM {table} WHERE id BETWEEN {key} AND {key + self._rng.randrange(9)}",
                f"UPDATE {table} SET id = {other} WHERE id = {key}",
                f"SELECT FROM {table} WHERE id = {key} FOR UPDATE",
            ]
        )

    def end(self) -> None:
        if self._prepared:
            self.step()
        elif self._depth and self._rng.random() < 0.2:
            self._prepared = f"{self._table}_{id(self)}"
            self._connection.execute(f"PREPARE TRANSACTION '{self._prepared}'")
        else:
            self._connection.execute("COMMIT" if self._rng.random() < 0.7 else "ROLLBACK")
        self._depth = 0


@pytest.mark.parametrize(
    ("change", "travels"),
    [
        ("SELECT FROM {t} WHERE id < 500 FOR UPDATE", "none"),
        ("VACUUM FREEZE {t}", "none"),
        ("VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) {t}", "none"),
        ("ANALYZE {t}", "none"),
        ("CREATE INDEX ON {t} (label)", "none"),
        ("INSERT INTO {t} VALUES (0, 'before the first'), (-9, 'and that')", "some"),
        ("INSERT INTO {t} SELECT n, 'behind the last' FROM generate_series(2000, 2100) n", "some"),
        ("UPDATE {t} SET label = label WHERE id = 7", "some"),
        ("DELETE FROM {t} WHERE id < 200", "some"),
        ("DELETE FROM {t} WHERE id BETWEEN 300 AND 500", "some"),
        ("DELETE FROM {t} WHERE id < 900", "all"),
        ("DELETE FROM {t}", "all"),
        ("UPDATE {t} SET label = 'all'", "all"),
        ("VACUUM FULL {t}", "all"),
        ("CLUSTER {t} USING {t}_pkey", "all"),
        ("TRUNCATE {t}", "all"),
        ("ALTER TABLE {t} DROP COLUMN label; ALTER TABLE {t} ADD COLUMN label text DEFAULT 'label'", "all"),
        ("ALTER TABLE {t} RENAME id TO other; ALTER TABLE {t} RENAME label TO id", "all"),
        ("ALTER TABLE {t} ALTER label TYPE varchar(99)", "all"),
        ("ALTER TABLE {t} RENAME TO {t}_old; ALTER TABLE {t}_new RENAME TO {t}", "all"),
        ("BEGIN; TRUNCATE {t}; INSERT INTO {t} TABLE {t}_new; COMMIT", "all"),
        ("BEGIN; DELETE FROM {t}; INSERT INTO {t} TABLE {t}_new; COMMIT", "all"),
        ("BEGIN; TRUNCATE {t}; ROLLBACK", "none"),
        ("BEGIN; INSERT INTO {t} TABLE {t}_new ON CONFLICT (id) DO UPDATE SET label = 'x'; ROLLBACK", "none"),
    ],
)
def test_what_travels_after_a_change(postgres, filled, follow, change, travels):
    postgres.execute(
        f"CREATE TABLE {filled}_new (LIKE {filled})", f"INSERT INTO {filled}_new SELECT id, 'new' FROM {filled}"
    )
    followed = follow(postgres.url, table=filled)
    followed.read()
    for statement in change.format(t=filled).split("; ") if "BEGIN" not in change else [change.format(t=filled)]:
        postgres.execute(statement)
    followed.read()
    assert {None: "all", 0: "none"}.get(followed.travelled, "some") == travels
    followed.read()
    assert followed.travelled == (0 if followed.read().rows else None)


def test_rows_that_are_copied_frozen_are_new(postgres, filled, follow):
    """Their transaction is visible to all who look, which the bit says; its number stays."""
    followed = follow(postgres.url, table=filled)
    followed.read()
    with postgres.connect() as connection:
        connection.execute(f"BEGIN; TRUNCATE {filled}")
        with connection.cursor().copy(f"COPY {filled} FROM STDIN (FREEZE)") as copy:
            copy.write("".join(f"{n}\tcopied\n" for n in range(1, 1001)))
        connection.execute("COMMIT")
    frozen = followed.read()
    assert frozen.rows == 1_000
    postgres.execute(f"DELETE FROM {filled} WHERE id = 5", f"VACUUM FREEZE {filled}")
    assert followed.read().rows == 999
    assert 0 < followed.travelled < 300


def test_a_transaction_that_began_before_a_read_and_commits_after_it_is_read(postgres, filled, follow):
    followed = follow(postgres.url, table=filled)
    with postgres.connect() as old:
        old.execute(f"BEGIN; SAVEPOINT s; UPDATE {filled} SET label = 'late' WHERE id = 500; RELEASE s")
        old.execute(f"DELETE FROM {filled} WHERE id = 700")
        postgres.execute(f"UPDATE {filled} SET label = 'early' WHERE id = 10")
        for _ in range(2):  # what is written while it is under way is read again, since it may be its
            followed.read()
        assert 0 < followed.travelled < 300
        old.execute("COMMIT")
    followed.read()
    assert 0 < followed.travelled < 600
    followed.read()
    assert followed.travelled == 0


def test_a_read_that_waited_for_a_truncate_sees_what_came_of_it(postgres, filled, follow):
    """Its snapshot is not older than its lock, or it would see an empty table, which never was."""
    followed = follow(postgres.url, table=filled)
    with postgres.connect() as other:
        other.execute(f"BEGIN; TRUNCATE {filled}; INSERT INTO {filled} VALUES (1, 'a'), (2, 'b')")
        found: list[Any] = []
        reading = threading.Thread(target=lambda: found.append(followed.read()))
        reading.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass('{}')"
        assert eventually(lambda: postgres.execute(waiting.format(filled)), [(1,)])
        other.execute("COMMIT")
        reading.join()
    assert found[0].rows == 2


def test_partitions_are_told_apart(postgres, table, follow):
    postgres.execute(
        f"CREATE TABLE {table} (id int, label text) PARTITION BY RANGE (id)",
        *[
            f"CREATE TABLE {table}_{n} PARTITION OF {table} FOR VALUES FROM ({n * 500}) TO ({n * 500 + 500})"
            for n in range(3)
        ],
        f"INSERT INTO {table} SELECT n, 'old' FROM generate_series(0, 1499) n",
        f"CREATE TABLE {table}_new AS SELECT id, 'new' AS label FROM {table} WHERE id BETWEEN 500 AND 999",
        f"CREATE TABLE {table}_late AS SELECT id, 'late' AS label FROM {table} WHERE id BETWEEN 500 AND 999",
    )
    followed = follow(postgres.url, table=table)
    followed.read()
    postgres.execute(
        f"DELETE FROM {table} WHERE id = 600",
        f"UPDATE {table} SET id = 600 WHERE id = 499",  # moves to another one
    )
    followed.read()
    assert followed.travelled
    attach = f"ALTER TABLE {table} ATTACH PARTITION {table}_{{}} FOR VALUES FROM (500) TO (1000)".format
    postgres.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_1", attach("new"))
    followed.read()
    assert followed.travelled is None

    postgres.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_new")
    followed.read()
    postgres.execute(f"DELETE FROM {table} WHERE id IN (1, 490)")
    followed.before_rows = lambda: postgres.execute(attach("late"))  # waits for nobody
    with pytest.raises(TableChangingError):
        followed.read()
    followed.before_rows = lambda: None
    count = postgres.execute(f"SELECT count(*) FROM {table}")[0][0]
    assert followed.read().rows == count


def test_heirs_are_told_apart(postgres, filled, follow):
    postgres.execute(
        f"CREATE TABLE {filled}_heir (extra int) INHERITS ({filled})",
        f"INSERT INTO {filled}_heir SELECT n, 'heir', 0 FROM generate_series(1001, 1500) n",
    )
    followed = follow(postgres.url, table=filled)
    assert followed.read().rows == 1_500
    postgres.execute(f"DELETE FROM {filled}_heir WHERE id = 1400")
    assert followed.read().rows == 1_499
    assert 0 < followed.travelled < 300
    postgres.execute(
        f"ALTER TABLE {filled}_heir NO INHERIT {filled}",
        f"ALTER TABLE {filled}_heir DROP label",
        f"ALTER TABLE {filled}_heir ADD label text DEFAULT 'other'",
        f"ALTER TABLE {filled}_heir INHERIT {filled}",
    )
    followed.read()
    assert followed.travelled is None


def test_an_enumerations_new_words_are_read_in_every_row(postgres, table, follow):
    postgres.execute(
        f"CREATE TYPE {table}_mood AS ENUM ('sad', 'ok')",
        f"CREATE TABLE {table} (id int, moods {table}_mood[])",
        f"INSERT INTO {table} SELECT n, '{{sad}}' FROM generate_series(1, 200) n",
    )
    followed = follow(postgres.url, table=table)
    followed.read()
    followed.read()
    assert followed.travelled == 0
    postgres.execute(f"ALTER TYPE {table}_mood RENAME VALUE 'sad' TO 'low'")
    followed.read()
    assert followed.travelled is None


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW {t}_x AS TABLE {t}",
        "CREATE MATERIALIZED VIEW {t}_x AS TABLE {t}",
        "CREATE UNLOGGED TABLE {t}_x AS TABLE {t}",
        "CREATE TABLE {t}_x AS SELECT id, 'pg_class'::regclass AS named FROM {t}",
        "CREATE TABLE {t}_x AS SELECT id, 1::money AS price FROM {t}",
        "CREATE TABLE {t}_x AS SELECT id, ROW(1, label)::{t} AS pair FROM {t}",
        "CREATE TABLE {t}_x AS TABLE {t}; ALTER TABLE {t}_x ENABLE ROW LEVEL SECURITY",
    ],
)
def test_what_may_change_without_a_row_is_read_whole(postgres, filled, follow, made):
    for statement in made.format(t=filled).split("; "):
        postgres.execute(statement)
    followed = follow(postgres.url, table=f"{filled}_x")
    for _ in range(2):
        assert followed.read().rows == 1_000
        assert (followed.tells, followed.travelled) == (False, None)
    query = follow(postgres.url, query=f"SELECT * FROM {filled}")
    assert query.read().rows == 1_000
    assert not query.tells


def test_who_may_read_columns_alone_reads_them_whole(postgres, filled, follow):
    postgres.execute(
        f"CREATE ROLE {filled}_reader LOGIN PASSWORD 'x'", f"GRANT SELECT (id, label) ON {filled} TO {filled}_reader"
    )
    url = postgres.url.replace(USER, f"{filled}_reader").replace(PASSWORD_IN_URL, "x")
    followed = follow(url, table=filled)
    assert (followed.read().rows, followed.tells) == (1_000, False)
    postgres.execute(f"GRANT SELECT ON {filled} TO {filled}_reader")
    followed.read()
    assert followed.tells  # with no other right than that
    followed.read()
    assert followed.travelled == 0


def test_a_key_that_is_null_is_named(postgres, table, follow):
    postgres.execute(f"CREATE TABLE {table} (id int)", f"INSERT INTO {table} SELECT generate_series(1, 500)")
    followed = follow(postgres.url, table=table)
    followed.read()
    for wrong, said in (("NULL", "holds NULL"), ("7", "7 twice")):
        postgres.execute(f"INSERT INTO {table} VALUES ({wrong})")
        with pytest.raises(TableFaultError, match=said):
            followed.read()
        postgres.execute(f"DELETE FROM {table} WHERE ctid = (SELECT max(ctid) FROM {table})")
    assert followed.read().rows == 500


def test_nothing_is_concluded_across_a_restart_or_a_crash(own_postgres, table, follow):
    """After a crash a commit that was not flushed is gone, and its number is given to another transaction."""
    own_postgres.execute(f"CREATE TABLE {table} AS SELECT n AS id, 'x' AS label FROM generate_series(1, 1000) n")
    followed = follow(own_postgres.url, table=table)
    followed.read()

    def crash():
        with own_postgres.connect() as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            assert eventually(lambda: answers(victim), False)
        assert eventually(lambda: answers(None), True)

    def answers(connection):
        try:
            return bool(connection.execute("SELECT 1") if connection else own_postgres.execute("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def restart():
        own_postgres.stop()
        own_postgres.start()

    for interruption in (crash, restart):
        followed.read()
        assert followed.travelled == 0
        interruption()
        followed.read()
        assert followed.travelled is None


def test_numbers_of_transactions_may_pass_zero(own_postgres, table, follow):
    own_postgres.execute(f"CREATE TABLE {table} AS SELECT n AS id, 'x' AS label FROM generate_series(1, 1000) n")
    own_postgres.execute("VACUUM FREEZE", "CHECKPOINT")
    own_postgres.stop()
    data = own_postgres.home / "data"
    segment = data / "pg_xact" / "0FFF"
    segment.write_bytes(b"\0" * (256 << 10))
    segment.chmod(0o666)
    own_postgres.run(own_postgres.binaries / "pg_resetwal", "-D", data, "-x", str(2**32 - 20))
    own_postgres.start()
    followed = follow(own_postgres.url, table=table)
    followed.read()
    for n in range(1, 61):
        own_postgres.execute(f"UPDATE {table} SET label = '{n}' WHERE id = {n * 16}")
        if n % 4 == 0:
            followed.read()
            assert 0 < followed.travelled < 600
    assert own_postgres.execute("SELECT pg_current_xact_id()::text::bigint > 1::bigint << 32") == [(True,)]
    own_postgres.execute(f"UPDATE {table} SET label = 'last' WHERE id = 3")
    followed.read()
    assert 0 < followed.travelled < 300


def test_a_standby_tells_of_what_it_has_replayed(own_postgres, table, follow):
    own_postgres.execute(f"CREATE TABLE {table} AS SELECT n AS id, 'x' AS label FROM generate_series(1, 1000) n")
    with PostgresStandby(own_postgres) as standby, own_postgres.connect() as old:

        def catch_up():
            (written,) = own_postgres.execute("SELECT pg_current_wal_flush_lsn()")[0]
            assert eventually(lambda: standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{written}'"), [(True,)])

        followed = follow(standby.url, table=table)
        old.execute(f"BEGIN; UPDATE {table} SET label = 'late' WHERE id = 500")
        own_postgres.execute(f"UPDATE {table} SET label = 'early' WHERE id = 10")
        catch_up()
        followed.read()
        old.execute("COMMIT")
        catch_up()
        followed.read()
        assert 0 < followed.travelled < 600
        followed.read()
        assert followed.travelled == 0


async def test_one_row_of_200_000_costs_a_part_or_two(postgres, table, tmp_path):
    """P7, with parts as large as they are, through all that reads a table."""
    postgres.execute(
        f"CREATE TABLE {table} AS SELECT n AS id, n || '.png' AS image FROM generate_series(1, 200000) n",
        f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
    )
    settings = DatabaseTableSettings(name="labels", key="id", spool_dir=tmp_path)
    database = open_database(postgres.url, table=table, query=None, key="id")
    inventory = MemoryInventory()
    reader = TableReader(settings, database, inventory, stopped=lambda: False)
    await reader.read(START, "poll")
    whole = reader.figures
    assert whole["rows_read"] == 200_000
    before = {one.object.key: one.object for one in inventory.known_table("labels").objects}
    postgres.execute(f"UPDATE {table} SET image = 'other.png' WHERE id = 123456")
    assert await reader.read(START, "poll")
    (changed,) = [one.object for one in inventory.known_table("labels").objects if before[one.object.key] != one.object]
    assert reader.figures["rows_read"] == changed.rows < 200_000 / 2
    assert (reader.figures["rows"], reader.figures["parts_changed"]) == (200_000, 1)
    for key in list(inventory.contents())[-1:]:
        reader.rewrite(key)
        await reader.read(START, "poll")
        assert reader.figures["rows_read"] == 200_000
    assert read_all(database)[1][123_455] == (123_456, "other.png")
    database.close()
