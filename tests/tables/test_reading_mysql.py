"""MySQL and MariaDB: types, faults, and what becomes of a lost connection. The server here is a MariaDB."""

# ruff: noqa: PT012, DTZ001 - the statements are the tests' own; a loss is in the middle; some times have no zone
from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from syncd.sources.tables.base import Kind, TableFaultError, TableUnavailableError
from syncd.sources.tables.database import open_database
from tests.support.databases import DATABASE, PASSWORD, PASSWORD_IN_URL, USER, read_all

TYPES = [
    ("tinyint(1)", "1", Kind.BOOLEAN, True, {}),
    ("boolean", "0", Kind.BOOLEAN, False, {}),
    ("tinyint(4)", "-5", Kind.INTEGER, -5, {}),
    ("tinyint(3) unsigned", "255", Kind.INTEGER, 255, {}),
    ("smallint(6)", "-32768", Kind.INTEGER, -32768, {}),
    ("mediumint(9)", "8388607", Kind.INTEGER, 8388607, {}),
    ("int(10) unsigned", "4294967295", Kind.INTEGER, 2**32 - 1, {}),
    ("bigint(20)", "-9223372036854775808", Kind.INTEGER, -(2**63), {}),
    ("bigint(20) unsigned", "18446744073709551615", Kind.DECIMAL, Decimal(2**64 - 1), {"precision": 20, "scale": 0}),
    ("decimal(10,2)", "-1.5", Kind.DECIMAL, Decimal("-1.50"), {"precision": 10, "scale": 2}),
    ("decimal(10,0)", "7", Kind.DECIMAL, Decimal(7), {"precision": 10, "scale": 0}),
    ("decimal(65,30) unsigned", "0.5", Kind.DECIMAL, Decimal("0.5" + 29 * "0"), {"precision": 65, "scale": 30}),
    ("decimal(5,5)", "0.12345", Kind.DECIMAL, Decimal("0.12345"), {"precision": 5, "scale": 5}),
    ("float", "16777217 / 3", Kind.FLOAT, 5592405.5, {}),
    ("double", "0.1", Kind.FLOAT, 0.1, {}),
    ("varchar(20)", "'naïve 😀 '", Kind.TEXT, "naïve 😀 ", {}),
    ("char(5)", "'ab'", Kind.TEXT, "ab", {}),
    ("varchar(9) CHARACTER SET latin1", "'é'", Kind.TEXT, "é", {}),
    ("longtext", "'x'", Kind.TEXT, "x", {}),
    ("enum('a','b')", "'b'", Kind.TEXT, "b", {}),
    ("set('a','b')", "'a,b'", Kind.TEXT, "a,b", {}),
    ("binary(3)", "x'00ff'", Kind.BYTES, b"\x00\xff\x00", {}),
    ("varbinary(9)", "x'00ff'", Kind.BYTES, b"\x00\xff", {}),
    ("mediumblob", "x'00ff'", Kind.BYTES, b"\x00\xff", {}),
    ("bit(10)", "b'1000000001'", Kind.BYTES, b"\x02\x01", {}),
    ("date", "'2024-02-29'", Kind.DATE, date(2024, 2, 29), {}),
    ("time(3)", "'23:59:59.5'", Kind.TIME, time(23, 59, 59, 500000), {}),
    ("datetime(6)", "'2024-02-29 01:02:03.4'", Kind.TIMESTAMP, datetime(2024, 2, 29, 1, 2, 3, 400000), {}),
    ("timestamp(3)", "'2024-02-29 01:02:03'", Kind.TIMESTAMP_TZ, datetime(2024, 2, 28, 19, 32, 3, tzinfo=UTC), {}),
    ("year(4)", "2024", Kind.INTEGER, 2024, {}),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", Kind.TEXT, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", {}),
    ("inet6", "'::1'", Kind.TEXT, "::1", {}),
    ("json", '\'{"b": 1,  "a":2}\'', Kind.JSON, '{"b": 1,  "a":2}', {}),
    ("point", "POINT(1, 2)", Kind.BYTES, None, {}),
]


