"""Tables of real databases in real snapshots: each is the table as it was at one moment."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.comparing import Reader
from tests.support.daemon import Dataset, until
from tests.support.databases import DatabaseServer, mariadb, own_postgres, postgres
from tests.tables.conftest import SqliteFile, server, sqlite, table

__all__ = ["mariadb", "own_postgres", "postgres", "server", "sqlite", "table"]

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


def table_of(objects: dict[str, bytes], name: str) -> list[dict[str, Any]]:
    """The rows of a table in a snapshot, in the order of its parts' names, read with pyarrow alone."""
    parts = sorted(key for key in objects if key.startswith(f"tables/{name}/part-"))
    tables = [pq.read_table(io.BytesIO(objects[key])) for key in parts]
    return pa.concat_tables(tables).to_pylist() if tables else []


@pytest.fixture
def with_table(dataset: Dataset, tmp_path: Path) -> Callable[..., Dataset]:
    """Configure a dataset with one table of a database; its url is in a file of its own."""

    def configure(url: str, table: str, **more: Any) -> Dataset:
        secret = tmp_path / "labels-url"
        secret.touch(mode=0o600)
        secret.write_text(url)
        values = {"name": "labels", "url_file": str(secret), "table": table, "key": "id", "poll_seconds": 0.2}
        dataset.configure(tables=[values | more])
        return dataset

    return configure


def test_a_table_goes_along_with_the_images(
    server: SqliteFile | DatabaseServer, table: str, with_table: Callable[..., Dataset], reader: Reader
) -> None:
    """P1, P2: added, changed and deleted rows are in the snapshot that is asked for right afterwards."""
    server.execute(
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, image VARCHAR(200), label VARCHAR(50))",
        f"INSERT INTO {table} VALUES (1, 'a.png', 'cat'), (2, 'b.png', 'dog'), (3, NULL, 'ünï')",
    )
    dataset = with_table(server.url, table)
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    first = reader.objects(dataset.snapshot()["tag"])
    assert table_of(first, "labels") == [
        {"id": 1, "image": "a.png", "label": "cat"},
        {"id": 2, "image": "b.png", "label": "dog"},
        {"id": 3, "image": None, "label": "ünï"},
    ]
    assert first["images/a.png"] == b"a"
    assert json.loads(first["tables/labels/_schema.json"])["rows"] == 3

    server.execute(
        f"UPDATE {table} SET label = 'mouse' WHERE id = 1",
        f"DELETE FROM {table} WHERE id = 3",
        f"INSERT INTO {table} VALUES (-5, 'c.png', '')",
    )
    second = dataset.snapshot()
    assert table_of(reader.objects(second["tag"]), "labels") == [
        {"id": -5, "image": "c.png", "label": ""},
        {"id": 1, "image": "a.png", "label": "mouse"},
        {"id": 2, "image": "b.png", "label": "dog"},
    ]
    assert dataset.snapshot()["tag"] == second["tag"]  # nothing changed, no snapshot
    assert "p@ss" not in dataset.daemons[0].log()


def test_a_change_is_noticed_by_itself(
    server: SqliteFile | DatabaseServer, table: str, with_table: Callable[..., Dataset], reader: Reader
) -> None:
    """The poll finds it, and the quiet time makes the snapshot."""
    server.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)", f"INSERT INTO {table} VALUES (1)")
    dataset = with_table(server.url, table)
    dataset.configure(snapshot={"quiet_seconds": 0.2})
    dataset.start()
    dataset.status_until(lambda status: status["snapshot"], "a first snapshot")
    server.execute(f"INSERT INTO {table} VALUES (2)")

    def newest() -> list[dict[str, Any]]:
        return table_of(reader.objects("main"), "labels")

    until(lambda: newest() == [{"id": 1}, {"id": 2}], "a snapshot with the new row")


