"""What every kind of database promises; see ``syncd.sources.tables.base``."""

# ruff: noqa: PT012 - the statements are the tests' own; what fails is in the middle of a read
from __future__ import annotations

import gc
import threading

import psutil
import pytest

from syncd.sources.tables.base import Kind, TableFaultError, TableUnavailableError
from syncd.sources.tables.database import open_database
from syncd.sources.tables.row_width import FIRST_ROWS, MOST_BYTES, width
from tests.support.databases import read_all

MANY = 12_000  # rows: several batches
STREAMED = 200_000
MOST_GROWTH_BYTES = 60 << 20
TEXTS = ["", " ", "A", "B", "Z", "a", "a b", "ab", "a-b", "z", "ß", "ä", "é", "e\u0301", "\ue000", "日本", "😀", "100%"]


def numbers(server, table, count, extra="'x'"):
    """Make a table of ``count`` rows, keys 1 to count."""
    server.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, label VARCHAR(200))")
    digits = "(SELECT 0 AS d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
    places = range(len(str(count)))
    value = " + ".join(f"{10**place} * p{place}.d" for place in places)
    crossed = ", ".join(f"{digits} AS p{place}" for place in places)
    server.execute(f"INSERT INTO {table} SELECT {value}, {extra} FROM {crossed} WHERE {value} BETWEEN 1 AND {count}")


def test_integers_come_by_value(server, table, opened):
    server.execute(f"CREATE TABLE {table} (id BIGINT)", f"INSERT INTO {table} VALUES (10), (-3), (9), (-20), (0)")
    columns, rows = read_all(opened(server.url, table=table))
    assert [row[0] for row in rows] == [-20, -3, 0, 9, 10]
    assert (columns[0].name, columns[0].kind) == ("id", Kind.INTEGER)


def test_text_comes_by_its_utf8_bytes_whatever_the_collation(server, table, opened):
    collation = {"sqlite": "NOCASE", "postgresql": '"und-x-icu"', "mysql": "utf8mb4_unicode_520_ci"}
    declared = f"VARCHAR(20) COLLATE {collation[server.url.split(':')[0]]}"
    server.execute(f"CREATE TABLE {table} (id {declared})")
    for text in TEXTS:
        server.execute(f"INSERT INTO {table} VALUES ('{text}')")
    expected = sorted(TEXTS, key=str.encode)
    for source in ({"table": table}, {"query": f"SELECT * FROM {table}"}):
        columns, rows = read_all(opened(server.url, **source))
        assert [row[0] for row in rows] == expected
        assert columns[0].kind == Kind.TEXT


def test_a_read_sees_nothing_that_is_committed_while_it_runs(server, table, opened):
    """Everything in it is as of one moment: rows changed, deleted and inserted before its end are as they were."""
    numbers(server, table, MANY)
    with opened(server.url, table=table).read() as reading:
        batches = reading.batches()
        rows = list(next(batches))
        server.execute(
            f"UPDATE {table} SET label = 'new'",
            f"DELETE FROM {table} WHERE id > {MANY - 100}",
            f"INSERT INTO {table} VALUES ({MANY + 1}, 'new')",
        )
        rows += [row for batch in batches for row in batch]
    assert rows == [(number, "x") for number in range(1, MANY + 1)]

    _, rows = read_all(opened(server.url, table=table))
    assert rows == [(number, "new") for number in range(1, MANY - 99)] + [(MANY + 1, "new")]


def test_an_empty_table_has_columns_and_no_rows(server, table, opened):
    server.execute(f"CREATE TABLE {table} (id INTEGER, label VARCHAR(9))")
    columns, rows = read_all(opened(server.url, table=table, key="label"))
    assert [(column.name, column.kind) for column in columns] == [("id", Kind.INTEGER), ("label", Kind.TEXT)]
    assert rows == []


def test_a_key_that_is_null_is_named(server, opened):
    with pytest.raises(TableFaultError, match='the key column "id" holds NULL'):
        read_all(opened(server.url, query="SELECT 1 AS id UNION ALL SELECT NULL"))


@pytest.mark.parametrize(("first", "shown"), [("7", "7"), ("'a b'", '"a b"')])
def test_a_key_that_comes_twice_is_named(server, opened, first, shown):
    with pytest.raises(TableFaultError, match=f'the key column "id" holds {shown} twice'):
        read_all(opened(server.url, query=f"SELECT {first} AS id UNION ALL SELECT {first}"))


