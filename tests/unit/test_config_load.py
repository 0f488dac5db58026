from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from syncd.config import DEFAULT_INCLUDE, FaultyConfigError, Loaded, Settings, load
from syncd.config.locate import default_state_dir
from syncd.errors import EXIT_BAD_CONFIGURATION
from syncd.presence import is_there
from tests.support.rights import bound_by_modes

MINIMAL = '[source]\nroot = "/srv/images"\n'
LABELS = '[[tables]]\nname = "labels"\ncsv = "labels.csv"\nkey = "id"\n'


def loaded_from(folder: Path, text: str, **environ: str) -> Loaded:
    path = folder / "syncd.toml"
    path.write_text(text)
    return load(path, environ={"HOME": str(folder), **environ}, cwd=folder)


def faults_from(folder: Path, text: str, **environ: str) -> dict[str, str]:
    with pytest.raises(FaultyConfigError) as caught:
        loaded_from(folder, text, **environ)
    assert caught.value.exit_code == EXIT_BAD_CONFIGURATION
    assert all(str(fault) in str(caught.value) for fault in caught.value.faults)
    return {fault.key: str(fault) for fault in caught.value.faults}


def test_the_root_alone_is_a_configuration(tmp_path: Path) -> None:
    settings = loaded_from(tmp_path, MINIMAL).settings
    assert settings.source.root == Path("/srv/images")
    assert settings.source.include == DEFAULT_INCLUDE
    assert settings.lakefs.embedded
    assert settings.snapshot.quiet_seconds == 30.0
    assert settings.upload.batch_bytes == 268_435_456
    assert settings.upload.max_object_bytes == 5 * 1024**3
    assert settings.tables == ()


def test_nothing_can_be_changed_once_loaded(tmp_path: Path) -> None:
    settings = loaded_from(tmp_path, MINIMAL).settings
    with pytest.raises(ValidationError):
        settings.source.settle_seconds = 1.0  # type: ignore[misc]


def test_every_value_knows_where_it_comes_from(tmp_path: Path) -> None:
    text = f'{MINIMAL}[lakefs]\nrepository = "photos"\n\n{LABELS}'
    loaded = loaded_from(tmp_path, text, SYNCD_LAKEFS__PREFIX="cats", SYNCD_UPLOAD__CONCURRENCY="8")
    origins = loaded.origins
    assert origins["source.root"] == "syncd.toml:2"
    assert origins["lakefs.repository"] == "syncd.toml:4"
    assert origins["tables[0].csv"] == "syncd.toml:8"
    assert origins["tables[0].poll_seconds"] == "default"
    assert origins["lakefs.prefix"] == "environment SYNCD_LAKEFS__PREFIX"
    assert origins["guard.min_objects"] == "default"
    assert origins["lakefs.endpoint"].startswith("default: no address")
    assert (loaded.settings.lakefs.prefix, loaded.settings.upload.concurrency) == ("cats/", 8)


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("SYNCD_SOURCE__INCLUDE", "*.png, *.jpg", "source.include", ("*.png", "*.jpg")),
        ("SYNCD_SOURCE__INCLUDE", '["a,b.png"]', "source.include", ("a,b.png",)),
        ("SYNCD_SOURCE__EXCLUDE", "[ab]*.png,c", "source.exclude", ("[ab]*.png", "c")),
        ("SYNCD_SOURCE__EXCLUDE", "", "source.exclude", ()),
        ("SYNCD_SOURCE__SETTLE_SECONDS", "0.5", "source.settle_seconds", 0.5),
        ("SYNCD_SOURCE__WATCH", "polling", "source.watch", "polling"),
        ("SYNCD_SNAPSHOT__QUIET_SECONDS", "off", "snapshot.quiet_seconds", None),
        ("SYNCD_SNAPSHOT__MAX_WAIT_SECONDS", "5", "snapshot.max_wait_seconds", 5.0),
        ("SYNCD_SNAPSHOT__MAX_CHANGES", "off", "snapshot.max_changes", None),
        ("SYNCD_SNAPSHOT__MAX_CHANGES", "12", "snapshot.max_changes", 12),
        ("SYNCD_UPLOAD__BATCH_BYTES", "1MB", "upload.batch_bytes", 1_000_000),
        ("SYNCD_UPLOAD__BATCH_BYTES", "2000", "upload.batch_bytes", 2000),
        ("SYNCD_SERVICE__LISTEN", "", "service.listen", ""),
        ("SYNCD_SERVICE__STATE_DIR", "/state", "service.state_dir", Path("/state")),
        ("SYNCD_LAKEFS__CA_FILE", "", "lakefs.ca_file", None),
    ],
)
def test_a_variable_beats_the_file(tmp_path: Path, variable: str, text: str, key: str, value: object) -> None:
    file = f'{MINIMAL}exclude = ["x"]\n[snapshot]\nmax_changes = 3\n[upload]\nbatch_bytes = "1GiB"\n'
    loaded = loaded_from(tmp_path, file, **{variable: text})
    section, _, name = key.partition(".")
    assert getattr(getattr(loaded.settings, section), name) == value
    assert loaded.origins[key] == f"environment {variable}"