def test_a_truncated_table_waits_for_an_approval(
    postgres: DatabaseServer, table: str, with_table: Callable[..., Dataset], reader: Reader
) -> None:
    """P5: the rows stay published, images flow on with --allow-held, and an approval lets it go ahead."""
    postgres.execute(
        f"CREATE TABLE {table} (id bigint PRIMARY KEY)", f"INSERT INTO {table} SELECT generate_series(1, 100)"
    )
    dataset = with_table(postgres.url, table)
    dataset.start()
    dataset.snapshot()
    postgres.execute(f"TRUNCATE {table}")
    (dataset.root / "new.png").write_bytes(b"new")

    held = dataset.snapshot()
    assert "100 of 100 rows of labels are gone" in held["held"]
    assert dataset.command("snapshot").returncode == 3
    status = dataset.status()
    assert status["state"] == "held"
    assert status["not_synced"]["labels"] == {"held": 1}
    allowed = reader.objects(dataset.snapshot(allow_held=True)["tag"])
    assert allowed["images/new.png"] == b"new"
    assert len(table_of(allowed, "labels")) == 100

    approved = dataset.json_of("approve")
    assert "100 of 100 rows" in approved["held"]["tables"]["labels"]
    assert approved["tables"] == ["labels"]
    assert table_of(reader.objects(dataset.snapshot()["tag"]), "labels") == []


def test_a_database_that_is_away_deletes_nothing_and_is_asked_again(
    own_postgres: DatabaseServer, table: str, with_table: Callable[..., Dataset], reader: Reader
) -> None:
    """P5, P8: status says so, images flow on, and the table is in step once it is back."""
    own_postgres.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY)", f"INSERT INTO {table} VALUES (1), (2)")
    dataset = with_table(own_postgres.url, table)
    dataset.start()
    dataset.snapshot()
    own_postgres.stop(immediate=True)
    (dataset.root / "new.png").write_bytes(b"new")
    answer = dataset.snapshot(timeout_s=1)
    objects = reader.objects(answer["tag"])
    assert objects["images/new.png"] == b"new"
    assert table_of(objects, "labels") == [{"id": 1}, {"id": 2}]
    assert [left["path"] for left in answer["left_out"]] == ["labels"]
    assert dataset.status()["not_synced"] == {"labels": {"source-unavailable": 1}}

    own_postgres.start()
    own_postgres.execute(f"DELETE FROM {table} WHERE id = 1")
    again = dataset.snapshot()
    assert again["left_out"] == []
    assert table_of(reader.objects(again["tag"]), "labels") == [{"id": 2}]


def test_a_restart_reads_no_table_anew_that_it_has(
    sqlite: SqliteFile, table: str, with_table: Callable[..., Dataset], reader: Reader
) -> None:
    """P4, P7: nothing is uploaded or committed again; what changed meanwhile is."""
    sqlite.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)", f"INSERT INTO {table} VALUES (1)")
    dataset = with_table(sqlite.url, table)
    daemon = dataset.start()
    first = dataset.snapshot()["tag"]
    daemon.kill()
    dataset.start()
    assert dataset.snapshot()["tag"] == first
    dataset.daemons[-1].kill()
    sqlite.execute(f"INSERT INTO {table} VALUES (2)")
    dataset.start()
    assert table_of(reader.objects(dataset.snapshot()["tag"]), "labels") == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("table", "more", "said"),
    [
        ("absent", {}, "absent"),
        ("present", {"key": "nummer"}, "number"),
        ("present", {"image_column": "picture", "key": "number"}, "picture"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_what_may_be_meant(
    sqlite: SqliteFile, table: str, more: dict[str, str], said: str, with_table: Callable[..., Dataset]
) -> None:
    """P8: and the images flow on."""
    sqlite.execute("CREATE TABLE present (number INTEGER PRIMARY KEY, image TEXT)")
    dataset = with_table(sqlite.url, table, **more)
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    answer = dataset.snapshot()
    assert answer["images"] == 1
    assert said in answer["left_out"][0]["reason"] or said in dataset.status()["problems"][0]["detail"]


def test_a_csv_file_can_be_published_in_parts(dataset: Dataset, reader: Reader) -> None:
    """As text, sorted by key; a change is in the next snapshot."""
    path = dataset.directory / "labels.csv"
    path.write_text("id,label\nb,dog\na,cat\n")
    dataset.configure(tables=[{"name": "labels", "csv": str(path), "key": "id", "format": "parquet"}])
    dataset.start()
    first = reader.objects(dataset.snapshot()["tag"])
    assert table_of(first, "labels") == [{"id": "a", "label": "cat"}, {"id": "b", "label": "dog"}]
    path.write_text("id,label\nb,mouse\na,cat\n")
    second = reader.objects(dataset.snapshot()["tag"])
    assert table_of(second, "labels")[1] == {"id": "b", "label": "mouse"}
    explained = dataset.json_of("explain", str(path))
    assert explained["snapshot"]["tag"]
