"""The commands as scripts use them: exit codes, stable keys, and nothing changed by those that only look."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest

from syncd.embedded.process import ServerProcess
from syncd.errors import EXIT_BAD_CONFIGURATION, EXIT_USAGE
from tests.support import warm
from tests.support.comparing import Reader, folder
from tests.support.daemon import SYNCD, Dataset

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

SNAPSHOT_KEYS = {
    "tag", "commit_id", "created_at", "trigger", "added", "changed", "deleted", "images", "bytes", "digest", "uri",
}  # fmt: skip
STATUS_KEYS = {
    "state", "since", "why", "next_step", "configuration", "pending", "next_decision_at",
    "snapshot", "hold", "failure", "retention", "sources", "tables",
    "not_synced", "problems", "in_step_at", "http",
}  # fmt: skip


def rows(dataset: Dataset) -> list[str]:
    with sqlite3.connect(f"file:{dataset.state_dir / 'journal.db'}?mode=ro", uri=True) as connection:
        return list(connection.iterdump())


def test_sync_and_snapshot_print_the_snapshot(dataset: Dataset) -> None:
    (dataset.root / "a.png").write_bytes(b"a")
    synced = dataset.json_of("sync")
    assert synced.keys() == SNAPSHOT_KEYS | {"left_out", "held"}
    assert (synced["trigger"], synced["added"], synced["left_out"], synced["held"]) == ("request", 1, [], "")
    assert dataset.json_of("snapshot")["tag"] == synced["tag"]  # without a daemon: one pass
    dataset.start()
    (dataset.root / "b.png").write_bytes(b"b")
    taken = dataset.json_of("snapshot")
    assert (taken["added"], taken["images"]) == (1, 2)
    said = dataset.command("snapshot")
    assert said.returncode == 0
    assert taken["tag"] in said.stdout
    assert taken["uri"] in said.stdout


def test_sync_on_an_empty_folder_has_no_snapshot(dataset: Dataset) -> None:
    assert dataset.json_of("sync") == {"tag": None, "left_out": [], "held": ""}
    assert "nothing to commit" in dataset.command("sync").stdout


def test_status_with_and_without_a_daemon(dataset: Dataset) -> None:
    none = dataset.command("status")
    assert none.returncode == 1
    assert "syncd run" in none.stderr
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.json_of("sync")
    stopped = dataset.json_of("status")
    assert stopped.keys() == STATUS_KEYS
    assert stopped["state"] == "stopped"
    dataset.start()
    running = dataset.status_until(lambda seen: seen["state"] == "idle", "it is in step")
    assert running.keys() == STATUS_KEYS
    assert running["snapshot"].keys() == SNAPSHOT_KEYS
    assert dataset.json_of("status").keys() == STATUS_KEYS
    assert re.match(r"idle, since [0-9: -]+: in step with the source\n", dataset.command("status").stdout)


def test_show_tells_of_a_snapshot_by_any_of_its_names(dataset: Dataset) -> None:
    (dataset.root / "a.png").write_bytes(b"a")
    labels = dataset.directory / "labels.csv"
    labels.write_text("id,image\n1,a.png\n2,b.png\n")
    dataset.configure(
        tables=[{"name": "labels", "csv": str(labels), "key": "id", "image_column": "image", "closure": "warn"}]
    )
    taken = dataset.json_of("sync")
    shown = dataset.json_of("show")
    assert {key: shown[key] for key in SNAPSHOT_KEYS} == {key: taken[key] for key in SNAPSHOT_KEYS}
    assert shown["tables"] == {
        "labels": {"rows": 2, "missing": 1, "orphaned": 0, "key": "id", "image_column": "image", "closure": "warn"}
    }
    assert shown["s3_uri"] == shown["uri"].replace("lakefs://", "s3://")
    for name in (taken["tag"], taken["commit_id"][:12]):
        assert dataset.json_of("show", name) == shown
    assert dataset.json_of("show", "--at", "2100-01-01") == shown
    said = dataset.command("show").stdout
    assert said.startswith(f"{taken['tag']}\n")
    assert "1 images, " in said
    assert "2 rows; 1 row without image" in said
    unknown = dataset.command("show", taken["tag"][:-4])
    assert (unknown.returncode, f"similar: {taken['tag']}" in unknown.stderr) == (1, True)
    assert dataset.command("show", "--at", "2020-01-01").returncode == 1
    assert dataset.command("show", taken["tag"], "--at", "2020-01-01").returncode == EXIT_USAGE
    assert dataset.json_of("diff", "latest", taken["commit_id"])["changes"] == []


def test_plan_changes_nothing(dataset: Dataset, reader: Reader) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (dataset.root / name).write_bytes(name.encode())
    first = dataset.json_of("sync")
    (dataset.root / "a.png").write_bytes(b"changed")
    (dataset.root / "b.png").unlink()
    (dataset.root / "new\u202e.png").write_bytes(b"new")
    before = rows(dataset)
    planned = dataset.json_of("plan")
    assert (planned["added"], planned["changed"], planned["deleted"], planned["more"]) == (1, 1, 1, 0)
    assert {(change["key"], change["kind"]) for change in planned["changes"]} == {
        ("images/a.png", "changed"),
        ("images/b.png", "deleted"),
        ("images/new\u202e.png", "added"),
    }
    said = dataset.command("plan").stdout
    assert "~ images/a.png" in said
    assert "- images/b.png" in said
    assert "\u202e" not in said  # a name cannot play tricks with the terminal
    assert rows(dataset) == before
    assert reader.objects("syncd-staging") == reader.objects(first["tag"])


def test_log_diff_and_explain_tell_the_history(dataset: Dataset) -> None:
    assert dataset.command("log").returncode == 1  # nothing there yet
    (dataset.root / "a.png").write_bytes(b"a")
    first = dataset.json_of("sync")
    (dataset.root / "b.png").write_bytes(b"bb")
    (dataset.root / "notes.txt~").write_bytes(b"?")
    second = dataset.json_of("sync")
    log = dataset.json_of("log")
    assert [one["tag"] for one in log] == [second["tag"], first["tag"]]
    assert all(one.keys() == SNAPSHOT_KEYS | {"removed_at"} for one in log)
    assert dataset.json_of("log", "--limit", "1") == log[:1]
    assert dataset.json_of("log", "--since", log[1]["created_at"], "--trigger", "request") == log
    assert dataset.json_of("log", "--trigger", "quiet") == []
    assert "no such snapshot" in dataset.command("log", "--until", "2020-01-01").stdout
    assert dataset.json_of("diff", first["tag"], second["tag"])["changes"] == [
        {"path": "images/b.png", "kind": "added", "bytes": 2}
    ]
    assert dataset.command("diff", second["tag"], first["tag"]).stdout == "- images/b.png  2 B\n"
    assert dataset.command("diff", first["tag"], "no-such-tag").returncode == 1

    told = dataset.json_of("explain", "a.png")
    assert told["kept"]
    assert told["entry"]["seen_sha256"] == told["entry"]["committed_sha256"]
    assert told["snapshot"]["tag"] == first["tag"]
    assert told["entry"]["batch"] == 1
    ignored = dataset.json_of("explain", str(dataset.root / "notes.txt~"))
    assert not ignored["kept"]
    assert ignored["entry"] is None
    assert "left out" in dataset.command("explain", "notes.txt~").stdout
    assert dataset.command("explain", "/etc/passwd").returncode == 2


def test_usage_errors_end_with_2_and_bad_configuration_with_78(dataset: Dataset) -> None:
    assert dataset.command("snapshot", "--no-such-option").returncode == 2
    assert dataset.command("no-such-command").returncode == 2
    dataset.config.write_text(dataset.config.read_text().replace("settle_seconds", "setle_seconds"))
    for command in ("run", "sync", "status", "config check"):
        done = dataset.command(command)
        assert done.returncode == 78, done.stderr
        assert "settle_seconds" in done.stderr + done.stdout
        assert "setle_seconds" in done.stderr + done.stdout


def test_config_commands_answer(dataset: Dataset) -> None:
    assert dataset.command("config check").returncode == 0
    shown = dataset.command("config show").stdout
    assert "syncd.toml:" in shown
    assert "settle_seconds" in shown
    schema = subprocess_json(dataset, "config schema")
    assert "source" in schema["properties"]


def subprocess_json(dataset: Dataset, command: str) -> dict:
    done = subprocess.run(
        [SYNCD, *command.split()], capture_output=True, text=True, check=True, env=dataset.environment
    )
    return json.loads(done.stdout)


def test_no_command_shows_the_secret(dataset: Dataset, lakefs_server) -> None:
    dataset.command_prefix = ("env",)  # started as people start it: its arguments are looked at
    (dataset.root / "a.png").write_bytes(b"a")
    dataset.start()
    dataset.snapshot()
    said = [dataset.command(name) for name in ("status", "log", "config show", "config check", "plan")]
    said.append(dataset.command("explain", "a.png"))
    everything = "".join(one.stdout + one.stderr for one in said) + dataset.daemons[-1].log()
    assert lakefs_server.secret_access_key not in everything
    arguments = Path(f"/proc/{dataset.daemons[-1].pid}/cmdline").read_bytes()
    assert lakefs_server.secret_access_key.encode() not in arguments


def test_snapshots_are_read_on_another_machine_without_a_configuration(
    dataset: Dataset, lakefs_server: ServerProcess, tmp_path: Path
) -> None:
    """All it takes is what every lakeFS client takes, and the repository's name."""
    (dataset.root / "a.png").write_bytes(b"a")
    first = dataset.json_of("sync")["tag"]
    (dataset.root / "b.png").write_bytes(b"b")
    second = dataset.json_of("sync")["tag"]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LAKECTL_SERVER_ENDPOINT_URL": lakefs_server.endpoint,
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": lakefs_server.access_key_id,
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": lakefs_server.secret_access_key,
        "SYNCD_LAKEFS__REPOSITORY": dataset.sections["lakefs"]["repository"],
    }

    def told(*arguments: str) -> dict:
        code, said, complaint = warm.run([*arguments, "--json"], env=environment, cwd=tmp_path, timeout_s=60)
        assert code == 0, complaint
        return json.loads(said)

    assert told("show", second)["images"] == 2
    assert [one["path"] for one in told("diff", first, "latest")["changes"]] == ["images/b.png"]
    assert told("verify", first, "--read-data")["fault_count"] == 0
    told("pin", first, "--reason", "model 14")
    assert [one["tag"] for one in told("pins")["pinned"]] == [first]
    told("unpin", first)
    assert told("pull", first, "pulled")["objects"] == 1
    assert told("restore", second, "images/b.png", "--to", "pulled-b")["written"] == 1
    code, _, complaint = warm.run(["verify", "--source"], env=environment, cwd=tmp_path, timeout_s=60)
    assert (code, "source.root" in complaint) == (EXIT_BAD_CONFIGURATION, True)


def test_syncing_once_deletes_what_is_gone(dataset: Dataset, reader: Reader) -> None:
    """The folder is not watched any more when the deletions are carried out: the listing that has ended counts."""
    for number in range(30):
        (dataset.root / f"{number}.png").write_bytes(b"%d" % number)
    dataset.json_of("sync")
    for number in range(3):
        (dataset.root / f"{number}.png").unlink()
        answer = dataset.json_of("sync")
        held = {key: body for key, body in reader.objects(answer["tag"]).items() if key.startswith("images/")}
        assert held == folder(dataset.root)