def test_every_key_can_be_set_by_environment_alone(tmp_path: Path) -> None:
    tables = [{"name": "labels", "csv": "labels.csv", "key": "id", "image_column": "image", "poll_seconds": 1}]
    environ = {"SYNCD_SOURCE__ROOT": "images", "SYNCD_TABLES": json.dumps(tables), "HOME": "/home/someone"}
    loaded = load(environ=environ, cwd=tmp_path)
    assert loaded.path is None
    assert loaded.settings.source.root == tmp_path / "images"
    assert loaded.settings.tables[0].csv == tmp_path / "labels.csv"
    assert loaded.settings.tables[0].closure == "warn"
    assert loaded.origins["tables[0].csv"] == "environment SYNCD_TABLES"


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("SYNCD_TABLES", "{", "SYNCD_TABLES: must be a JSON list: "),
        ("SYNCD_TABLES", "{}", "SYNCD_TABLES: must be a JSON list"),
        ("SYNCD_TABLES", "[" * 100_000, "SYNCD_TABLES: must be a JSON list"),
        ("SYNCD_SOURCE__INCLUDE", '["a"', "SYNCD_SOURCE__INCLUDE: must be a JSON list: "),
        ("SYNCD_SOURCE__SETTLE_SECONDS", "soon", 'source.settle_seconds: must be a valid number (is "soon")'),
        ("SYNCD_SOURCE__SETTLE_SECONDS", "nan", "source.settle_seconds: must be a finite number"),
        ("SYNCD_UPLOAD__CONCURRENCY", "1.5", 'upload.concurrency: must be a valid integer (is "1.5")'),
        (
            "SYNCD_SORCE__ROOT",
            "/x",
            'SYNCD_SORCE__ROOT: no key has this name (is "/x"); did you mean SYNCD_SOURCE__ROOT?',
        ),
        ("SYNCD_source__root", "/x", "did you mean SYNCD_SOURCE__ROOT?"),
        ("SYNCD_LAKEFS_BINRY", "/x", "did you mean SYNCD_LAKEFS_BINARY?"),
        ("SYNCD_TABLES__0__CSV", "/x", "did you mean SYNCD_TABLES, a JSON list?"),
        ("SYNCD_COLOUR", "1", "SYNCD_COLOUR: no key has this name"),
    ],
)
def test_a_wrong_variable_is_an_error(tmp_path: Path, variable: str, text: str, says: str) -> None:
    assert says in "\n".join(faults_from(tmp_path, MINIMAL, **{variable: text}).values())


def test_variables_that_are_no_keys_by_design_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "SYNCD_LAKEFS_BINARY": "/opt/lakefs",
        "SYNCD_LAKECTL_BINARY": "/opt/lakectl",
        "SYNCD_SERVICE_HOST": "10.0.0.1",
        "SYNCD_SERVICE_PORT_HTTP": "80",
        "SYNCD_PORT": "tcp://10.0.0.1:80",
        "SYNCD_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert loaded_from(tmp_path, MINIMAL, **environ).settings.service.listen == "127.0.0.1:8410"


def test_relative_paths_start_at_the_files_folder_and_a_tilde_is_home(tmp_path: Path) -> None:
    text = f'[source]\nroot = "images"\n[lakefs]\nca_file = "~/ca.pem"\n{LABELS}'
    settings = loaded_from(tmp_path, text, HOME="/home/someone").settings
    assert settings.source.root == tmp_path / "images"
    assert settings.tables[0].csv == tmp_path / "labels.csv"
    assert settings.lakefs.ca_file == Path("/home/someone/ca.pem")


@pytest.mark.parametrize("root", ["", " ", "a\\u0000b", "~nobody_has_this_name/x"])
def test_a_root_that_is_no_path_is_refused(tmp_path: Path, root: str) -> None:
    assert "source.root" in faults_from(tmp_path, f'[source]\nroot = "{root}"\n')


def test_a_tilde_without_a_home_is_refused(tmp_path: Path) -> None:
    assert "home folder" in faults_from(tmp_path, '[source]\nroot = "~/images"\n', HOME="")["source.root"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_and_either_line_end_are_taken(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "syncd.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", newline).encode())
    loaded = load(path, environ={}, cwd=tmp_path)
    assert loaded.origins["source.root"] == "syncd.toml:2"


