"""``syncd verify`` against a real lakeFS: stored data damaged behind its back (P6), rows and images, the source."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncd.embedded.process import ServerProcess
from syncd.errors import EXIT_FAILED, EXIT_SOURCE_UNAVAILABLE
from tests.support.daemon import Dataset
from tests.support.labels import Labels, configure, put

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

COUNT = 12


def stored(directory: Path, content: bytes) -> Path:
    """The one file below a server's folder that holds just this."""
    (found,) = (
        path
        for path in directory.rglob("*")
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    )
    return found


def test_damaged_and_missing_objects_are_named(own_lakefs_server: ServerProcess, make_dataset, tmp_path: Path) -> None:
    dataset = make_dataset(own_lakefs_server)
    for number in range(COUNT):
        (dataset.root / f"{number}.png").write_bytes(b"image %03d" % number)
    taken = dataset.json_of("sync")
    told = dataset.json_of("verify", taken["tag"], "--read-data")
    assert (told["fault_count"], told["images"], told["read_objects"]) == (0, COUNT, COUNT)
    assert (told["commit_id"], told["digest"]) == (taken["commit_id"], taken["digest"])

    stored(tmp_path / "own-lakefs", b"image 003").write_bytes(b"imagE 003")
    stored(tmp_path / "own-lakefs", b"image 007").unlink()
    assert dataset.json_of("verify")["fault_count"] == 0  # from the listing nobody can tell
    told = dataset.json_of("verify", "--read-data", exit_code=EXIT_FAILED)
    assert {fault["path"]: fault["why"].partition(":")[0] for fault in told["faults"]} == {
        "images/3.png": "its bytes are not those of its digest",
        "images/7.png": "it cannot be read",
    }
    assert "images/3.png: its bytes are not those of its digest" in dataset.command("verify", "--read-data").stdout


def test_rows_are_held_against_images_and_the_snapshot_against_its_source(dataset: Dataset) -> None:
    """P3 and P1, told afterwards: by the snapshot alone, and by what the folder and the table hold now."""
    csv = dataset.directory / "labels.csv"
    labels = {"name": "labels", "csv": str(csv), "key": "id", "image_column": "image", "poll_seconds": 0.2}
    dataset.configure(tables=[labels], source={"exclude": ["*.tmp"]}, lakefs={"prefix": "photos/"})
    for name in ("a", "b", "c"):
        (dataset.root / f"{name}.png").write_bytes(name.encode())
    csv.write_text("id,image\n1,a.png\n2,b.png\n3,gone.png\n")
    taken = dataset.json_of("sync")["tag"]
    told = dataset.json_of("verify", taken, "--source")
    assert told["tables"] == [{"name": "labels", "rows": 3, "missing": 1, "orphaned": 1, "unknown": ""}]
    nothing = {"differs": False, "added": 0, "changed": 0, "deleted": 0, "changes": [], "more": 0, "left_out": []}
    assert (told["fault_count"], told["source"]) == (0, nothing)
    said = dataset.command("verify", taken, "--source").stdout.splitlines()
    assert said[1:] == [
        "labels: 3 rows; 1 row without image, 1 image without row",
        "as its commit says",
        "as the source is now",
    ]
    assert dataset.json_of("verify", taken, "--no-tables")["tables"] == []

    (dataset.root / "a.png").write_bytes(b"A")
    (dataset.root / "b.png").unlink()
    (dataset.root / "sub").mkdir()
    (dataset.root / "sub" / "new.png").write_bytes(b"new")
    (dataset.root / "left.tmp").write_bytes(b"by the rules not synced")
    os.utime(dataset.root / "c.png")
    csv.write_text("id,image\n1,a.png\n")
    told = dataset.json_of("verify", taken, "--source", exit_code=EXIT_FAILED)
    assert told["fault_count"] == 0
    assert [(one["kind"], one["path"]) for one in told["source"]["changes"]] == [
        ("changed", "images/a.png"),
        ("deleted", "images/b.png"),
        ("added", "images/sub/new.png"),
        ("changed", "tables/labels.csv"),
    ]
    done = dataset.command("verify", taken, "--source")
    assert done.returncode == EXIT_FAILED
    assert done.stdout.splitlines()[-1] == "the source differs: 1 added, 2 changed, 1 deleted since"
    again = dataset.json_of("sync")["tag"]
    assert not dataset.json_of("verify", again, "--source")["source"]["differs"]


def test_what_cannot_be_read_now_is_named_and_not_taken_for_deleted(dataset: Dataset) -> None:
    (dataset.root / "sub").mkdir()
    for name in ("a", "sub/b"):
        (dataset.root / f"{name}.png").write_bytes(name.encode())
    dataset.json_of("sync")
    (dataset.root / "sub").chmod(0)
    dataset.command_prefix = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.getuid() == 0 else ()
    told = dataset.json_of("verify", "--source")
    assert [one["path"] for one in told["source"]["left_out"]] == ["sub"]
    (dataset.root / "sub").chmod(0o755)
    dataset.root.rename(dataset.directory / "elsewhere")
    assert dataset.command("verify", "--source").returncode == EXIT_SOURCE_UNAVAILABLE


@pytest.mark.parametrize("closure", ["warn", "hold", "exclude", "off"])
def test_a_snapshot_under_every_closure_is_as_its_commit_says(dataset: Dataset, labels: Labels, closure: str) -> None:
    configure(dataset, labels, closure)
    put(dataset, "1.png", "2.png", *(["orphan.png"] if closure != "hold" else []))
    rows = {"1": "1.png", "2": "2.png"} | ({"3": "none.png", "4": None} if closure != "hold" else {})
    labels.write(rows)
    taken = dataset.json_of("sync")
    told = dataset.json_of("verify")
    assert (told["fault_count"], told["faults"]) == (0, [])
    unfit = (0, 0) if closure in {"hold", "exclude"} else (2, 1)
    (table,) = told["tables"]
    assert (table["missing"], table["orphaned"]) == unfit
    assert dataset.json_of("show", taken["tag"])["tables"]["labels"]["closure"] == closure
    assert not dataset.json_of("verify", "--source")["source"]["differs"]
