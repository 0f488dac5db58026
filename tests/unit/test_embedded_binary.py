"""Which lakeFS binary is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncd.embedded.binary import cached_path, find_or_build, version_of
from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable


class Said:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def update(self, line: str) -> None:
        """Forget it: it moves."""


def write_script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def write_lakefs(path: Path, version: str = "1.84.0") -> Path:
    return write_script(path, f'echo "lakefs version {version}"')


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on PATH but the system's own, nothing cached, nothing chosen."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'on-path'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SYNCD_LAKEFS_BINARY", raising=False)
    monkeypatch.delenv("SYNCD_LAKECTL_BINARY", raising=False)


def test_the_variable_comes_before_path_and_path_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = write_lakefs(cached_path("lakefs"))
    assert find_or_build(progress=Said()) == cached

    on_path = write_lakefs(tmp_path / "on-path" / "lakefs")
    assert find_or_build(progress=Said()) == on_path

    chosen = write_lakefs(tmp_path / "chosen")
    monkeypatch.setenv("SYNCD_LAKEFS_BINARY", str(chosen))
    assert find_or_build(progress=Said()) == chosen


def test_the_client_has_a_variable_and_a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCD_LAKEFS_BINARY", str(write_lakefs(tmp_path / "server")))
    cached = write_lakefs(cached_path("lakectl"))
    assert find_or_build("lakectl", progress=Said()) == cached

    chosen = write_lakefs(tmp_path / "client")
    monkeypatch.setenv("SYNCD_LAKECTL_BINARY", str(chosen))
    assert find_or_build("lakectl", progress=Said()) == chosen


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (Path.exists, "which is not a file"),
        (Path.mkdir, "which is not a file"),
        (lambda path: path.write_text("#!/bin/sh\n"), "which is not executable"),
        (lambda path: write_script(path, "exit 1"), "which fails when asked for its version"),
    ],
    ids=["missing", "folder", "no execute bit", "broken"],
)
def test_a_variable_that_names_no_working_binary_is_an_error(
    make: Callable[[Path], object], fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a good one on PATH: what a person chose is not passed over in silence."""
    write_lakefs(tmp_path / "on-path" / "lakefs")
    make(tmp_path / "chosen")
    monkeypatch.setenv("SYNCD_LAKEFS_BINARY", str(tmp_path / "chosen"))
    with pytest.raises(EmbeddedServerError, match=fact) as caught:
        find_or_build(progress=Said())
    assert "$SYNCD_LAKEFS_BINARY" in caught.value.fact
    assert caught.value.next_step


def test_another_version_is_used_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()
    on_path = write_lakefs(tmp_path / "on-path" / "lakefs", "1.60.1")
    assert find_or_build(progress=said) == on_path
    monkeypatch.setenv("SYNCD_LAKEFS_BINARY", str(on_path))
    assert find_or_build(progress=said) == on_path
    assert said.lines == [f"warning: {on_path} is version 1.60.1; syncd is tested with 1.84.0"] * 2


def test_a_broken_binary_on_path_is_named_and_passed_over(tmp_path: Path) -> None:
    said = Said()
    broken = write_script(tmp_path / "on-path" / "lakefs", "exit 1")
    cached = write_lakefs(cached_path("lakefs"))
    assert find_or_build(progress=said) == cached
    assert said.lines == [f"{broken} does not run, so it is not used"]


def test_a_binary_that_tells_no_version_counts_as_unknown(tmp_path: Path) -> None:
    assert version_of(write_script(tmp_path / "odd", "echo dev")) == "unknown"
    assert version_of(write_lakefs(tmp_path / "rc", "1.85.0-rc.1")) == "1.85.0-rc.1"
    assert version_of(tmp_path / "missing") is None