def test_the_file_is_found_by_argument_then_variable_then_folder(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml", "syncd.toml"):
        (tmp_path / name).write_text(f'[source]\nroot = "{name}"\n')
    environ = {"SYNCD_CONFIG": "b.toml", "HOME": "/h"}
    assert load(Path("a.toml"), environ=environ, cwd=tmp_path).path == tmp_path / "a.toml"
    assert load(environ=environ, cwd=tmp_path).path == tmp_path / "b.toml"
    assert load(environ={"HOME": "/h"}, cwd=tmp_path).path == tmp_path / "syncd.toml"


@pytest.mark.parametrize(("path", "environ"), [(Path("no.toml"), {}), (None, {"SYNCD_CONFIG": "no.toml"})])
def test_a_file_that_was_named_must_be_there(tmp_path: Path, path: Path | None, environ: dict[str, str]) -> None:
    with pytest.raises(FaultyConfigError, match="does not exist"):
        load(path, environ=environ, cwd=tmp_path)


def test_without_any_file_the_error_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(FaultyConfigError, match=r"looked for ./syncd.toml and /etc/syncd/syncd.toml"):
        load(environ={}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}, "/var/lib/one"),
        ({}, "/var/lib/syncd"),
    ],
)
def test_the_state_folder_has_a_default(tmp_path: Path, environ: dict[str, str], expected: str) -> None:
    path = tmp_path / "syncd.toml"
    path.write_text(MINIMAL)
    assert load(path, environ=environ, cwd=tmp_path).settings.service.state_dir == Path(expected)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/one/.local/state/syncd"),
        ({"XDG_STATE_HOME": "/state"}, "/state/syncd"),
        ({"XDG_STATE_HOME": "x"}, None),
    ],
)
def test_who_may_not_write_the_systems_state_folder_gets_one_at_home(
    tmp_path: Path, environ: dict[str, str], expected: str | None
) -> None:
    folder, place = default_state_dir(environ, home=Path("/home/one"), system=tmp_path / "absent" / "syncd")
    assert (folder, place.origin) == (expected or "/home/one/.local/state/syncd", "default")


def test_what_this_user_may_not_look_into_is_not_there(tmp_path: Path) -> None:
    """Such as the state of the shipped unit, below a folder of root's alone: whoever reads snapshots has their own."""
    private, link = tmp_path / "private", tmp_path / "lib" / "syncd"
    (private / "syncd").mkdir(parents=True)
    link.parent.mkdir()
    link.symlink_to(private / "syncd")
    home = tmp_path / "home"
    (home / "closed").mkdir(parents=True)
    (home / "closed" / "syncd.toml").write_text(MINIMAL)

    def look() -> None:
        assert default_state_dir({}, home=home, system=link)[0] == str(home / ".local" / "state" / "syncd")
        assert not is_there(link)
        with pytest.raises(FaultyConfigError, match="cannot be read: Permission denied"):
            load(home / "closed" / "syncd.toml", environ={}, cwd=tmp_path)
        loaded = load(None, environ={"HOME": str(home / "closed"), "SYNCD_SOURCE__ROOT": "/srv/images"}, cwd=tmp_path)
        assert loaded.settings.source.root == Path("/srv/images")

    for folder in (private, link.parent, home / "closed"):
        folder.chmod(0o000 if folder != link.parent else 0o555)
    bound_by_modes(look)


def test_a_folder_that_is_gone_is_no_place_to_start_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "syncd.toml"
    path.write_text(MINIMAL)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load(path, environ={}).path == path


def test_without_a_home_the_systems_state_folder_is_the_default(tmp_path: Path) -> None:
    system = tmp_path / "absent" / "syncd"
    assert default_state_dir({}, home=None, system=system)[0] == str(system)


def test_settings_built_by_hand_read_nothing_and_follow_the_same_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCD_UPLOAD__CONCURRENCY", "3")
    monkeypatch.setenv("UPLOAD", "{}")
    source: Any = {"root": "/srv/images"}
    assert Settings(source=source).upload.concurrency == 64
    with pytest.raises(ValidationError, match="two branches"):
        Settings(source=source, lakefs={"staging_branch": "main"})  # type: ignore[arg-type]


def test_a_switch_is_true_or_false_in_the_file_and_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "syncd.toml"
    for text, told, expected in (("true", "false", False), ("false", "True", True)):
        path.write_text(f'[source]\nroot = "."\n[snapshot]\nremove_tags = {text}\n')
        environ = {"HOME": "/h", "SYNCD_SNAPSHOT__REMOVE_TAGS": told}
        assert load(path, environ=environ).settings.snapshot.remove_tags is expected
    for text in ('"yes"', "1"):
        path.write_text(f'[source]\nroot = "."\n[snapshot]\nremove_tags = {text}\n')
        with pytest.raises(FaultyConfigError, match=r"syncd\.toml:4: snapshot\.remove_tags: must be true or false"):
            load(path, environ={"HOME": "/h"})
