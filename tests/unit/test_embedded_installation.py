"""Folder, keys and settings of the embedded server."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import pytest

from syncd.embedded.installation import Installation, LastStart
from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    prepared = Installation(tmp_path / "state")
    prepared.prepare()
    return prepared


def test_keys_are_made_once_and_differ_between_installations(installation: Installation, tmp_path: Path) -> None:
    keys = installation.keys()
    other = Installation(tmp_path / "other")
    other.prepare()

    assert Installation(tmp_path / "state").keys() == keys
    assert other.keys() != keys
    assert re.fullmatch(r"SYNCD[A-Z2-7]{15}", keys.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", keys.secret_access_key)
    assert len({keys.secret_access_key, keys.encryption_secret}) == 2


def test_only_the_owner_can_read_the_keys(installation: Installation) -> None:
    installation.directory.chmod(0o755)
    installation.prepare()
    installation.keys()

    modes = {stat.S_IMODE(path.stat().st_mode) for path in installation.keys_dir.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(installation.keys_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(installation.directory.stat().st_mode) == 0o700


def test_keys_do_not_show_in_a_representation(installation: Installation) -> None:
    keys = installation.keys()
    assert keys.secret_access_key not in repr(keys)
    assert keys.encryption_secret not in repr(keys)


def test_a_crash_while_keys_are_made_leaves_none(installation: Installation) -> None:
    half_made = installation.directory / "keys-abcd"
    half_made.mkdir()
    (half_made / "access_key_id").write_text("SYNCD")

    assert len(installation.keys().access_key_id) == 20
    assert not half_made.exists()


def test_keys_are_not_made_anew_where_data_is(installation: Installation) -> None:
    (installation.directory / "meta").mkdir()
    with pytest.raises(EmbeddedServerError, match=r"restore .*keys from a backup"):
        installation.keys()


@pytest.mark.parametrize("content", ["", "\n", "caf\u00e9"])
def test_a_damaged_key_is_an_error(installation: Installation, content: str) -> None:
    installation.keys()
    installation.secret_path.write_text(content, encoding="utf-8")
    with pytest.raises(EmbeddedServerError, match="secret_access_key"):
        installation.keys()


def test_the_server_inherits_nothing_that_could_change_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEFS_DATABASE_TYPE", "postgres")
    monkeypatch.setenv("LAKEFS_LOGGING_LEVEL", "TRACE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hers")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")

    environment = installation.environment(host="127.0.0.1", port=1234)

    assert environment["LAKEFS_DATABASE_TYPE"] == "local"
    assert environment["LAKEFS_LISTEN_ADDRESS"] == "127.0.0.1:1234"
    others = {name for name in environment if not name.startswith("LAKEFS_")}
    assert others <= {"PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    assert "LAKEFS_LOGGING_LEVEL" not in environment


def test_the_last_start_is_remembered(installation: Installation, tmp_path: Path) -> None:
    assert installation.last_start() is None
    installation.remember_start(LastStart(pid=7, port=8000))
    assert Installation(tmp_path / "state").last_start() == LastStart(pid=7, port=8000)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": "x", "port": 1}', "\0"])
def test_a_damaged_memory_of_the_last_start_is_none(installation: Installation, content: str) -> None:
    (installation.directory / "server.json").write_text(content)
    assert installation.last_start() is None


def test_a_large_log_is_put_aside(installation: Installation) -> None:
    installation.rotate_log()
    installation.log_path.write_bytes(b"x")
    installation.rotate_log()
    assert installation.log_path.exists()

    installation.log_path.write_bytes(b"x" * 10_000_001)
    installation.rotate_log()

    assert not installation.log_path.exists()
    assert (installation.directory / "lakefs.log.1").stat().st_size == 10_000_001


def test_a_state_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"cannot keep its data in .*state"):
        Installation(tmp_path / "state").prepare()
