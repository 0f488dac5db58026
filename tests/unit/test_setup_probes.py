"""A look at folder and table before anything is written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from syncd.config import DEFAULT_INCLUDE
from syncd.errors import SourceUnavailableError
from syncd.setup import probes
from syncd.setup.questions import SetupError
from syncd.sources.ignore import Rules

if TYPE_CHECKING:
    from pathlib import Path

RULES = Rules(DEFAULT_INCLUDE, (), ())


def test_images_are_counted_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("1.jpg", "deep/2.PNG", "notes.txt", ".syncdignore"):
        (tmp_path / name).touch()
    assert probes.count(tmp_path, RULES) == probes.Count(2, 0, complete=True)


def test_counting_stops_at_the_most(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.jpg").touch()
    assert probes.count(tmp_path, RULES, most=10) == probes.Count(10, 0, complete=False)
    assert probes.count(tmp_path, RULES, most=12) == probes.Count(12, 0, complete=True)


def test_counting_stops_when_it_takes_too_long(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.jpg").touch()
    assert not probes.count(tmp_path, RULES, limit_s=-1).complete


def test_the_folder_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "1.jpg").touch()
    assert probes.folder(str(tmp_path), said.append) == tmp_path
    assert said == [f"folder {tmp_path}: 1 image"]


@pytest.mark.parametrize(("text", "error"), [("", SetupError), ("/no/such/folder", SourceUnavailableError)])
def test_no_folder_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        probes.folder(text, lambda _: None)


def test_a_table_of_a_database_is_looked_at_and_its_address_stays_in_its_file(tmp_path: Path) -> None:
    database, url_file = tmp_path / "labels.db", tmp_path / "url"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE labels (id INTEGER PRIMARY KEY, image TEXT)")
        connection.commit()
    url_file.touch(mode=0o600)
    url_file.write_text(f"sqlite:///{database}\n")
    said: list[str] = []
    keys = probes.database_table(str(url_file), "labels", "id", "image", said.append)
    assert keys == {
        "name": "labels",
        "url_file": str(url_file),
        "table": "labels",
        "key": "id",
        "image_column": "image",
    }
    assert len(said) == 1
    with pytest.raises(SetupError, match="there is no column 'picture'"):
        probes.database_table(str(url_file), "labels", "id", "picture", said.append)
    url_file.chmod(0o644)
    with pytest.raises(SetupError, match="readable by its owner alone"):
        probes.database_table(str(url_file), "labels", "id", None, said.append)
    with pytest.raises(SetupError, match="does not exist"):
        probes.database_table(str(tmp_path / "none"), "labels", "id", None, said.append)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("labels", "labels"),
        ("my labels (2)", "my-labels-2"),
        ("äöü", "table"),
        ("Images", "Images-table"),
        ("_closure", "_closure-table"),
    ],
)
def test_a_table_gets_a_name_that_fits_a_path(text: str, name: str) -> None:
    assert probes.table_name(text) == name