def test_a_key_that_comes_twice_is_found_across_batches(server, table, opened):
    numbers(server, table, MANY)
    with opened(server.url, query=f"SELECT id FROM {table}").read() as reading:
        *ends, _ = [batch[-1][0] for batch in reading.batches()]
    assert len(ends) > 2
    for end in ends:
        query = f"SELECT CASE id WHEN {end + 1} THEN {end} ELSE id END AS id FROM {table}"
        with pytest.raises(TableFaultError, match=f'the key column "id" holds {end} twice'):
            read_all(opened(server.url, query=query))


def test_a_missing_table_is_named_and_a_near_one_suggested(server, table, opened):
    server.execute(f"CREATE TABLE {table}_labels (id INTEGER)")
    with pytest.raises(TableFaultError, match=f'did you mean "{table}_labels"'):
        read_all(opened(server.url, table=f"{table}_lables"))


def test_a_missing_column_is_named_and_a_near_one_suggested(server, table, opened):
    server.execute(f"CREATE TABLE {table} (picture_id INTEGER, label INTEGER)")
    with pytest.raises(TableFaultError, match=r'there is no column "pictureid"\.\n.*did you mean "picture_id"'):
        read_all(opened(server.url, table=table, key="pictureid"))


def test_a_column_that_makes_no_keys_is_refused(server, table, opened):
    server.execute(f"CREATE TABLE {table} (id DOUBLE PRECISION)")
    with pytest.raises(TableFaultError, match=r'the key column "id" has the type \w+.* does not make keys'):
        read_all(opened(server.url, table=table))


@pytest.mark.parametrize("end", ["", ";", " ;;\n", "\n-- the end"])
def test_a_query_may_end_as_people_end_it(server, opened, end):
    _, rows = read_all(opened(server.url, query=f"-- labels; of (all)\nSELECT 1 AS id, '100%' AS b{end}"))
    assert rows == [(1, "100%")]


def test_a_query_may_begin_with_with(server, opened):
    _, rows = read_all(opened(server.url, query="WITH a AS (SELECT 2 AS id UNION ALL SELECT 1) SELECT * FROM a"))
    assert rows == [(1,), (2,)]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM {table}",
        "INSERT INTO {table} VALUES (9, 'z')",
        "/* SELECT */ DROP TABLE {table}",
        "/*!50000 DELETE FROM {table} */",
        "",
        "SELECT 1 AS id; DELETE FROM {table}",
        "SELECT 1 AS id) AS q; DELETE FROM {table}; SELECT * FROM (SELECT 1 AS id",
        "SELECT 1 AS id) AS q; COMMIT; DELETE FROM {table}; --",
        "WITH a AS (DELETE FROM {table} RETURNING *) SELECT * FROM a",
        "WITH a AS (SELECT 1 AS id) DELETE FROM {table}",
        "SELECT 1 AS id INTO OUTFILE '/tmp/{table}'",
        "SELECT 1 AS id INTO {table}_b",
    ],
)
def test_a_query_that_is_not_one_select_is_refused_and_writes_nothing(server, table, query):
    numbers(server, table, 3)
    with pytest.raises(TableFaultError):
        read_all(open_database(server.url, table=None, query=query.format(table=table), key="id"))
    assert server.execute(f"SELECT count(*) FROM {table}") == [(3,)]


def test_names_may_hold_anything(server, table, opened):
    quote = "`" if server.url.startswith("mysql") else '"'
    names = [f'{table} "of" %s 100%%', "a `key` %", "Größe; --"]
    quoted = [f"{quote}{name.replace(quote, quote * 2)}{quote}" for name in names]
    server.execute(f"CREATE TABLE {quoted[0]} ({quoted[1]} INTEGER, {quoted[2]} INTEGER)")
    server.execute(f"INSERT INTO {quoted[0]} VALUES (1, 2)")
    columns, rows = read_all(opened(server.url, table=names[0], key=names[1]))
    assert [column.name for column in columns] == names[1:]
    assert rows == [(1, 2)]


def test_a_schema_may_be_named(server, table, opened):
    schema = {"sqlite": "main", "postgresql": "public", "mysql": "dataset"}[server.url.split(":")[0]]
    numbers(server, table, 2)
    assert read_all(opened(server.url, table=f"{schema}.{table}"))[1] == [(1, "x"), (2, "x")]
    with pytest.raises(TableFaultError):
        read_all(opened(server.url, table=f"nowhere.{table}"))


