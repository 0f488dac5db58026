from __future__ import annotations

import json
import os
import traceback
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from syncd.cli.config_commands import app
from syncd.config import FaultyConfigError, Loaded, load
from syncd.config.report import as_json, text_lines

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary/Secret+0123456789abcdefghijklmnop"
SERVER = '[source]\nroot = "/srv/images"\n[lakefs]\nendpoint = "http://127.0.0.1:8000"\n'
WITH_ID = f'{SERVER}access_key_id = "KEYID"\n'


def load_text(folder: Path, text: str, *, mode: int = 0o644, **environ: str) -> Loaded:
    path = folder / "syncd.toml"
    path.write_text(text)
    path.chmod(mode)
    return load(path, environ={"HOME": str(folder), **environ}, cwd=folder)


def secret_file(path: Path, text: str = CANARY + "\n", mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def keys(loaded: Loaded) -> tuple[str | None, str | None]:
    lakefs = loaded.settings.lakefs
    return lakefs.access_key_id, lakefs.secret_access_key and lakefs.secret_access_key.get_secret_value()


def lakectl(folder: Path, value: str = "of-lakectl") -> Path:
    text = f"credentials:\n  access_key_id: LAKECTL\n  secret_access_key: {value}\n"
    return secret_file(folder / ".lakectl.yaml", f"{text}server:\n  endpoint_url: http://lakectl:8000/api/v1\n")


def test_a_secret_in_the_file_needs_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    text = f'{WITH_ID}secret_access_key = "{CANARY}"\n'
    assert keys(load_text(tmp_path, text, mode=0o600)) == ("KEYID", CANARY)
    for mode in (0o640, 0o604, 0o620, 0o601):
        with pytest.raises(FaultyConfigError, match=f"6: lakefs.secret_access_key: .*chmod 600 {tmp_path}"):
            load_text(tmp_path, text, mode=mode)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_file_is_read_without_its_line_break(tmp_path: Path, mode: int) -> None:
    secret_file(tmp_path / "secret", mode=mode)
    loaded = load_text(tmp_path, f'{WITH_ID}secret_access_key_file = "secret"\n')
    assert keys(loaded) == ("KEYID", CANARY)
    assert loaded.origins["lakefs.secret_access_key"] == f"{tmp_path}/secret (syncd.toml:6)"


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (CANARY, 0o640, "must be readable by its owner alone: chmod 600 "),
        (CANARY, 0o604, "must be readable by its owner alone: chmod 600 "),
        ("", 0o600, "must hold one secret and nothing else"),
        (f"secret: {CANARY}", 0o600, "must hold one secret and nothing else"),
        (f"{CANARY}\n{CANARY}", 0o600, "must hold one secret and nothing else"),
        (CANARY * 200, 0o600, "must hold one secret and nothing else"),
        ("schlüssel", 0o600, "must hold one secret and nothing else"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, mode: int, says: str) -> None:
    secret_file(tmp_path / "secret", text, mode)
    with pytest.raises(FaultyConfigError, match=says) as caught:
        load_text(tmp_path, f'{WITH_ID}secret_access_key_file = "secret"\n')
    assert len(caught.value.faults) == 1
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(("name", "says"), [("absent", "does not exist"), (".", "cannot be read: Is a directory")])
def test_a_secret_file_that_is_not_there_is_named_with_its_line(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(FaultyConfigError, match=rf":6: lakefs.secret_access_key_file: .* {says}"):
        load_text(tmp_path, f'{WITH_ID}secret_access_key_file = "{name}"\n')


def test_below_the_credentials_folder_the_mode_of_a_secret_file_is_systemds_business(tmp_path: Path) -> None:
    file = secret_file(tmp_path / "credentials" / "mine", mode=0o440)
    (tmp_path / "link").symlink_to(file)
    text = f'{WITH_ID}secret_access_key_file = "link"\n'
    assert keys(load_text(tmp_path, text, CREDENTIALS_DIRECTORY=str(file.parent)))[1] == CANARY
    with pytest.raises(FaultyConfigError, match="owner alone"):
        load_text(tmp_path, text)


def test_systemd_credentials_come_before_all_else(tmp_path: Path) -> None:
    folder = secret_file(tmp_path / "credentials" / "lakefs_secret_access_key", mode=0o444).parent
    secret_file(folder / "lakefs_access_key_id", "SYSTEMD\n")
    lakectl(tmp_path)
    loaded = load_text(
        tmp_path,
        f'{WITH_ID}secret_access_key = "in-file"\n',
        mode=0o600,
        CREDENTIALS_DIRECTORY=str(folder),
        SYNCD_LAKEFS__SECRET_ACCESS_KEY="in-environment",
        LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY="of-lakectl",
    )
    assert keys(loaded) == ("SYSTEMD", CANARY)
    assert loaded.origins["lakefs.secret_access_key"] == "systemd credential lakefs_secret_access_key"
    assert loaded.origins["lakefs.access_key_id"] == "systemd credential lakefs_access_key_id"


def test_an_unfit_systemd_credential_is_an_error(tmp_path: Path) -> None:
    folder = secret_file(tmp_path / "credentials" / "lakefs_secret_access_key", "").parent
    with pytest.raises(FaultyConfigError, match="lakefs_secret_access_key: must hold one secret"):
        load_text(tmp_path, WITH_ID, CREDENTIALS_DIRECTORY=str(folder))


def test_the_environment_gives_the_secret_in_itself_or_by_a_file(tmp_path: Path) -> None:
    secret_file(tmp_path / "secret")
    in_file = f'{WITH_ID}secret_access_key_file = "absent"\n'
    direct = load_text(tmp_path, in_file, SYNCD_LAKEFS__SECRET_ACCESS_KEY=CANARY)
    assert direct.origins["lakefs.secret_access_key"] == "environment SYNCD_LAKEFS__SECRET_ACCESS_KEY"
    by_file = load_text(tmp_path, in_file, SYNCD_LAKEFS__SECRET_ACCESS_KEY_FILE="secret")
    assert keys(direct) == keys(by_file) == ("KEYID", CANARY)


def test_the_secret_and_its_file_in_one_place_are_refused(tmp_path: Path) -> None:
    secret_file(tmp_path / "secret")
    text = f'{WITH_ID}secret_access_key = "{CANARY}"\nsecret_access_key_file = "secret"\n'
    with pytest.raises(FaultyConfigError, match=r":7: lakefs.secret_access_key_file: .* cannot stand together"):
        load_text(tmp_path, text, mode=0o600)


def test_lakectls_file_gives_address_and_keys_where_none_are_set(tmp_path: Path) -> None:
    lakectl(tmp_path, value=CANARY)
    loaded = load_text(tmp_path, '[source]\nroot = "/srv/images"\n')
    assert loaded.settings.lakefs.endpoint == "http://lakectl:8000"
    assert keys(loaded) == ("LAKECTL", CANARY)
    assert loaded.origins["lakefs.endpoint"] == loaded.origins["lakefs.secret_access_key"] == "~/.lakectl.yaml"


def test_lakectls_environment_beats_its_file_and_both_give_way_to_syncds_own_keys(tmp_path: Path) -> None:
    named = lakectl(tmp_path / "elsewhere")
    environ = {
        "LAKECTL_CONFIG_FILE": str(named),
        "LAKECTL_SERVER_ENDPOINT_URL": "http://variable:8000",
        "SYNCD_LAKEFS__ACCESS_KEY_ID": "LAKECTL",
    }
    loaded = load_text(tmp_path, '[source]\nroot = "/srv/images"\n', **environ)
    assert loaded.settings.lakefs.endpoint == "http://variable:8000"
    assert keys(loaded) == ("LAKECTL", "of-lakectl")
    assert loaded.origins["lakefs.endpoint"] == "environment LAKECTL_SERVER_ENDPOINT_URL"
    assert loaded.origins["lakefs.secret_access_key"] == str(named)


def test_a_secret_is_not_taken_from_lakectl_for_another_key_id(tmp_path: Path) -> None:
    lakectl(tmp_path)
    with pytest.raises(FaultyConfigError, match=r"lakefs.secret_access_key: is missing"):
        load_text(tmp_path, WITH_ID)


def test_asking_for_the_embedded_server_leaves_lakectl_alone(tmp_path: Path) -> None:
    secret_file(tmp_path / ".lakectl.yaml", "{not: [yaml")
    loaded = load_text(tmp_path, '[source]\nroot = "/srv/images"\n[lakefs]\nendpoint = "embedded"\n')
    assert loaded.settings.lakefs.embedded
    assert keys(loaded) == (None, None)
    assert loaded.origins["lakefs.endpoint"] == "syncd.toml:4"


def test_lakectl_keys_without_an_address_are_not_taken(tmp_path: Path) -> None:
    secret_file(tmp_path / ".lakectl.yaml", "credentials:\n  access_key_id: ABC\n  secret_access_key: DEF\n")
    loaded = load_text(tmp_path, '[source]\nroot = "/srv/images"\n')
    assert loaded.settings.lakefs.embedded
    assert keys(loaded) == (None, None)


def test_an_empty_address_means_none(tmp_path: Path) -> None:
    lakectl(tmp_path)
    loaded = load_text(tmp_path, '[source]\nroot = "/i"\n[lakefs]\nendpoint = ""\n', SYNCD_LAKEFS__ENDPOINT="")
    assert loaded.settings.lakefs.endpoint == "http://lakectl:8000"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"credentials:\n  secret_access_key: {CANARY}: x\n", "is not valid YAML, line 2"),
        (f"!!python/object/apply:os.system ['echo {CANARY}']", "is not valid YAML, line 1"),
        (f"secret_access_key: *{CANARY}", "is not valid YAML, line 1"),
        (f"- {CANARY}", "must be a YAML mapping"),
        ("[" * 100_000, "is not valid YAML"),
        ("\x00", "is not valid YAML"),
        ("", "must be a YAML mapping"),
    ],
)
def test_a_broken_lakectl_file_is_refused_without_repeating_it(tmp_path: Path, text: str, says: str) -> None:
    secret_file(tmp_path / ".lakectl.yaml", text)
    with pytest.raises(FaultyConfigError, match=says) as caught:
        load_text(tmp_path, '[source]\nroot = "/srv/images"\n')
    assert CANARY not in str(caught.value)
    assert len(caught.value.faults) == 1