def test_every_type_is_read_as_it_is_declared(mariadb, table, opened):
    columns = ", ".join(f"c{n} {declared} NULL" for n, (declared, *_) in enumerate(TYPES))
    written = ", ".join(value for _, value, *_ in TYPES)
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})")
        cursor.execute("SET time_zone = '+05:30'")  # of who writes, not of who reads
        cursor.execute(f"INSERT INTO {table} VALUES (1, {written})")
        cursor.execute(f"INSERT INTO {table} (id) VALUES (2)")
    for source in ({"table": table}, {"query": f"SELECT * FROM {table}"}):
        columns, rows = read_all(opened(mariadb.url, **source))
        for column, value, (declared, _, kind, expected, facts) in zip(columns[1:], rows[0][1:], TYPES, strict=True):
            if declared == "json" and "query" in source:
                kind = Kind.TEXT  # noqa: PLW2901 - MariaDB knows of it only at the table
            assert column.kind == kind, declared
            assert {fact: getattr(column, fact) for fact in facts} == facts, declared
            if "table" in source and declared not in ("boolean", "json") and "CHARACTER" not in declared:
                assert column.declared == declared
            if expected is not None:
                assert (value, type(value), repr(value)) == (expected, type(expected), repr(expected)), declared
        assert rows[1] == (2, *[None] * len(TYPES))


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ("date", "0000-00-00", '"0000-00-00", which is no date'),
        ("date", "2024-02-00", '"2024-02-00", which is no date'),
        ("datetime", "0000-00-00 00:00:00", "which is no date"),
        ("timestamp", "0000-00-00 00:00:00", "which is no date"),
        ("time", "-01:00:00", "which is no time of a day"),
        ("time", "24:00:00", "which is no time of a day"),
        ("boolean", "2", "2, which is neither 0 nor 1"),
    ],
)
def test_a_value_that_fits_nowhere_is_named_with_its_column_and_key(mariadb, table, opened, declared, value, said):
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute(f"CREATE TABLE {table} (id varchar(9), born {declared} NULL)")
        cursor.execute(f"INSERT INTO {table} VALUES ('a', NULL), ('b c', '{value}')")
    with pytest.raises(
        TableFaultError, match=rf'the column "born" \(.*\) holds .*{said}, in the row with the key "b c"'
    ):
        read_all(opened(mariadb.url, table=table))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("enum('b','a')", ["a", "b"]),  # its own order is another one
        ("varchar(9) CHARACTER SET latin1", ["Z", "a", "é"]),
        ("char(9) COLLATE utf8mb4_bin", ["Z", "a", "日", "😀"]),
        ("varchar(1000) COLLATE utf8mb4_unicode_ci", ["A" * 900 + "b", "a" * 900, "b"]),
        ("uuid", ["00000000-0000-1000-8000-00000000000a", "a0000000-0000-1000-8000-000000000000"]),
        ("varbinary(9)", [b"", b"\x00", b"\x01", b"\xff"]),
        ("bigint unsigned", [Decimal(1), Decimal(2**63), Decimal(2**64 - 1)]),
        ("date", [date(1999, 12, 31), date(2024, 1, 1)]),
    ],
)
def test_keys_of_many_types_come_in_order(mariadb, table, opened, declared, expected):
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id {declared})")
        for value in reversed(expected):
            cursor.execute(f"INSERT INTO {table} VALUES (%s)", [value])
    assert [row[0] for row in read_all(opened(mariadb.url, table=table))[1]] == expected


