from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from syncd.cli.config_commands import app
from syncd.config import load
from syncd.config.example import example_toml
from syncd.config.settings import Settings, section_fields

if TYPE_CHECKING:
    from click.testing import Result

EXAMPLES = Path(__file__).parents[2] / "config"


def run(*arguments: str, home: Path) -> Result:
    ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("SYNCD_", "LAKECTL_"))}
    return CliRunner().invoke(app, list(arguments), env={**ours, "HOME": str(home)})


def write(folder: Path, text: str) -> str:
    path = folder / "syncd.toml"
    path.write_text(text)
    return str(path)


def test_the_example_is_what_the_models_say() -> None:
    stored = (EXAMPLES / "syncd.toml").read_text()
    assert stored == example_toml(), "write it anew: python -m syncd.config.example > config/syncd.toml"


def test_the_example_names_every_key_and_loads_with_every_default(tmp_path: Path) -> None:
    text = example_toml()
    for section in Settings.model_fields:
        assert all(f"\n{key} = " in text or f"\n#{key} = " in text for key in section_fields(section))
    environ = {"HOME": str(tmp_path)}
    full = load(EXAMPLES / "syncd.toml", environ=environ, cwd=tmp_path).settings
    assert full == load(EXAMPLES / "syncd.minimal.toml", environ=environ, cwd=tmp_path).settings