def test_a_secret_shows_nowhere_once_it_is_loaded(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, f'{WITH_ID}secret_access_key = "{CANARY}"\n', mode=0o600)
    said = [repr(loaded), str(loaded.settings), loaded.settings.model_dump_json(), *text_lines(loaded)]
    assert all(CANARY not in text for text in [*said, json.dumps(as_json(loaded))])
    assert any(line.startswith("lakefs.secret_access_key = ********") for line in text_lines(loaded))


@pytest.mark.parametrize(
    "text",
    [
        f'{WITH_ID}secret_access_key = "{CANARY}"\n',  # open to others
        f'{WITH_ID}secret_access_key = "{CANARY} x"\n',
        f'{WITH_ID}secret_access_key = ["{CANARY}"]\n',
        f'{SERVER}access_key_id = "{CANARY}"\n',
        f'{SERVER}secret_acess_key = "{CANARY}"\n',
        f'{SERVER}acess_key = "{CANARY}"\n',
        f'{SERVER}password = "{CANARY}"\n',
        f'{SERVER}[lakefs.secret_access_key]\nvalue = "{CANARY}"\n',
        f'lakefs = ["{CANARY}", {{secret_access_key = "{CANARY}"}}]\n',
        f'[[lakefs]]\nsecret_access_key = "{CANARY}"\n',
        f'[laekfs]\nsecret_access_key = "{CANARY}"\n',
        f'[lakefs]\nendpoint = "http://user:{CANARY}@host"\n',
        f'{WITH_ID}storage_namespace = "S3://user:{CANARY}@host"\n',
        f'[[tables]]\nname = "x"\nkey = "id"\nurl = "postgresql://user:{CANARY}@host/db"\n',
        f"{SERVER}secret_access_key = {CANARY}\n",  # no quotes: not TOML
        f'{SERVER}secret_access_key = "{CANARY}\n',
        f'{SERVER}secret_access_key "{CANARY}="\n',
        f'{SERVER}secret_access_key = """\n{CANARY}\\q"""\n',
        f'{SERVER}secret_access_key = """\nx = 1\n{CANARY}\\q"""\n',
        f'lakefs = {{secret_access_key = "{CANARY}", prefix = }}\n',
        f'[lakefs]\nsecret_access_key =\n"{CANARY}"\n',
        f"[lakefs]\nendpoint = http://user:{CANARY}@host\n",
    ],
)
def test_a_secret_shows_in_no_error_and_no_traceback(tmp_path: Path, text: str) -> None:
    with pytest.raises(FaultyConfigError) as caught:
        load_text(tmp_path, text)
    error = caught.value
    said = [str(error), repr(error), json.dumps([fault.as_json() for fault in error.faults])]
    said += traceback.format_exception(error)
    assert error.__context__ is None
    assert CANARY not in "\n".join(said)
    for command in (["check"], ["check", "--json"], ["show"], ["show", "--json"]):
        result = CliRunner().invoke(app, [*command, "--config", str(tmp_path / "syncd.toml")], env=_only(tmp_path))
        assert result.exit_code == 78
        assert CANARY not in result.output


