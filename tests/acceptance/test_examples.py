"""The examples as a user runs them, on the demo's data and a real lakeFS: each reads a state that is long gone."""

from __future__ import annotations

import ast
import csv
import json
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from syncd.demo.digits import load
from syncd.demo.place import CONFIG
from syncd.demo.script import Dataset as Digits
from syncd.embedded.process import ServerProcess
from tests.support.daemon import Dataset
from tests.support.examples import EXAMPLES, environment_for, python_with_readers, run_example

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

COUNT = 300
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Source:
    """The folder and the tables of the demo, fewer of them, with a daemon that watches them."""

    dataset: Dataset
    digits: Digits

    @property
    def table(self) -> Path:
        return self.dataset.directory / "labels.csv"

    def change(self) -> None:
        """Let images and rows come, images become others, and a third of the rows say something else."""
        self.digits.add_batch()
        self.digits.improve()
        rows = read(self.table)
        for row in rows[::3]:
            row["label"] = str((int(row["label"]) + 1) % 10)
        with self.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def vanish(self) -> None:
        """Stop the daemon, and delete all there is but lakeFS and the daemon's log."""
        self.dataset.daemons[0].stop()
        for folder in (self.dataset.root, self.dataset.state_dir):
            shutil.rmtree(folder)
        for file in (self.dataset.config, self.table, self.table.with_name("digits.db")):
            file.unlink()


@pytest.fixture
def source(dataset: Dataset) -> Source:
    dataset.configure(tables=tomllib.loads(CONFIG)["tables"])
    source = Source(
        dataset,
        Digits(dataset.root, dataset.directory / "labels.csv", dataset.directory / "digits.db", load()[:COUNT]),
    )
    source.digits.write_all()
    dataset.start()
    return source


@pytest.fixture
def elsewhere(lakefs_server: ServerProcess, tmp_path: Path) -> Callable[..., str]:
    """Run an example on another machine, in an empty folder: all it has is the server's address and keys."""

    def run(name: str, *arguments: str, folder: Path, **options: Any) -> str:
        environment = environment_for(lakefs_server, tmp_path / "elsewhere")
        return run_example(name, *arguments, folder=folder, environment=environment, **options)

    return run


def read(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_score_comes_again_from_the_tag_alone(
    source: Source, elsewhere: Callable[..., str], repository_name: str, tmp_path: Path
) -> None:
    """Two trainings on data that changes between them; then the data is gone, and what remains of it are two names."""
    said, cards = [], []

    def train() -> None:
        here = source.dataset.directory
        said.append(run_example("train_digits.py", "take", folder=here, environment=source.dataset.environment))
        cards.append(json.loads((here / f"model-{said[-1].partition(':')[0]}.json").read_text()))
        assert said[-1].startswith(f"{cards[-1]['tag']}: score {cards[-1]['score']} (")
        assert cards[-1]["trained_on"] + cards[-1]["tested_on"] == len(read(source.table)) >= COUNT

    train()
    source.change()
    train()
    source.vanish()
    for what in ("tag", "commit", "digest", "score"):
        assert cards[0][what] != cards[1][what]
    assert cards[0]["score"] > 0.8, "it does learn"

    def score(ref: str, folder: str) -> str:
        arguments = ("score", ref, "--repository", repository_name)
        return elsewhere("train_digits.py", *arguments, folder=tmp_path / folder)

    (tmp_path / "wrong").mkdir()
    note = tmp_path / "wrong" / f"model-{cards[0]['tag']}.json"
    note.write_text(json.dumps({**cards[0], "score": cards[1]["score"]}))
    with ThreadPoolExecutor(3) as threads:
        again = [threads.submit(score, card["tag"], card["tag"]) for card in cards]
        wrong = threads.submit(score, cards[0]["commit"][:12], "wrong")
    assert [one.result() for one in again] == said
    with pytest.raises(AssertionError, match=rf"{note.name} says otherwise"):
        wrong.result()


def test_others_read_it_too(
    source: Source, elsewhere: Callable[..., str], repository_name: str, tmp_path: Path
) -> None:
    """Each prints what the source held when the tag was made, though it has changed since and is gone."""
    python = python_with_readers()
    rows = read(source.table)
    image_bytes = sum(image.stat().st_size for image in source.dataset.root.rglob("*.png"))
    tag = source.dataset.snapshot()["tag"]
    source.change()
    assert source.dataset.snapshot()["tag"] != tag
    source.vanish()

    def lines_of(name: str) -> list[str]:
        return elsewhere(name, repository_name, tag, folder=tmp_path / name, python=python).splitlines()

    names = sorted(path.name for path in EXAMPLES.glob("read_*.py"))
    with ThreadPoolExecutor(2) as threads:
        said = dict(zip(names, threads.map(lines_of, names), strict=True))
    image = f"{repository_name}/{tag}/images/{min(row['image'] for row in rows)} {PNG!r}"
    assert said.pop("read_s3fs.py") == [f"{len(rows)} images, {image_bytes} bytes", image]
    assert read(tmp_path / "read_s3fs.py" / "labels.csv") == rows
    assert said.pop("read_lakefs_spec.py") == [f"{len(rows)} images", image, f"id,image,label {len(rows)}"]
    assert sorted(said) == ["read_duckdb.py", "read_pandas.py", "read_polars.py"]
    for name, lines in said.items():  # each counts the labels, of the CSV file and of the database's table
        counted = [{str(label): count for label, count in ast.literal_eval(line).items()} for line in lines]
        assert len(counted) >= 2, name
        assert counted == [Counter(row["label"] for row in rows)] * len(counted), name