def test_the_examples_commented_keys_are_valid_once_a_choice_is_made(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789")
    secret.chmod(0o600)
    choices = ("#webhook_url_file", "#webhook_secret", "#ping_url_file", "#listen_token")
    left_out = ("#csv", "#url_file", "#query", "#secret_access_key =", "#closure_wait", *choices)
    lines = [
        line if line.startswith(("# ", *left_out)) else line.removeprefix("#")
        for line in example_toml().replace("/etc/syncd/lakefs-secret", str(secret)).splitlines()
    ]
    settings = load(Path(write(tmp_path, "\n".join(lines))), environ={"HOME": "/h"}, cwd=tmp_path).settings
    assert settings.tables[0].image_column == "image"
    assert settings.lakefs.endpoint == "http://127.0.0.1:8000"


def test_the_minimal_file_holds_the_root_alone(tmp_path: Path) -> None:
    lines = (EXAMPLES / "syncd.minimal.toml").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["[source]", 'root = "/srv/images"']
    loaded = load(EXAMPLES / "syncd.minimal.toml", environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert loaded.settings.lakefs.embedded


def test_the_example_with_postgresql_names_its_table(tmp_path: Path) -> None:
    url = tmp_path / "labels-url"
    url.touch(mode=0o600)
    url.write_text("postgresql://syncd_reader:0123456789@db.example.com/photos\n")
    text = (EXAMPLES / "syncd.postgres.toml").read_text().replace("/etc/syncd/labels-url", str(url))
    (table,) = load(Path(write(tmp_path, text)), environ={"HOME": str(tmp_path)}, cwd=tmp_path).settings.tables
    assert table.url is not None
    assert table.url.get_secret_value() == url.read_text().strip()
    assert (table.table, table.closure, table.published_as_csv) == ("public.labels", "hold", False)


def test_check_says_ok_and_warns_of_what_is_likely_not_meant(tmp_path: Path) -> None:
    triggers = "quiet_seconds = 60\nmax_wait_seconds = 5\nremove_tags = true\n"
    table = '[[tables]]\nname = "a"\ncsv = "a.csv"\nkey = "id"\nimage_column = "image"\n'
    path = write(tmp_path, f'[source]\nroot = "absent"\n[snapshot]\n{triggers}{table}[lakefs]\nca_file = "no.pem"\n')
    result = run("check", "--config", path, home=tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"{path}: ok\n")
    for expected in (
        "source.root: ",
        "tables[0].csv: ",
        "lakefs.ca_file: ",
        "snapshot.max_wait_seconds: ",
        "snapshot.remove_tags: ",
    ):
        assert f"  warning: {expected}" in result.stderr


@pytest.mark.parametrize("root", ["syncd.toml", "absent"])
def test_check_warns_of_a_root_that_is_no_folder(tmp_path: Path, root: str) -> None:
    result = run("check", "--config", write(tmp_path, f'[source]\nroot = "{root}"\n'), home=tmp_path)
    assert "warning: source.root: " in result.stderr


def test_check_has_nothing_to_add_to_a_sound_file(tmp_path: Path) -> None:
    result = run("check", "--config", write(tmp_path, '[source]\nroot = "."\n'), home=Path("/h"))
    assert result.stderr == ""


def test_check_warns_when_no_snapshot_is_ever_due(tmp_path: Path) -> None:
    off = 'quiet_seconds = "off"\nmax_wait_seconds = "off"\nmax_changes = "off"\n'
    path = write(tmp_path, f'[source]\nroot = "."\n[snapshot]\n{off}')
    assert "only syncd snapshot does" in run("check", "--config", path, home=Path("/h")).stderr
    with_schedule = write(tmp_path, f'[source]\nroot = "."\n[snapshot]\n{off}schedule = "0 3 * * *"\n')
    assert run("check", "--config", with_schedule, home=Path("/h")).stderr == ""


def test_check_lists_every_fault_and_ends_with_78(tmp_path: Path) -> None:
    path = write(tmp_path, "[source]\nrot = 1\nwatch = 2\n")
    result = run("check", "--config", path, home=tmp_path)
    assert (result.exit_code, result.stdout) == (78, "")
    assert "The configuration cannot be used: 3 faults" in result.stderr
    assert f"{path}:2: source.rot: unknown key (is 1); did you mean source.root?" in result.stderr
    assert f"  next: correct it, then: syncd config check --config {path}" in result.stderr


def test_check_answers_in_json(tmp_path: Path) -> None:
    good = run("check", "--json", "--config", write(tmp_path, '[source]\nroot = "x"\n'), home=tmp_path)
    assert json.loads(good.stdout)["ok"] is True
    assert json.loads(good.stdout)["warnings"][0].startswith("source.root: ")
    path = write(tmp_path, "[source]\nroot = '/x'\nwatch = 2\n")
    bad = run("check", "--json", "--config", path, home=tmp_path)
    assert bad.exit_code == 78
    assert json.loads(bad.stdout) == {
        "file": path,
        "ok": False,
        "warnings": [],
        "faults": [
            {
                "file": path,
                "line": 3,
                "key": "source.watch",
                "rule": "must be 'auto', 'inotify' or 'polling'",
                "value": "2",
                "suggestion": None,
            }
        ],
    }


def test_show_prints_each_value_with_its_origin(tmp_path: Path) -> None:
    path = write(tmp_path, '[source]\nroot = "/x"\n[snapshot]\nquiet_seconds = "off"\n')
    lines = run("show", "--config", path, home=tmp_path).stdout.splitlines()
    said = {line.partition(" = ")[0]: line.split() for line in lines}
    assert said["source.root"][2:] == ['"/x"', "#", "syncd.toml:2"]
    assert said["snapshot.quiet_seconds"][2:] == ['"off"', "#", "syncd.toml:4"]
    assert said["upload.batch_bytes"][2:] == ['"256MiB"', "#", "default"]
    assert said["lakefs.ca_file"][2:] == ["(not", "set)", "#", "default"]
    assert said["lakefs.endpoint"][2:6] == ['"embedded"', "#", "default:", "no"]


def test_show_answers_in_json(tmp_path: Path) -> None:
    path = write(tmp_path, '[source]\nroot = "/x"\n')
    document = json.loads(run("show", "--json", "--config", path, home=tmp_path).stdout)
    assert document["file"] == path
    assert document["settings"]["source.root"] == {"value": "/x", "origin": "syncd.toml:2"}
    assert document["settings"]["source.exclude"] == {"value": [], "origin": "default"}


def test_schema_describes_every_key() -> None:
    document = json.loads(run("schema", home=Path("/h")).stdout)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(document["properties"]) == set(Settings.model_fields)
    sections = [found for found in document["$defs"].values() if found["type"] == "object"]
    assert all(key["description"] for section in sections for key in section["properties"].values())
    assert all(section["additionalProperties"] is False for section in sections)
    quiet = document["$defs"]["SnapshotSettings"]["properties"]["quiet_seconds"]
    assert {"const": "off"} in quiet["anyOf"]