LABELS = '[source]\nroot = "images"\n[[tables]]\nname = "labels"\nkey = "id"\ntable = "labels"\n'


def test_the_address_of_a_database_comes_from_a_file_of_its_own(tmp_path: Path) -> None:
    url = tmp_path / "url"
    url.touch(mode=0o600)
    url.write_text(f"postgresql://me:{CANARY}@db/photos\n")
    loaded = load_text(tmp_path, f'{LABELS}url_file = "url"\n')
    secret = loaded.settings.tables[0].url
    assert secret is not None
    assert secret.get_secret_value() == f"postgresql://me:{CANARY}@db/photos"
    assert CANARY not in repr(loaded)
    url.chmod(0o644)
    with pytest.raises(FaultyConfigError, match=r"tables\[0\].url_file: .*chmod 600"):
        load_text(tmp_path, f'{LABELS}url_file = "url"\n')
    url.unlink()
    with pytest.raises(FaultyConfigError, match=r"tables\[0\].url_file: .* does not exist"):
        load_text(tmp_path, f'{LABELS}url_file = "url"\n')


def test_a_password_in_an_address_needs_a_private_file(tmp_path: Path) -> None:
    text = f'{LABELS}url = "postgresql://me:{CANARY}@db/photos"\n'
    with pytest.raises(FaultyConfigError, match=r"tables\[0\].url: holds a password"):
        load_text(tmp_path, text)
    (tmp_path / "syncd.toml").chmod(0o600)
    assert load(tmp_path / "syncd.toml", environ={"HOME": str(tmp_path)}, cwd=tmp_path).settings.tables[0].url
    (tmp_path / "syncd.toml").unlink()
    assert load_text(tmp_path, f'{LABELS}url = "postgresql://me@db/photos"\n').settings.tables[0].url