def test_decimals_come_by_value(server, opened):
    query = "SELECT 10 AS id UNION ALL SELECT -2 UNION ALL SELECT 9"
    if not server.url.startswith("sqlite"):  # which has none
        query = (
            "SELECT CAST(id AS DECIMAL(10, 2)) AS id FROM (SELECT 10 AS id UNION ALL SELECT -2.5 UNION ALL SELECT 9) a"
        )
    _, rows = read_all(opened(server.url, query=query))
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert len(rows) == 3


def test_a_read_that_is_given_up_ends_at_once_and_the_next_one_works(server, table, opened):
    numbers(server, table, MANY)
    database = opened(server.url, table=table)
    for _ in range(3):
        with database.read() as reading:
            assert len(next(reading.batches())) == FIRST_ROWS
    with pytest.raises(LookupError), database.read() as reading:
        next(reading.batches())
        raise LookupError
    assert len(read_all(database)[1]) == MANY


def test_wide_rows_are_fetched_few_at_a_time(server, table, opened):
    """P7: 5,000 of them would be 250 MB, with each of an embedding, say."""
    numbers(server, table, 600)
    server.execute(
        f"CREATE TABLE {table}_wide (id INTEGER PRIMARY KEY, label TEXT)",
        f"INSERT INTO {table}_wide SELECT id, '{'x' * 50_000}' FROM {table}",
    )
    with opened(server.url, table=f"{table}_wide").read() as reading:
        batches = [list(batch) for batch in reading.batches()]
    assert [row[0] for batch in batches for row in batch] == list(range(1, 601))
    assert all(sum(map(width, batch)) <= MOST_BYTES for batch in batches)
    assert len(batches) < 12


def test_memory_stays_flat_over_many_rows(server, table, opened):
    numbers(server, table, STREAMED, extra=f"'{'x' * 180}'")
    read_all(opened(server.url, query="SELECT 1 AS id"))  # what the drivers load is loaded
    gc.collect()
    count, most, before = 0, 0, psutil.Process().memory_info().rss
    with opened(server.url, table=table).read() as reading:
        for batch in reading.batches():
            most = max(most, psutil.Process().memory_info().rss)
            count, last = count + len(batch), batch[-1][0]
    assert (count, last) == (STREAMED, STREAMED)
    assert most - before < MOST_GROWTH_BYTES


def test_a_statement_that_takes_too_long_is_stopped(server, table):
    numbers(server, table, 2_000)
    query = f"SELECT count(*) AS id FROM {table} a, {table} b, {table} c WHERE a.label <= b.label"
    database = open_database(server.url, table=None, query=query, key="id", statement_timeout_s=0.2)
    with pytest.raises(TableUnavailableError, match=r"limit (is|of) 0\.2 s"):
        read_all(database)


def test_any_thread_may_read_and_close(server, table):
    numbers(server, table, 3)
    database, seen = open_database(server.url, table=table, query=None, key="id"), []
    for work in (database.probe, lambda: seen.append(len(read_all(database)[1])), database.probe, database.close):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    database.close()
    assert seen == [3]


@pytest.mark.parametrize(
    "url", ["oracle://u:secret@h/d", "secret", "mysql://u:se@cret@h:port/d", "postgresql+asyncpg://u:secret@h/d", ""]
)
def test_a_url_that_cannot_be_used_is_not_repeated(url):
    with pytest.raises(TableFaultError) as caught:
        open_database(url, table="t", query=None, key="id")
    assert "cret" not in str(caught.value)


def test_either_a_table_or_a_query():
    for source in ({"table": "t", "query": "SELECT 1"}, {"table": None, "query": None}):
        with pytest.raises(TableFaultError, match="either a table or a query"):
            open_database("sqlite:///x.db", **source, key="id")


def test_two_columns_of_one_name_are_refused_or_told_apart(server, opened):
    database = opened(server.url, query="SELECT 1 AS id, 2 AS a, 3 AS a")
    if server.url.startswith("sqlite"):  # it names them itself
        assert [column.name for column in read_all(database)[0]] == ["id", "a", "a:1"]
    else:
        with pytest.raises(TableFaultError, match=r"(named|name) [\"']a[\"']"):
            read_all(database)
