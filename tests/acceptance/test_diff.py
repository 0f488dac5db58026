"""``syncd diff`` and ``syncd log --path`` of real snapshots: files, renames and rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.daemon import Dataset
from tests.tables.conftest import SqliteFile

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


@pytest.fixture
def database(tmp_path: Path) -> SqliteFile:
    return SqliteFile(tmp_path / "boxes.db")


def write(dataset: Dataset, labels: str, **images: bytes) -> None:
    for name, content in images.items():
        (dataset.root / f"{name}.png").write_bytes(content)
    (dataset.directory / "labels.csv").write_text(labels)


@pytest.fixture
def changed(dataset: Dataset, database: SqliteFile) -> tuple[Dataset, list[str]]:
    """Two snapshots: images came, changed, went and were renamed, and so did rows."""
    labels = {"name": "labels", "csv": str(dataset.directory / "labels.csv"), "key": "id", "image_column": "image"}
    boxes = {"name": "boxes", "url": database.url, "table": "boxes", "key": "id"}
    dataset.configure(tables=[labels, boxes], lakefs={"prefix": "photos/"})
    database.execute(
        "CREATE TABLE boxes (id INTEGER PRIMARY KEY, price REAL, size BLOB)",
        "INSERT INTO boxes VALUES (1, 1.5, x'00'), (2, NULL, x'ff'), (3, 3, NULL)",
    )
    write(dataset, "id,image,label\n1,a.png,cat\n2,b.png,dog\n", a=b"aaa", b=b"bb", gone=b"gone!", old=b"moved")
    first = dataset.json_of("sync")["tag"]
    database.execute(
        "UPDATE boxes SET price = 2.25 WHERE id = 1",
        "DELETE FROM boxes WHERE id = 2",
        "INSERT INTO boxes VALUES (4, 4, NULL)",
    )
    (dataset.root / "gone.png").unlink()
    (dataset.root / "old.png").rename(dataset.root / "new.png")
    write(dataset, "id,image,label\n2,b.png,bird\n3,c.png,\n", b=b"other", c=b"c")
    return dataset, [first, dataset.json_of("sync")["tag"]]


def test_diff_tells_files_renames_and_rows(changed: tuple[Dataset, list[str]]) -> None:
    dataset, tags = changed
    said = dataset.command("diff", *tags, "--rows").stdout.splitlines()
    part = "tables/boxes/part-0.parquet"
    files = [line.rpartition("  ")[0] for line in said if part not in line and ":" not in line]
    assert files == [
        "~ images/b.png",
        "+ images/c.png",
        "- images/gone.png",
        "R images/old.png -> images/new.png",
        "~ tables/labels.csv",
        "~ tables/labels/_closure.json",
    ]
    assert any(line.startswith(f"~ {part}") for line in said)
    assert said[said.index("boxes: 1 row added, 1 changed, 1 deleted") :] == [
        "boxes: 1 row added, 1 changed, 1 deleted",
        "  ~ 1: price 1.5 -> 2.25",
        "  - 2: id 2, price NULL, size ff",
        "  + 4: id 4, price 4.0, size NULL",
        "labels: 1 row added, 1 changed, 1 deleted",
        "  - 1: id 1, image a.png, label cat",
        "  ~ 2: label dog -> bird",
        "  + 3: id 3, image c.png, label ",
    ]
    without_rows = dataset.command("diff", *tags).stdout.splitlines()
    assert without_rows == [line for line in said if not line.startswith("  ")]
    stat = dataset.command("diff", *tags, "--stat").stdout.splitlines()
    assert stat[0].startswith("1 added (1 B), 4 changed (")
    assert stat[0].endswith("1 deleted (5 B), 1 renamed (5 B)")
    assert stat[1:] == [line for line in without_rows if line.endswith("deleted")]
    assert dataset.command("diff", tags[0], tags[0]).stdout == "no difference\n"


def test_diff_as_json_has_stable_keys(changed: tuple[Dataset, list[str]]) -> None:
    dataset, tags = changed
    told = dataset.json_of("diff", *tags)
    assert told.keys() == {"from", "to", "stat", "changes", "renamed", "tables"}
    assert [told["from"]["tag"], told["to"]["tag"]] == tags
    assert told["renamed"] == [{"from": "images/old.png", "to": "images/new.png", "bytes": 5}]
    assert {"path": "images/gone.png", "kind": "removed", "bytes": 5} in told["changes"]
    assert told["stat"]["added"] == {"files": 1, "bytes": 1}
    counts = {"kind": "changed", "added": 1, "changed": 1, "deleted": 1, "why": "", "rows": None}
    assert told["tables"] == [{"name": "boxes", **counts}, {"name": "labels", **counts}]

    boxes, labels = dataset.json_of("diff", *tags, "--rows")["tables"]
    assert boxes["rows"] == [
        {"kind": "changed", "key": 1, "old": {"price": 1.5}, "new": {"price": 2.25}},
        {"kind": "deleted", "key": 2, "old": {"id": 2, "price": None, "size": "ff"}, "new": {}},
        {"kind": "added", "key": 4, "old": {}, "new": {"id": 4, "price": 4.0, "size": None}},
    ]
    assert [row["key"] for row in labels["rows"]] == ["1", "2", "3"]
    stat = dataset.json_of("diff", *tags, "--stat")
    assert stat == {**told, "changes": None, "renamed": None}


def test_the_log_of_a_path_is_that_of_the_snapshots_that_changed_it(changed: tuple[Dataset, list[str]]) -> None:
    dataset, (first, second) = changed
    (dataset.root / "b.png").unlink()
    third = dataset.json_of("sync")["tag"]

    def log(path: str, *more: str) -> list[tuple[str, str, int]]:
        found = dataset.json_of("log", "--path", path, *more)
        return [(one["tag"], one["path_change"]["kind"], one["path_change"]["bytes"]) for one in found]

    whole = [(third, "removed", 5), (second, "changed", 5), (first, "added", 2)]
    assert log("images/b.png") == log("b.png") == whole
    assert log("b.png", "--limit", "2") == whole[:2]
    assert log("images/a.png") == [(first, "added", 3)]
    assert [tag for tag, *_ in log("tables/labels.csv")] == [second, first]
    assert dataset.json_of("log", "--path", "b") == []
    folder = dataset.json_of("log", "--path", "tables/boxes/")
    assert [(one["tag"], one["path_change"]) for one in folder] == [(second, None), (first, None)]
    said = dataset.command("log", "--path", "b.png").stdout.splitlines()
    assert [line.split()[0] for line in said[::2]] == [third, second, first]
    assert said[1] == "  deleted images/b.png, 5 B"
    assert "no such snapshot" in dataset.command("log", "--path", "never.png").stdout


def test_a_snapshot_says_by_itself_what_the_columns_of_its_tables_are_for(
    changed: tuple[Dataset, list[str]],
) -> None:
    """Whether or not rows and images are compared; a table that is not configured any more stays as it was."""
    dataset, _ = changed
    tables = dataset.sections["tables"]
    labels = {**tables[0], "closure": "off", "image_prefix": "/srv/", "image_pattern": "cdn/(.+)"}
    dataset.configure(tables=[labels])
    (dataset.root / "d.png").write_bytes(b"d")
    said = dataset.json_of("show", dataset.json_of("sync")["tag"])["metadata"]
    assert {key: value for key, value in said.items() if key.startswith(("syncd.key", "syncd.image_"))} == {
        "syncd.key.boxes": "id",
        "syncd.key.labels": "id",
        "syncd.image_column.labels": "image",
        "syncd.image_prefix.labels": "/srv/",
        "syncd.image_pattern.labels": "cdn/(.+)",
    }
    again = dataset.json_of("sync")
    dataset.configure(tables=[{**labels, "image_prefix": "/mnt/"}])
    assert dataset.json_of("sync")["tag"] == again["tag"], "what a table's columns are for makes no snapshot alone"
