"""What set-up writes: whole, private, never over another file; and what it takes for the same answers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from syncd.config import load
from syncd.config.example import answered_toml
from syncd.errors import ConfigError
from syncd.setup import write
from syncd.setup.flow import next_steps
from syncd.setup.questions import SetupError


def answers(root: Path, **lakefs: str) -> write.Answers:
    return {"source": {"root": str(root)}, "tables": {}, "lakefs": lakefs}


def test_a_secret_is_new_each_time_and_its_key_id_follows_from_it() -> None:
    made = [write.make_secret() for _ in range(50)]
    assert len(set(made)) == 50
    assert {len(secret) for secret in made} == {40}
    ids = {write.key_id_of(secret) for secret in made}
    assert len(ids) == 50
    assert {len(key_id) for key_id in ids} == {20}
    assert write.key_id_of(made[0]) == write.key_id_of(made[0])


def test_the_secret_has_the_name_that_the_units_have_for_it() -> None:
    assert write.secret_beside(Path("/etc/syncd/syncd.toml")) == Path("/etc/syncd/lakefs_secret_access_key")
    assert write.secret_beside(Path("/etc/syncd/cats.toml")) == Path("/etc/syncd/cats.lakefs_secret_access_key")


def test_a_file_is_made_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write.write_new(tmp_path / "secret", "x\n", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_nothing_is_written_over_another_file(tmp_path: Path) -> None:
    path = tmp_path / "syncd.toml"
    path.write_text("theirs")
    with pytest.raises(SetupError, match="is there already"):
        write.write_new(path, "ours", mode=0o644)
    assert path.read_text() == "theirs"
    assert [found.name for found in tmp_path.iterdir()] == ["syncd.toml"]
    write.write_new(path, "theirs", mode=0o644)  # the same is no fault


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="is there already"):
        write.write_new(tmp_path / "secret", "x\n", mode=0o600)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be written: No such file") as told:
        write.write_new(tmp_path / "none" / "syncd.toml", "x", mode=0o644)
    assert "--config" in told.value.next_step


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "[x].toml"
    left, other = tmp_path / ".[x].toml.init-abc", tmp_path / ".x.toml.init-abc"
    left.touch()
    other.touch()
    write.tidy(path)
    assert not left.exists()
    assert other.exists()


def test_the_same_answers_agree_and_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "syncd.toml"
    assert not write.require_agreement(path, answers(tmp_path))
    path.write_text(answered_toml(answers(tmp_path, repository="photos")) + "\n# a note of mine\n")
    assert write.require_agreement(path, answers(tmp_path, repository="photos"))
    assert write.require_agreement(path, answers(tmp_path, publish_branch="main")), "the default need not be written"
    with pytest.raises(SetupError, match=r'lakefs\.repository = "photos", answered "cats"'):
        write.require_agreement(path, answers(tmp_path, repository="cats"))
    path.with_name("empty.toml").touch()
    with pytest.raises(SetupError, match=r"source\.root = \(not set\), answered"):
        write.require_agreement(path.with_name("empty.toml"), answers(tmp_path))
    table = {"name": "labels", "csv": "/srv/labels.csv", "key": "id"}
    with pytest.raises(SetupError, match="no such table 'labels'"):
        write.require_agreement(path, {**answers(tmp_path), "tables": table})


@pytest.mark.parametrize("text", ["[source\n", "\xff\xfe"])
def test_a_file_that_is_no_configuration_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "syncd.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SetupError, match="is there and cannot be read"):
        write.read_config(path)


def test_answers_that_do_not_go_together_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "images" / "state"))
    with pytest.raises(ConfigError, match="or syncd would sync itself") as told:
        write.require_fit(tmp_path / "syncd.toml", answers(tmp_path / "images"))
    assert ".init-" not in str(told.value), "the file that was tried is not the one meant"
    assert list(tmp_path.iterdir()) == []


def test_odd_paths_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    root = tmp_path / 'a "quoted" \\ back\tslash ü'
    path = tmp_path / "syncd.toml"
    write.require_fit(path, answers(root))
    write.write_new(path, answered_toml(answers(root)), mode=0o644)
    assert load(path, environ={"STATE_DIRECTORY": str(tmp_path / "state")}).settings.source.root == root
    assert write.require_agreement(path, answers(root))


def test_what_to_run_next_names_the_unit_of_the_configuration() -> None:
    lines = "\n".join(next_steps(Path("/etc/syncd/cats.toml"), "/etc/syncd/cats.lakefs_secret_access_key"))
    assert "sudo systemctl enable --now syncd@cats" in lines
    assert "put it there first" not in lines
    assert "sudo systemctl enable --now syncd\n" in "\n".join(next_steps(Path("/srv/syncd.toml"), None))
