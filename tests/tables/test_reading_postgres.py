"""PostgreSQL: its types, its faults, and what becomes of a lost connection."""

# ruff: noqa: PT012, DTZ001 - the statements are the tests' own; a loss is in the middle; some times have no zone
from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from syncd.sources.tables.base import Kind, TableFaultError, TableUnavailableError
from syncd.sources.tables.database import open_database
from tests.support.databases import DATABASE, PASSWORD, PASSWORD_IN_URL, USER, eventually, read_all

# declared, written, kind, value; further facts of the column
TYPES = [
    ("boolean", "true", Kind.BOOLEAN, True, {}),
    ("smallint", "-3", Kind.INTEGER, -3, {}),
    ("integer", "2147483647", Kind.INTEGER, 2147483647, {}),
    ("bigint", "'-9223372036854775808'", Kind.INTEGER, -(2**63), {}),
    ("oid", "4294967295", Kind.INTEGER, 2**32 - 1, {}),
    ("numeric(10,2)", "-1.50", Kind.DECIMAL, Decimal("-1.50"), {"precision": 10, "scale": 2}),
    ("numeric(5,0)", "7", Kind.DECIMAL, Decimal(7), {"precision": 5, "scale": 0}),
    ("numeric(76,76)", "0.5", Kind.DECIMAL, Decimal("0.5" + 75 * "0"), {"precision": 76, "scale": 76}),
    ("numeric(77,2)", "1.25", Kind.DECIMAL, Decimal("1.25"), {"precision": None}),
    ("numeric(2,-3)", "12345", Kind.DECIMAL, Decimal(12000), {"precision": 5, "scale": 0}),
    ("numeric(3,5)", "0.00123", Kind.DECIMAL, Decimal("0.00123"), {"precision": 5, "scale": 5}),
    ("numeric", "1e100", Kind.DECIMAL, Decimal(10**100), {"precision": None, "scale": None}),
    ("real", "0.1", Kind.FLOAT, 0.1, {}),
    ("double precision", "0.1", Kind.FLOAT, 0.1, {}),
    ("double precision", "'-infinity'", Kind.FLOAT, float("-inf"), {}),
    ("text", "'naïve 😀'", Kind.TEXT, "naïve 😀", {}),
    ("character varying(20)", "'a '", Kind.TEXT, "a ", {}),
    ("character(5)", "'ab'", Kind.TEXT, "ab", {}),
    ("bytea", "'\\x00ff'", Kind.BYTES, b"\x00\xff", {}),
    ("date", "'2024-02-29'", Kind.DATE, date(2024, 2, 29), {}),
    ("time without time zone", "'12:34:56.789'", Kind.TIME, time(12, 34, 56, 789000), {}),
    ("time with time zone", "'12:34:56+02'", Kind.TEXT, "12:34:56+02", {}),
    (
        "timestamp without time zone",
        "'2024-02-29 01:02:03.4'",
        Kind.TIMESTAMP,
        datetime(2024, 2, 29, 1, 2, 3, 400000),
        {},
    ),
    (
        "timestamp with time zone",
        "'2024-02-29 01:02:03+05:30'",
        Kind.TIMESTAMP_TZ,
        datetime(2024, 2, 28, 19, 32, 3, tzinfo=UTC),
        {},
    ),
    ("interval", "'1 day 2 hours'", Kind.TEXT, "1 day 02:00:00", {}),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", Kind.TEXT, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", {}),
    ("json", '\'{"b": 1,  "a":2}\'', Kind.JSON, '{"b": 1,  "a":2}', {}),
    ("jsonb", '\'{"b": 1,  "a":2}\'', Kind.JSON, '{"a": 2, "b": 1}', {}),
    ("inet", "'10.0.0.1/8'", Kind.TEXT, "10.0.0.1/8", {}),
    ("inet", "'10.0.0.1'", Kind.TEXT, "10.0.0.1/32", {}),
    ("cidr", "'10.0.0.0/8'", Kind.TEXT, "10.0.0.0/8", {}),
    ("macaddr", "'08:00:2b:01:02:03'", Kind.TEXT, "08:00:2b:01:02:03", {}),
    ("money", "12.5", Kind.DECIMAL, Decimal("12.50"), {"precision": None}),
    ("bit varying(8)", "B'0101'", Kind.TEXT, "0101", {}),
    ("int4range", "'[1,5)'", Kind.TEXT, "[1,5)", {}),
    ("point", "'(1,2)'", Kind.TEXT, "(1,2)", {}),
    ("tsvector", "'a:1 b'", Kind.TEXT, "'a':1 'b'", {}),
    ("xml", "'<a/>'", Kind.TEXT, "<a/>", {}),
    ("name", "'x'", Kind.TEXT, "x", {}),
    ("mood", "'sad'", Kind.TEXT, "sad", {}),
    ("pair", "ROW(1, 'x y')", Kind.TEXT, '(1,"x y")', {}),
    ("percent", "12.5", Kind.DECIMAL, Decimal("12.50"), {"precision": 5, "scale": 2}),
    ("moods", "'{sad}'", Kind.ARRAY, ["sad"], {"element": Kind.TEXT}),
    ("integer[]", "'{1,NULL,3}'", Kind.ARRAY, [1, None, 3], {"element": Kind.INTEGER}),
    ("text[]", '\'{"a,b","NULL",NULL,""}\'', Kind.ARRAY, ["a,b", "NULL", None, ""], {"element": Kind.TEXT}),
    ("text[]", "'{}'", Kind.ARRAY, [], {"element": Kind.TEXT}),
    ("numeric(10,2)[]", "'{1.5,NaN}'", Kind.ARRAY, None, {"element": Kind.DECIMAL, "precision": None}),
    ("bytea[]", "ARRAY['\\x01'::bytea]", Kind.ARRAY, [b"\x01"], {"element": Kind.BYTES}),
    ("date[]", "'{2024-01-01}'", Kind.ARRAY, [date(2024, 1, 1)], {"element": Kind.DATE}),
    (
        "timestamp with time zone[]",
        "'{2024-01-01 00:00+01}'",
        Kind.ARRAY,
        [datetime(2023, 12, 31, 23, tzinfo=UTC)],
        {"element": Kind.TIMESTAMP_TZ},
    ),
    ("jsonb[]", "ARRAY['{\"a\": [1]}'::jsonb]", Kind.ARRAY, ['{"a": [1]}'], {"element": Kind.JSON}),
    ("mood[]", "'{ok,sad}'", Kind.ARRAY, ["ok", "sad"], {"element": Kind.TEXT}),
    ("pair[]", "ARRAY[ROW(1, 'x')::pair]", Kind.ARRAY, ["(1,x)"], {"element": Kind.TEXT}),
    ("percent[]", "'{1.5}'", Kind.ARRAY, [Decimal("1.50")], {"element": Kind.DECIMAL}),
    ("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", Kind.ARRAY, ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], {}),
]
OF_DOMAINS = {"percent": "numeric(5,2)", "moods": "mood[]"}  # PostgreSQL itself tells a result's columns so
UNFIT = [
    ("date", "infinity"),
    ("date", "0044-03-15 BC"),
    ("date", "10000-01-01"),
    ("timestamp", "-infinity"),
    ("timestamp", "10000-01-01 00:00:00"),
    ("timestamptz", "infinity"),
    ("time", "24:00:00"),
    ("numeric(10,2)", "NaN"),
    ("date[]", "{2024-01-01,infinity}"),
    ("int[]", "{{1,2},{3,4}}"),
]