@pytest.mark.parametrize(
    ("written", "meant"), [("sqlite:///labels.db", "{0}/labels.db"), ("sqlite:////srv/labels.db", "/srv/labels.db")]
)
def test_an_sqlite_file_is_found_from_the_configurations_folder(tmp_path: Path, written: str, meant: str) -> None:
    url = load_text(tmp_path, f'{LABELS}url = "{written}"\n').settings.tables[0].url
    assert url is not None
    assert url.get_secret_value() == "sqlite:///" + meant.format(tmp_path)


@pytest.mark.parametrize(
    "variable",
    ["SYNCD_LAKEFS__SECRET_ACCESS_KEY", "SYNCD_LAKEFS__SECRET_ACESS_KEY", "SYNCD_LAKEFS_SECRET", "SYNCD_PASSWORD"],
)
def test_a_secret_in_a_wrong_variable_is_masked(tmp_path: Path, variable: str) -> None:
    with pytest.raises(FaultyConfigError) as caught:
        load_text(tmp_path, SERVER, **{variable: f"{CANARY} x"})
    assert "********" in str(caught.value)
    assert CANARY not in str(caught.value)


def _only(home: Path) -> dict[str, str | None]:
    ours = {name: None for name in os.environ if name.startswith(("SYNCD_", "LAKECTL_", "CREDENTIALS_"))}
    return {**ours, "HOME": str(home)}
