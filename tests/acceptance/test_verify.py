"""``syncd verify`` against a real lakeFS whose stored data is damaged behind its back (P6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.embedded.process import ServerProcess
from syncd.errors import EXIT_FAILED

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