@pytest.fixture(scope="module")
def typed(postgres):
    """The server with types of its own."""
    postgres.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN share AS numeric(5,2)",
        "CREATE DOMAIN percent AS share CHECK (VALUE <= 100)",
        "CREATE DOMAIN moods AS mood[]",
        "CREATE EXTENSION IF NOT EXISTS citext",
    )
    return postgres


def test_every_type_is_read_as_it_is_declared(typed, table, opened):
    columns = ", ".join(f"c{n} {declared}" for n, (declared, *_) in enumerate(TYPES))
    written = ", ".join(value for _, value, *_ in TYPES)
    typed.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})",
        f"INSERT INTO {table} VALUES (1, {written})",
        f"INSERT INTO {table} (id) VALUES (2)",
    )
    for source in ({"table": table}, {"query": f"SELECT * FROM {table}"}):
        columns, rows = read_all(opened(typed.url, **source))
        for column, value, (declared, _, kind, expected, facts) in zip(columns[1:], rows[0][1:], TYPES, strict=True):
            assert (column.kind, column.declared) == (kind, OF_DOMAINS.get(declared, declared))
            assert {fact: getattr(column, fact) for fact in facts} == facts, declared
            if expected is not None:
                assert (value, type(value)) == (expected, type(expected)), declared
                assert repr(value) == repr(expected) or declared == "real"
        assert rows[1] == (2, *[None] * len(TYPES))