def test_a_function_that_writes_cannot_be_used(mariadb, table, opened):
    mariadb.execute(
        f"CREATE TABLE {table} (id int)",
        f"CREATE FUNCTION {table}_write() RETURNS int BEGIN INSERT INTO {table} VALUES (1); RETURN 1; END",
    )
    with pytest.raises(TableFaultError, match="READ ONLY transaction"):
        read_all(opened(mariadb.url, query=f"SELECT {table}_write() AS id"))
    assert mariadb.execute(f"SELECT * FROM {table}") == []


def test_it_cannot_be_told_whether_anything_changed(mariadb, table, opened):
    """Not even whether the server answers is asked."""
    assert opened(mariadb.url, table=table).probe() is None
    assert opened("mariadb://u:p@127.0.0.1:1/d", table=table).probe() is None


def test_a_connection_killed_in_the_middle_is_no_end_of_the_table(mariadb, table, opened):
    mariadb.execute(
        f"CREATE TABLE {table} (id int, label varchar(900))",
        f"INSERT INTO {table} SELECT seq, repeat('x', 900) FROM seq_1_to_60000",
    )
    database = opened(mariadb.url, table=table)
    with pytest.raises(TableUnavailableError, match="does not answer"), database.read() as reading:
        for batch in reading.batches():
            assert batch
            for (number,) in mariadb.execute(f"SELECT id FROM information_schema.processlist WHERE user = '{USER}'"):
                mariadb.execute(f"KILL {number}")
    assert len(read_all(database)[1]) == 60000


def test_a_server_that_is_down_is_unavailable_and_comes_back(own_mariadb, table, opened):
    own_mariadb.execute(f"CREATE TABLE {table} (id int)", f"INSERT INTO {table} VALUES (1)")
    database = opened(own_mariadb.url, table=table)
    for immediate in (True, False):
        own_mariadb.stop(immediate=immediate)
        with pytest.raises(TableUnavailableError, match="does not answer") as caught:
            read_all(database)
        assert PASSWORD not in str(caught.value)
        own_mariadb.start()
        assert read_all(database)[1] == [(1,)]


def test_a_full_server_is_unavailable(mariadb):
    mariadb.execute("SET GLOBAL max_connections = 10")
    held = [mariadb.connect() for _ in range(10)]  # and root has one in reserve
    try:
        with pytest.raises(TableUnavailableError, match="Too many connections"):
            read_all(open_database(mariadb.url, table="t", query=None, key="id"))
    finally:
        for connection in held:
            connection.close()
        mariadb.execute("SET GLOBAL max_connections = 151")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({PASSWORD_IN_URL: "wr%40ng"}, "does not accept the user or the password"),
        ({USER: "nobody"}, "does not accept the user or the password"),
        ({f"/{DATABASE}": "/datasets"}, "has no such database"),
        ({f"/{DATABASE}": f"/{DATABASE}?colour=red"}, "cannot be connected to"),
    ],
)
def test_a_wrong_url_is_a_fault_that_names_no_secret(mariadb, wrong, said):
    url = mariadb.url
    for right, instead in wrong.items():
        url = url.replace(right, instead)
    with pytest.raises(TableFaultError, match=said) as caught:
        read_all(open_database(url, table="t", query=None, key="id"))
    for secret in (PASSWORD, PASSWORD_IN_URL, "wr@ng", "wr%40ng", USER):
        assert secret not in str(caught.value)


def test_a_table_that_may_not_be_read_is_a_fault_that_names_no_user(mariadb, table):
    mariadb.execute(f"CREATE TABLE {table} (id int)", "CREATE USER 'other_reader'@'%' IDENTIFIED BY 'x'")
    mariadb.execute(f"CREATE TABLE {table}_b (id int)", f"GRANT SELECT ON {DATABASE}.{table}_b TO 'other_reader'@'%'")
    url = mariadb.url.replace(USER, "other_reader").replace(PASSWORD_IN_URL, "x")
    with pytest.raises(TableFaultError, match=r"does not permit this(.|\n)*GRANT SELECT") as caught:
        read_all(open_database(url, table=table, query=None, key="id"))
    assert "other_reader" not in str(caught.value)
