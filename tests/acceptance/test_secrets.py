"""One secret of each kind, looked for in everything that leaves the daemon: it is found nowhere."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from syncd.embedded.installation import Installation
from tests.support.altered import running
from tests.support.daemon import Dataset, until

if TYPE_CHECKING:
    from syncd.embedded.process import ServerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

TOKEN, SIGNING = "canary-token-0123456789", "canary-signing-0123456789"
HOOK, PASSWORD = "http://127.0.0.1:9/canary-hook-0123456789", "canary-password-0123456789"
AT_DEBUG = """\
import logging, os, sys
from syncd.service import logs
set_up = logs.set_up
def at_debug(*args, **options):
    set_up(*args, **{**options, "level": logging.DEBUG})
    logging.getLogger().setLevel(logging.DEBUG)  # the libraries, too
logs.set_up = at_debug
"""
CRASH = """\
from syncd.service import run
def crash(settings, **options):
    raise RuntimeError(f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}")
run.open_engine = crash
"""
TELLING = """\
from syncd.service import reload
adopt = reload.adopt
def telling(engine, before, after):
    secret, url = after.notify.webhook_secret.get_secret_value(), after.tables[0].url.get_secret_value()
    reload.log.warning("told", secret=secret, url=url)
    adopt(engine, before, after)
reload.adopt = telling
"""


def private(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


@pytest.fixture
def secretive(dataset: Dataset) -> Dataset:
    """A dataset with a secret wherever one can be."""
    directory = dataset.directory
    url = private(directory / "url", f"postgresql://reader:{PASSWORD}@127.0.0.1:9/photos")
    dataset.configure(
        service={
            **dataset.sections["service"],
            "listen": "127.0.0.1:0",
            "listen_token_file": private(directory / "token", TOKEN),
        },
        notify={
            "webhook_url_file": private(directory / "hook", HOOK),
            "webhook_secret_file": private(directory / "signing", SIGNING),
            "ping_url_file": private(directory / "ping", HOOK),
            "command": [sys.executable, "-c", "import os; print(sorted(os.environ.items()))"],
            "grace_seconds": 0,
        },
        tables=[{"name": "labels", "url_file": url, "table": "labels", "key": "id"}],
    )
    return dataset


def pages(address: str) -> Iterator[str]:
    for path in ("/", "/livez?verbose", "/readyz?verbose", "/metrics", f"/{TOKEN}"):
        for token in ("", "wrong", TOKEN):
            request = urllib.request.Request(f"http://{address}{path}", headers={"Authorization": f"Bearer {token}"})
            with contextlib.suppress(urllib.error.HTTPError):
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the daemon's own address
                        yield f"{answer.headers}{answer.read().decode()}"
                except urllib.error.HTTPError as error:
                    yield f"{error.headers}{error.read().decode()}"


def test_no_secret_leaves_the_daemon(secretive: Dataset, lakefs_server: ServerProcess) -> None:
    secrets = [lakefs_server.secret_access_key, TOKEN, SIGNING, "canary-hook", PASSWORD]
    said = dict[str, str]()
    with running(secretive, AT_DEBUG) as (process, log):
        until(lambda: secretive.state_dir.joinpath("syncd.sock").exists(), "it answers")
        address = secretive.status_until(lambda seen: seen["http"]["address"], "it listens")["http"]["address"]
        (secretive.root / "a.png").write_bytes(b"a")
        secretive.status_until(lambda seen: not seen["pending"]["upload"], "the image is staged")
        until(lambda: b"notification_failed" in log.read_bytes() or b"webhook" in log.read_bytes(), "a hook was tried")
        said["pages"] = "".join(pages(address))
        for command in (
            *(["status"], ["status", "--json"], ["config", "show"], ["config", "show", "--json"], ["tail"], ["top"]),
            *(["health"], ["plan"], ["doctor"], ["doctor", "--json"], ["snapshot", "--timeout", "1"]),
        ):
            done = secretive.command(*command)
            said[" ".join(command)] = done.stdout + done.stderr
        bundle = secretive.directory / "bundle.tar.gz"
        done = secretive.command("bundle", "--output", str(bundle))
        assert done.returncode == 0, done.stderr
        with tarfile.open(bundle) as archive:
            for member in archive.getmembers():
                content = archive.extractfile(member)
                said[f"bundle: {member.name}"] = content.read().decode(errors="replace") if content else ""
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                said[f"argv and environment of {one.pid}"] = f"{one.cmdline()} {one.environ()}"
        for file in secretive.state_dir.rglob("*"):
            if file.is_file():
                said[f"state: {file.name}"] = file.read_bytes().decode(errors="replace")
    said["log"] = log.read_text(errors="replace")
    assert "debug" in said["log"].lower()
    assert len(said) > 15
    assert {(place, secret) for place, text in said.items() for secret in secrets if secret in text} == set()


def test_no_secret_is_in_a_traceback(secretive: Dataset, lakefs_server: ServerProcess) -> None:
    with running(secretive, AT_DEBUG + CRASH) as (process, log):
        assert process.wait(60) != 0
    text = log.read_text(errors="replace")
    assert "RuntimeError" in text
    secrets = (lakefs_server.secret_access_key, TOKEN, SIGNING, HOOK, PASSWORD)
    assert [secret for secret in secrets if secret in text] == []


def test_secrets_that_a_reload_brings_are_in_no_line(secretive: Dataset) -> None:
    with running(secretive, TELLING) as (process, log):
        until(lambda: secretive.state_dir.joinpath("syncd.sock").exists(), "it answers")
        signing, password = (f"canary-of-later-{kind}" for kind in ("signing", "password"))
        (secretive.directory / "signing").write_text(signing)
        (secretive.directory / "url").write_text(f"postgresql://reader:{password}@127.0.0.1:9/photos")
        process.send_signal(signal.SIGHUP)
        until(lambda: b"configuration_reloaded" in log.read_bytes(), "it has read them")
    text = log.read_text()
    assert "postgresql://reader:" in text
    assert signing not in text
    assert password not in text


def test_the_keys_of_the_embedded_server_are_in_no_argument_and_no_environment(
    tmp_path: Path, lakefs_binary: Path
) -> None:
    dataset = Dataset(tmp_path / "data")
    dataset.more_environment["SYNCD_LAKEFS_BINARY"] = os.fspath(lakefs_binary)
    daemon = dataset.start()
    try:
        dataset.json_of("snapshot")
        installation = Installation(dataset.state_dir)
        keys = installation.keys()
        seen = [psutil.Process(daemon.pid), *psutil.Process(daemon.pid).children(recursive=True)]
        assert len(seen) > 1
        for one in seen:
            for secret in (keys.secret_access_key, keys.encryption_secret):
                assert (
                    secret not in f"{one.cmdline()} {one.environ()} {daemon.log()} {installation.log_path.read_text()}"
                )
        assert installation.config_path.stat().st_mode & 0o077 == 0
    finally:
        dataset.close()