@pytest.mark.parametrize(("declared", "value"), UNFIT)
def test_a_value_that_fits_nowhere_is_named_with_its_column_and_key(typed, table, opened, declared, value):
    typed.execute(
        f"CREATE TABLE {table} (id text, born {declared})",
        f"INSERT INTO {table} VALUES ('a', NULL), ('b c', '{value}')",
    )
    with pytest.raises(TableFaultError, match=r'the column "born" \(.*\) holds .* in the row with the key "b c"'):
        read_all(opened(typed.url, table=table))


def test_a_key_that_is_no_number_is_named(postgres, opened):
    with pytest.raises(TableFaultError, match='"id" holds NaN'):
        read_all(opened(postgres.url, query="SELECT 1::numeric AS id UNION ALL SELECT 'NaN'"))
    with pytest.raises(TableFaultError, match=r'"id" .* holds infinity, .* in its key'):
        read_all(opened(postgres.url, query="SELECT 'infinity'::date AS id"))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("mood", ["happy", "ok", "sad"]),  # its own order is another one
        ("citext", ["B", "a", "c"]),
        ("uuid", ["0000000a-0000-0000-0000-000000000000", "a0000000-0000-0000-0000-000000000000"]),
        ("inet", ["10.0.0.1/32", "9.0.0.1/32"]),
        ("interval", ["10 days", "9 days"]),
        ("bytea", [b"", b"\x00", b"\x01", b"\xff"]),
        ("timestamptz", [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)]),
        ("char(3)", ["a", "a!", "b"]),
        ("numeric", [Decimal(-1), Decimal("0.5"), Decimal(10)]),
    ],
)
def test_keys_of_many_types_come_in_order(typed, table, opened, declared, expected):
    typed.execute(f"CREATE TABLE {table} (id {declared} PRIMARY KEY)")
    with typed.connect() as connection:
        for value in reversed(expected):
            connection.execute(
                f"INSERT INTO {table} VALUES (%s::text::{declared})"
                if isinstance(value, str)
                else f"INSERT INTO {table} VALUES (%s)",
                [value],
            )
    assert [row[0] for row in read_all(opened(typed.url, table=table))[1]] == expected


def test_a_database_of_another_encoding_is_read_in_the_order_of_utf8(own_postgres):
    own_postgres.execute(
        "CREATE DATABASE other ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", admin=True
    )
    url = own_postgres.url.replace(f"/{DATABASE}", "/other")
    query = "VALUES ('日'), ('a'), ('ア'), ('亜')"
    _, rows = read_all(open_database(url, table=None, query=query, key="column1"))
    assert [row[0] for row in rows] == ["a", "ア", "亜", "日"]


def test_a_function_that_writes_cannot_be_used(postgres, table, opened):
    postgres.execute(
        f"CREATE TABLE {table} (id int)",
        f"CREATE FUNCTION {table}_write() RETURNS int LANGUAGE sql AS 'INSERT INTO {table} VALUES (1) RETURNING id'",
    )
    with pytest.raises(TableFaultError, match="read-only transaction"):
        read_all(opened(postgres.url, query=f"SELECT {table}_write() AS id"))
    assert postgres.execute(f"SELECT * FROM {table}") == []


def terminate(postgres):
    postgres.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'syncd'")


def test_a_connection_lost_in_the_middle_is_no_end_of_the_table(postgres, table, opened):
    postgres.execute(f"CREATE TABLE {table} (id int)", f"INSERT INTO {table} SELECT generate_series(1, 12000)")
    database = opened(postgres.url, table=table)
    with pytest.raises(TableUnavailableError, match="does not answer"), database.read() as reading:
        for batch in reading.batches():
            assert batch
            terminate(postgres)
    assert len(read_all(database)[1]) == 12000


