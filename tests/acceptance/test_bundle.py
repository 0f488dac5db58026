"""``syncd bundle``: what a bug report needs, and of secrets and names nothing, wherever they were."""

from __future__ import annotations

import json
import logging
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from syncd.config import load
from syncd.doctor.checks import of_loaded
from syncd.doctor.examination import examine
from tests.support.daemon import Dataset

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

CANARY = "cAnArY"  # each secret holds it, with a number of its own
NAME = "nAmE-cAnArY"
LISTED = {"README.txt", "versions.json", "configuration.json", "doctor.json", "doctor.txt"}
LISTED |= {"status.json", "journal.json", "system.json"}


def bundle(dataset: Dataset, target: Path, *arguments: str) -> dict[str, str]:
    """Make a bundle and return what is in it."""
    done = dataset.command("bundle", "--output", str(target), *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        texts = {name.removeprefix("syncd-bundle/"): file.read().decode() for name, file in files.items() if file}
    assert set(texts) >= LISTED
    for name in [name for name in texts if name.endswith(".json")]:
        json.loads(texts[name])
    return {**texts, "(said)": done.stdout + done.stderr}


def secret_file(dataset: Dataset, name: str, text: str) -> str:
    path = dataset.directory / name
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


@pytest.fixture
def secretive(dataset: Dataset) -> Dataset:
    """A secret in each place that may hold one; the database's, the environment's and lakectl's are of no use."""
    dataset.config.touch(mode=0o600)
    dataset.config.chmod(0o600)
    tables = [
        {"name": "one", "url": f"postgresql://u:{CANARY}%40%2F1@127.0.0.1:1/x", "table": "t", "key": "id"},
        {"name": "two", "url_file": secret_file(dataset, "url", f"mysql://u:{CANARY}2@127.0.0.1:1/x")},
    ]
    tables[1] |= {"table": "t", "key": "id"}
    notify = {
        "webhook_url": f"http://127.0.0.1:1/{CANARY}3",
        "webhook_secret_file": secret_file(dataset, "hook", f"{CANARY}4"),
        "ping_url": f"http://127.0.0.1:1/{CANARY}5",
    }
    dataset.configure(tables=tables, notify=notify)
    del dataset.sections["lakefs"]["secret_access_key_file"]
    dataset.configure(lakefs={"secret_access_key": f"{CANARY}-6-0123456789"})
    lakectl = f"credentials:\n  access_key_id: other\n  secret_access_key: {CANARY}7\n"
    (dataset.home / ".lakectl.yaml").write_text(lakectl)
    dataset.more_environment |= {
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": f"{CANARY}8",
        "AWS_SECRET_ACCESS_KEY": f"{CANARY}9",
        "PGPASSWORD": f"{CANARY}10",
    }
    return dataset


def journalctl(dataset: Dataset, *lines: str) -> None:
    """Put a journalctl before the system's that prints these lines, as that of a unit would."""
    programs = dataset.directory / "bin"
    programs.mkdir()
    (dataset.directory / "log").write_text("\n".join(lines) + "\n")
    (programs / "journalctl").write_text(f"#!/bin/sh\ncat {dataset.directory}/log\n")
    (programs / "journalctl").chmod(0o755)
    dataset.more_environment["PATH"] = f"{programs}:/usr/local/bin:/usr/bin:/bin"


def test_no_secret_is_in_it_nor_in_what_the_doctor_says(secretive: Dataset, tmp_path: Path) -> None:
    """0 hits, in the archive and on the streams, also where lakeFS and the databases refuse what they were given."""
    leaks = [f'{{"event": "x", "error": "said {CANARY}{number}"}}' for number in (2, 4, 7, 8, 9, 10)]
    journalctl(secretive, *leaks, f"plain {CANARY}@/1 {CANARY}%40%2F1 and {CANARY}-6-0123456789")
    texts = bundle(secretive, tmp_path / "b.tar.gz", "--with-names")
    assert "********" in texts["log.txt"]
    assert "********" in texts["configuration.json"]
    assert {name: text for name, text in texts.items() if CANARY in text} == {}
    for arguments in (["doctor"], ["doctor", "--json"], ["config check", "--online"]):
        done = secretive.command(*arguments)
        assert done.returncode == 1
        assert "lakefs.credentials" in done.stdout
        assert CANARY not in done.stdout + done.stderr
    debug = subprocess.run(
        secretive.arguments("doctor"),
        env={**secretive.environment, "PYTHONASYNCIODEBUG": "1", "PYTHONDEVMODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "lakefs.credentials" in debug.stdout
    assert CANARY not in debug.stdout + debug.stderr


def test_no_secret_of_a_faulty_configuration_is_in_it(secretive: Dataset, tmp_path: Path) -> None:
    with secretive.config.open("a") as file:
        file.write(f'\n[surce]\npassword = "{CANARY}11"\n')
    texts = bundle(secretive, tmp_path / "b.tar.gz")
    assert "surce" in texts["configuration.json"]
    assert '"level": "fail"' in texts["doctor.json"]
    assert {name: text for name, text in texts.items() if CANARY in text} == {}


def test_files_are_counted_and_named_only_where_that_is_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    for number in range(3):
        (dataset.root / f"{NAME}{number}.png").write_bytes(b"x")
    (dataset.root / f"{NAME}-link.png").symlink_to("/nowhere")
    (dataset.root / f"{NAME}\x1b[31m\x9b.png").symlink_to("/nowhere")
    assert dataset.command("sync").returncode == 0
    logged: list[dict[str, Any]] = [
        {"event": "left_out", "path": f"{NAME}.png", "count": 7},
        {"event": "failed", "error": f"storing images/{NAME} 1.png failed"},
        {"event": "failed", "error": f"[Errno 13] Permission denied: '{NAME}'", "anything": NAME},
    ]
    journalctl(dataset, *(json.dumps(line) for line in logged), f"plain {dataset.root}/{NAME}.png")
    texts = bundle(dataset, tmp_path / "b.tar.gz")
    assert {name: text for name, text in texts.items() if NAME in text} == {}
    journal = json.loads(texts["journal.json"])
    assert journal["counts"]["images"] == 3
    assert sum(journal["not_synced"]["images"].values()) == 2
    assert journal["snapshots"][0]["images"] == 3
    assert '"count": 7' in texts["log.txt"]
    assert "[Errno 13] Permission denied" in texts["log.txt"]
    named = bundle(dataset, tmp_path / "named.tar.gz", "--with-names")
    assert f"{NAME}-link.png" in named["status.json"]
    assert all(text.replace("\n", "").isprintable() for name, text in named.items()), "control bytes are escaped"


def test_it_overwrites_nothing_and_leaves_nothing_unfinished(dataset: Dataset, tmp_path: Path) -> None:
    target = tmp_path / "out" / "b.tar.gz"
    target.parent.mkdir()
    target.write_text("mine")
    refused = dataset.command("bundle", "--output", str(target))
    assert refused.returncode == 2
    assert "is there already" in refused.stderr
    assert target.read_text() == "mine"
    nowhere = dataset.command("bundle", "--output", str(tmp_path / "absent" / "b.tar.gz"))
    assert nowhere.returncode == 1
    assert "cannot be written" in nowhere.stderr
    assert dataset.command("bundle").returncode == 0
    assert [path.name for path in target.parent.iterdir()] == ["b.tar.gz"]
    (made,) = dataset.directory.glob("*bundle*")
    assert made.name.startswith("syncd-bundle-")


async def test_libraries_at_debug_level_tell_no_secret(
    secretive: Dataset, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(secretive.home))
    caplog.set_level(logging.DEBUG)
    loaded = load(secretive.config, environ=secretive.environment, cwd=secretive.directory)
    findings = await examine(of_loaded(loaded, secretive.environment))
    assert any(finding.name == "lakefs.credentials" and finding.level == "fail" for finding in findings)
    assert CANARY not in caplog.text
    assert CANARY not in str(findings)
