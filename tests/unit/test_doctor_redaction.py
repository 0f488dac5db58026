"""Secrets, control characters and names of files: what is left of a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncd.doctor.names import LEFT_OUT, NameFilter
from syncd.doctor.redaction import Cleaner, secrets_of

SECRET = "p@ss/w:rd %41"


@pytest.mark.parametrize("form", [SECRET, "p%40ss%2Fw%3Ard%20%2541", "p%40ss%2Fw%3Ard+%2541", json.dumps(SECRET)[1:-1]])
def test_a_secret_goes_in_every_form_an_address_writes_it_in(form: str) -> None:
    assert Cleaner({SECRET}).line(f"said {form}.") == "said ********."


def test_control_characters_are_escaped() -> None:
    cleaner = Cleaner(set())
    assert cleaner.line("a\x1b[31m\nb\x9b\udcff") == "a\\x1b[31m\\x0ab\\x9b\\xff"
    assert cleaner.text("a\nb\x07") == "a\nb\\x07"
    assert cleaner.value({"k\x1b": ["v\x1b", 3, None]}) == {"k\\x1b": ["v\\x1b", 3, None]}


def test_secrets_are_found_where_they_stand_though_the_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("in-a-file\n")
    config = tmp_path / "syncd.toml"
    config.write_text(
        '[lakefs]\nsecret_access_key = "in-the-file"\nsecret_access_key_file = "key"\nodd = 1\n'
        '[[tables]]\nurl = "postgresql://u:in-the-url@h/d?password=in-the-query"\n'
        '[[tables]]\nurl = "sqlite:////srv/labels.db"\n'
        '[notify]\nping_url = "https://hc.example.com/whole"\n'
    )
    (tmp_path / ".lakectl.yaml").write_text("credentials:\n  secret_access_key: in-lakectl\n")
    environ = {"HOME": str(tmp_path), "MY_TOKEN": "in-the-environment", "PWD": str(tmp_path)}
    cleaner = Cleaner(secrets_of(config, None, environ))
    for secret in ("in-a-file", "in-the-file", "in-the-url", "in-the-query", "in-lakectl", "in-the-environment"):
        assert cleaner.line(secret) == "********"
    assert cleaner.line("https://hc.example.com/whole") == "********"
    assert cleaner.line(f"sqlite:////srv/labels.db {tmp_path}") == f"sqlite:////srv/labels.db {tmp_path}"


def test_secrets_of_a_file_with_a_byte_order_mark_and_of_nobodys_home(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("in-a-file")
    config = tmp_path / "syncd.toml"
    config.write_text(
        '[lakefs]\nsecret_access_key_file = "~nobodyhere/secret"\nsecret_access_key = "in-the-file"\n'
        '[service]\nlisten_token_file = "key"\n',
        encoding="utf-8-sig",
    )
    cleaner = Cleaner(secrets_of(config, None, {}))
    for secret in ("in-a-file", "in-the-file"):
        assert cleaner.line(secret) == "********"


def test_names_are_cut_wherever_they_may_begin() -> None:
    names = NameFilter(["images/", "/srv/images/"])
    assert names.text("storing images/a b.png failed") == f"storing images/{LEFT_OUT}"
    assert names.text("may not read /srv/images/cat") == f"may not read /srv/images/{LEFT_OUT}"
    assert names.text("denied: 'cat.png'") == f"denied: '{LEFT_OUT}'"
    assert names.text("12 files in /srv/images") == "12 files in /srv/images"
    row = 'have the same value in the key column "id": cat.png'
    assert names.text(row).endswith(f"key column {LEFT_OUT}")
    line = json.dumps({"event": "x", "count": 3, "path": "cat.png", "new_key": ["cat"], "why": "images/cat"})
    told = json.loads(names.log_line(line))
    assert told == {
        "event": "x",
        "count": 3,
        "path": LEFT_OUT,
        "new_key": [LEFT_OUT],
        "why": f"images/{LEFT_OUT}",
    }
