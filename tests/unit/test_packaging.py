"""What is shipped: the wheel, the command, the systemd unit, the container's recipe, the change log."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

from syncd import __version__
from syncd.__main__ import main
from syncd.cli.app import app
from syncd.errors import EXIT_BAD_CONFIGURATION, EXIT_USAGE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as it would be for a release."""
    uv = shutil.which("uv") or shutil.which(Path(sys.executable).with_name("uv"))
    if uv is None:
        pytest.skip("no uv here; `make setup` brings one")
    folder = tmp_path_factory.mktemp("wheel")
    command = [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", str(folder), str(ROOT)]
    # the builder is in uv's cache since `make setup`; the network is asked only where it is not
    if subprocess.run([*command, "--offline"], capture_output=True, check=False).returncode != 0:
        subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_that_syncd_reads_at_run_time(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "syncd").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"} and not path.name.startswith(".")
    }

    assert data <= names
    assert {"syncd/py.typed", "syncd/journal/schema.sql", "syncd/embedded/go.mod", "syncd/embedded/go.sum"} <= names
    assert f"syncd-{__version__}.dist-info/licenses/LICENSE" in names


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"syncd", f"syncd-{__version__}.dist-info"}


def test_the_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="syncd")
    assert script.load() is main


def test_the_change_log_speaks_of_this_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def options_of(command_name: str) -> set[str]:
    """Return the options that a command of syncd understands."""
    group = typer.main.get_command(app)
    command = group.commands[command_name]  # type: ignore[attr-defined]
    return {option for parameter in command.params for option in parameter.opts}


def unit(name: str = "syncd.service") -> configparser.ConfigParser:
    """Return a systemd unit."""
    parser = configparser.ConfigParser(
        interpolation=None, comment_prefixes=("#", ";"), delimiters=("=",), strict=False
    )  # what a filter lets in and keeps out stands in two lines of one key
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "systemd" / name, encoding="utf-8")
    return parser


def test_the_service_starts_a_command_that_exists() -> None:
    program, command, *arguments = shlex.split(unit()["Service"]["ExecStart"])

    assert Path(program).is_absolute()
    assert Path(program).name == "syncd"
    assert {argument for argument in arguments if argument.startswith("-")} <= options_of(command)


def test_the_service_is_restarted_but_not_for_what_only_a_person_can_mend() -> None:
    service = unit()["Service"]
    assert service["Restart"] == "on-failure"
    assert set(service["RestartPreventExitStatus"].split()) == {str(EXIT_USAGE), str(EXIT_BAD_CONFIGURATION)}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
@pytest.mark.parametrize("name", ["syncd.service", "syncd@cats.service"])
def test_systemd_finds_no_fault_in_the_service(tmp_path: Path, name: str) -> None:
    text = (ROOT / "systemd" / name.replace("cats", "")).read_text("utf-8")
    installed = tmp_path / name
    installed.write_text(text.replace("/opt/syncd/bin/syncd", "/bin/true"))

    verdict = subprocess.run(["systemd-analyze", "verify", str(installed)], capture_output=True, text=True, check=False)

    assert name not in verdict.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
@pytest.mark.parametrize("name", ["syncd.service", "syncd@.service"])
def test_the_service_is_exposed_as_little_as_is_said(name: str) -> None:
    asking = ["systemd-analyze", "security", "--offline=yes", "--threshold=11", str(ROOT / "systemd" / name)]
    verdict = subprocess.run(asking, capture_output=True, text=True, check=False)
    assert verdict.returncode == 0, verdict.stdout.splitlines()[-1]


def test_the_template_is_the_service_for_each_dataset() -> None:
    one, each = unit(), unit("syncd@.service")
    differing = {
        key: (value, each[section].get(key))
        for section in one.sections()
        for key, value in one[section].items()
        if each[section].get(key) != value
    }
    assert one.sections() == each.sections()
    assert differing.keys() == {"Description", "ExecStart", "StateDirectory"}
    assert differing["StateDirectory"] == ("syncd", "syncd/%i")
    assert all("%i" in value for _, value in differing.values())


def test_the_container_starts_a_command_that_exists() -> None:
    recipe = (ROOT / "Dockerfile").read_text("utf-8")
    started = {
        key: json.loads(words) for key, words in re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", recipe, re.MULTILINE)
    }

    assert started["ENTRYPOINT"] == ["tini", "--", "syncd"]
    assert options_of(started["CMD"][0])


def test_the_container_and_the_set_up_bring_the_same_uv() -> None:
    files = {"Dockerfile": r"^ARG UV_VERSION=(\S+)", "scripts/bootstrap.sh": r"^uv_version=(\S+)"}
    versions = {re.search(rule, (ROOT / name).read_text("utf-8"), re.MULTILINE)[1] for name, rule in files.items()}  # type: ignore[index]
    assert len(versions) == 1


def test_the_container_is_not_run_by_root() -> None:
    *_, user = re.findall(r"^USER (\d+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert int(user) > 0