def test_a_server_that_is_down_is_unavailable_and_comes_back(own_postgres, table, opened):
    own_postgres.execute(f"CREATE TABLE {table} (id int)", f"INSERT INTO {table} VALUES (1)")
    database = opened(own_postgres.url, table=table)
    token = database.probe()
    for immediate in (True, False):
        own_postgres.stop(immediate=immediate)
        for call in (database.probe, lambda: read_all(database)):
            with pytest.raises(TableUnavailableError) as caught:
                call()
            assert PASSWORD not in str(caught.value)
        own_postgres.start()
        assert read_all(database)[1] == [(1,)]
        assert database.probe() != token


def test_no_connection_is_left_behind(own_postgres, table):
    own_postgres.execute(f"CREATE TABLE {table} (id int)")
    database = open_database(own_postgres.url, table=table, query=None, key="id")
    for _ in range(3):
        database.probe()
        read_all(database)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'syncd'"
    assert eventually(lambda: own_postgres.execute(count), [(1,)])  # the one for probes
    database.close()
    assert eventually(lambda: own_postgres.execute(count), [(0,)])


def test_a_full_server_is_unavailable(own_postgres):
    own_postgres.execute(f"ALTER ROLE {USER} NOSUPERUSER CONNECTION LIMIT 0")
    with pytest.raises(TableUnavailableError, match="too many connections"):
        read_all(open_database(own_postgres.url, table="t", query=None, key="id"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({PASSWORD_IN_URL: "wr%40ng"}, "does not accept the user or the password"),
        ({USER: "nobody"}, "does not accept the user or the password"),
        ({f"/{DATABASE}": "/datasets"}, "has no such database"),
        ({f"/{DATABASE}": f"/{DATABASE}?colour=red"}, "cannot be connected to"),
        ({f"/{DATABASE}": f"/{DATABASE}?sslmode=require"}, "refuses the connection"),
        ({f"/{DATABASE}": f"/{DATABASE}?sslmode=odd"}, "refuses the connection"),
    ],
)
def test_a_wrong_url_is_a_fault_that_names_no_secret(postgres, wrong, said):
    url = postgres.url
    for right, instead in wrong.items():
        url = url.replace(right, instead)
    database = open_database(url, table="t", query=None, key="id")
    assert database.probe() is None
    with pytest.raises(TableFaultError, match=said) as caught:
        read_all(database)
    for secret in (PASSWORD, PASSWORD_IN_URL, "wr@ng", "wr%40ng", USER):
        assert secret not in str(caught.value)


def test_a_table_that_may_not_be_read_is_a_fault(postgres, table):
    postgres.execute(
        f"CREATE TABLE {table} (id int)",
        f"CREATE ROLE {table}_reader LOGIN PASSWORD 'x'",
        f"REVOKE ALL ON {table} FROM PUBLIC",
    )
    url = postgres.url.replace(USER, f"{table}_reader").replace(PASSWORD_IN_URL, "x")
    with pytest.raises(TableFaultError, match=r"does not permit this\. permission denied for table(.|\n)*GRANT SELECT"):
        read_all(open_database(url, table=table, query=None, key="id"))


def test_a_password_in_a_drivers_text_is_removed(postgres):
    query = f"SELECT 1 AS id WHERE '{PASSWORD}'::int = 1 OR '{PASSWORD_IN_URL}'::int = 1"
    with pytest.raises(TableFaultError, match=r"invalid input syntax.*\*\*\*") as caught:
        read_all(open_database(postgres.url, table=None, query=query, key="id"))
    assert PASSWORD not in str(caught.value)
    assert PASSWORD_IN_URL not in str(caught.value)


def test_a_locked_table_is_unavailable(postgres, table):
    postgres.execute(f"CREATE TABLE {table} (id int)")
    database = open_database(postgres.url, table=table, query=None, key="id", statement_timeout_s=0.2)
    with postgres.connect() as other:
        other.execute(f"BEGIN; LOCK TABLE {table}")
        with pytest.raises(TableUnavailableError, match="stopped a statement"):
            read_all(database)
