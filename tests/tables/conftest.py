"""A table of a name of its own for each test, on each kind of database."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from syncd.sources.tables.base import TableDatabase
from syncd.sources.tables.database import open_database
from tests.support.databases import DatabaseServer, mariadb, own_mariadb, own_postgres, postgres

__all__ = ["mariadb", "own_mariadb", "own_postgres", "postgres"]


class SqliteFile:
    """A database file with the methods of a ``DatabaseServer`` that tests need. In WAL mode: writers need not wait."""

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, f"sqlite:///{path}"
        self.execute("PRAGMA journal_mode = WAL")

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall()


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteFile:
    return SqliteFile(tmp_path / "dataset.db")


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> SqliteFile | DatabaseServer:
    """Each of the three."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def table() -> str:
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def opened() -> Iterator[Callable[..., TableDatabase]]:
    """Open a table or a query; closed at the end."""
    with ExitStack() as databases:

        def make(url: str, *, key: str = "id", **source: Any) -> TableDatabase:
            database = open_database(url, **{"table": None, "query": None, **source}, key=key)
            databases.callback(database.close)
            return database

        yield make
