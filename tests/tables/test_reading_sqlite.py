"""SQLite: its types, its faults, what its probe promises, and that nothing is ever written."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import pytest

from syncd.sources.tables.base import Kind, TableFaultError, TableUnavailableError
from syncd.sources.tables.database import open_database
from tests.support.databases import read_all
from tests.tables.conftest import SqliteFile

# declared, values written, kind, values
TYPES = [
    ("INTEGER", "1, -9223372036854775808", Kind.INTEGER, [1, -(2**63)]),
    ("BIGINT UNSIGNED", "1, 2", Kind.INTEGER, [1, 2]),
    ("BOOLEAN", "1, 0", Kind.BOOLEAN, [True, False]),
    ("TEXT", "'naïve 😀', 7", Kind.TEXT, ["naïve 😀", "7"]),
    ("VARCHAR(20)", "'a', NULL", Kind.TEXT, ["a", None]),
    ("REAL", "1, 0.1", Kind.FLOAT, [1.0, 0.1]),
    ("DOUBLE PRECISION", "1e300, -9e999", Kind.FLOAT, [1e300, float("-inf")]),
    ("BLOB", "x'00ff', x''", Kind.BYTES, [b"\x00\xff", b""]),
    ("NUMERIC", "1, 2", Kind.INTEGER, [1, 2]),
    ("NUMERIC", "1, 2.5", Kind.FLOAT, [1.0, 2.5]),
    ("DECIMAL(10,2)", "NULL, NULL", Kind.FLOAT, [None, None]),
    ("DATE", "'2024-02-29', NULL", Kind.TEXT, ["2024-02-29", None]),
    ("DATETIME", "1709168523, NULL", Kind.INTEGER, [1709168523, None]),
    ("DATETIME", "NULL, NULL", Kind.TEXT, [None, None]),
    ("JSON", "'{\"a\": 1}', NULL", Kind.JSON, ['{"a": 1}', None]),
    ("", "'x', 'y'", Kind.TEXT, ["x", "y"]),
    ("", "1, NULL", Kind.INTEGER, [1, None]),
    ("", "1, 0.5", Kind.FLOAT, [1.0, 0.5]),
    ("", "x'00', NULL", Kind.BYTES, [b"\x00", None]),
    ("", "NULL, NULL", Kind.TEXT, [None, None]),
]


@pytest.mark.parametrize(("declared", "written", "kind", "expected"), TYPES)
def test_every_type_is_read_as_declared_or_as_its_values_are(sqlite, opened, declared, written, kind, expected):
    first, second = written.split(", ")
    sqlite.execute(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, value {declared})",
        f"INSERT INTO t VALUES (1, {first}), (2, {second})",
    )
    columns, rows = read_all(opened(sqlite.url, table="t"))
    values = [row[1] for row in rows]
    assert columns[1].kind == kind
    assert (values, list(map(type, values))) == (expected, list(map(type, expected)))
    if declared:
        assert columns[1].declared == declared


def test_a_querys_columns_are_what_their_values_are(sqlite, opened):
    query = (
        "SELECT 'k' AS id, 1 AS i, 1.0 AS r, x'01' AS b, NULL AS n, 'a' AS t UNION ALL SELECT 'l', 2, 2, x'', NULL, 'b'"
    )
    columns, rows = read_all(opened(sqlite.url, query=query))
    assert [column.kind for column in columns] == [
        *(Kind.TEXT, Kind.INTEGER, Kind.FLOAT, Kind.BYTES, Kind.TEXT, Kind.TEXT)
    ]
    assert rows == [("k", 1, 1.0, b"\x01", None, "a"), ("l", 2, 2.0, b"", None, "b")]
    assert type(rows[1][2]) is float


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ("INTEGER", "'many'", 'the text "many" instead of integer'),
        ("INTEGER", "1.5", "the number 1.5 instead of integer"),
        ("TEXT", "x'00ff'", "the bytes 0x00ff instead of text"),
        ("TEXT", "CAST(x'61ff' AS TEXT)", r"text that is not UTF-8 \(0x61ff\)"),
        ("REAL", "'x'", 'the text "x" instead of float'),
        ("BLOB", "'x'", 'the text "x" instead of bytes'),
        ("BOOLEAN", "2", "the integer 2 instead of boolean"),
        ("NUMERIC", "'x'), (3, 4", "the integer 4 instead of text"),
        ("NUMERIC", "9007199254740993), (3, 0.5", "the integer 9007199254740993 instead of float"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_column_and_key(sqlite, opened, declared, value, said):
    sqlite.execute(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, value {declared})", f"INSERT INTO t VALUES (1, NULL), (2, {value})"
    )
    with pytest.raises(TableFaultError, match=rf'the column "value" .* holds {said} in the row with the key [23]'):
        read_all(opened(sqlite.url, table="t"))


def test_generated_columns_and_views_are_read(sqlite, opened):
    sqlite.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, twice INTEGER GENERATED ALWAYS AS (id * 2))",
        "INSERT INTO t VALUES (3)",
        "CREATE VIEW v AS SELECT id, twice + 0.5 AS half FROM t",
    )
    assert read_all(opened(sqlite.url, table="t"))[1] == [(3, 6)]
    columns, rows = read_all(opened(sqlite.url, table="v"))
    assert ([column.kind for column in columns], rows) == ([Kind.INTEGER, Kind.FLOAT], [(3, 6.5)])


def test_a_missing_file_is_unavailable_and_not_made(tmp_path, opened):
    database = opened(f"sqlite:///{tmp_path}/missing.db", table="t")
    for call in (database.probe, lambda: read_all(database)):
        with pytest.raises(TableUnavailableError, match="No such file"):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["folder", "text.db", "empty.db"])
def test_what_is_no_database_is_named(tmp_path, opened, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("id,label\n" * 100)
    (tmp_path / "empty.db").touch()
    said = {"folder": "cannot be read now", "text.db": "is no SQLite database", "empty.db": "has no table"}[name]
    with pytest.raises((TableUnavailableError, TableFaultError), match=said):
        read_all(opened(f"sqlite:///{tmp_path}/{name}", table="t"))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/x.db"])
def test_a_url_without_a_file_is_refused(url):
    with pytest.raises(TableFaultError):
        open_database(url, table="t", query=None, key="id")


def test_a_relative_path_and_odd_names_are_accepted(tmp_path, monkeypatch, opened):
    file = SqliteFile(tmp_path / "a#b c?%41.db")
    file.execute("CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1)")
    monkeypatch.chdir(tmp_path)
    database = opened("sqlite:///a%23b c%3F%2541.db", table="t")
    monkeypatch.chdir("/")
    assert read_all(database)[1] == [(1,)]


def test_nothing_is_written_beside_a_database_that_is_not_in_wal_mode(tmp_path, opened):
    path = tmp_path / "plain.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1)")
    before = path.read_bytes(), path.stat().st_mtime_ns
    database = opened(f"sqlite:///{path}", table="t")
    assert database.probe() is not None
    assert read_all(database)[1] == [(1,)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["plain.db"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_writer_that_does_not_end_is_unavailable(tmp_path, opened):
    path = tmp_path / "plain.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TableUnavailableError, match="is locked by a program"):
            read_all(opened(f"sqlite:///{path}", table="t"))


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_the_probe_tells_of_every_commit_and_of_nothing_else(sqlite, opened, mode):
    sqlite.execute(f"PRAGMA journal_mode = {mode}", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database = opened(sqlite.url, table="t")
    seen = [database.probe()]
    assert None not in seen
    for _ in range(3):
        assert database.probe() == seen[-1]
        read_all(database)
        assert database.probe() == seen[-1]
        sqlite.execute("INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t")
        seen.append(database.probe())
    assert len(set(seen)) == 4


def test_a_transaction_that_is_open_is_not_told_until_it_commits(sqlite, opened):
    sqlite.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database = opened(sqlite.url, table="t")
    with contextlib.closing(sqlite3.connect(sqlite.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (1)")
        token = database.probe()
        assert read_all(database)[1] == []
        assert database.probe() == token
        writer.execute("COMMIT")
        assert database.probe() != token


def test_the_token_is_another_one_for_another_file_or_connection(sqlite, opened, tmp_path):
    sqlite.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database = opened(sqlite.url, table="t")
    token = database.probe()
    database.close()
    again = database.probe()
    assert again not in (token, None)

    other = SqliteFile(tmp_path / "other.db")
    other.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (9)")
    os.replace(other.path, sqlite.path)  # noqa: PTH105 - as a program does that writes a new file
    assert database.probe() not in (again, None)
    assert read_all(database)[1] == [(9,)]
    sqlite.path.unlink()
    with pytest.raises(TableUnavailableError):
        database.probe()


def test_the_probe_cannot_tell_of_what_may_change_without_a_commit(sqlite, opened):
    sqlite.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, until TEXT)",
        "CREATE VIEW v AS SELECT id FROM t WHERE until > datetime('now')",
        "CREATE VIRTUAL TABLE f USING fts5(id)",
    )
    for source in ({"table": "v"}, {"table": "f"}, {"table": "missing"}, {"query": "SELECT * FROM t"}):
        assert opened(sqlite.url, **source).probe() is None
    assert opened(sqlite.url, table="t").probe() is not None


def test_a_driver_that_is_missing_is_named_with_its_extra():
    """In a fresh interpreter without the package."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    for url, package, extra in (
        ("postgresql://h/d", "psycopg", "postgres"),
        ("mysql://h/d", "pymysql", "mysql"),
        ("sqlite:///x.db", "sqlalchemy", "sqlite"),
    ):
        program = (
            f"import sys; sys.modules[{package!r}] = None\n"
            "from syncd.sources.tables.base import TableFaultError\n"
            "from syncd.sources.tables.database import open_database\n"
            f"try: open_database({url!r}, table='t', query=None, key='id')\n"
            "except TableFaultError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert f"needs the Python package {package}" in done.stdout
        assert f'pip install "syncd[{extra}]"' in done.stdout
