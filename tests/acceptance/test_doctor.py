"""``syncd doctor`` and ``syncd config check --online``: each thing is really broken, and found with its fix."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lakefs
import pytest

from tests.support.daemon import Dataset, until
from tests.support.databases import (  # noqa: F401 - fixtures
    PASSWORD_IN_URL,
    USER,
    MariadbServer,
    PostgresServer,
    mariadb,
    postgres,
)
from tests.support.small_disk import SmallDisk

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

NOBODY = 65534
ENDS_WITHIN_S = 30.0


def found(dataset: Dataset, *arguments: str, exit_code: int, command: str = "doctor") -> dict[str, dict[str, str]]:
    """Run the doctor and return its findings by name, the worst of each."""
    answer = dataset.json_of(command, *arguments, exit_code=exit_code)
    answer = answer.get("online", answer)
    assert answer["ok"] is (exit_code == 0)
    assert all(list(check) == ["name", "level", "fact", "fix"] for check in answer["checks"])
    assert all(bool(check["fix"]) for check in answer["checks"] if check["level"] != "ok")
    ranked = sorted(answer["checks"], key=lambda check: ["ok", "warn", "fail"].index(check["level"]))
    return {check["name"]: check for check in ranked}


def levels(findings: dict[str, dict[str, str]], level: str) -> set[str]:
    return {name for name, check in findings.items() if check["level"] == level}


def branches(versions: lakefs.Repository) -> dict[str, str]:
    listed = versions._client.sdk_client.branches_api.list_branches(versions.id, show_hidden=True, amount=1000)
    return {branch.id: branch.commit_id for branch in listed.results}


def csv_table(dataset: Dataset, text: str = "id,image\n1,a.png\n", **more: Any) -> Path:
    path = dataset.directory / "labels.csv"
    path.write_text(text)
    table = {"name": "labels", "csv": str(path), "key": "id", "image_column": "image", **more}
    dataset.configure(tables=[{key: value for key, value in table.items() if value is not None}])
    return path


@pytest.fixture
def synced(dataset: Dataset) -> Dataset:
    """A dataset that has been published once."""
    (dataset.root / "a.png").write_bytes(b"a")
    assert dataset.command("sync").returncode == 0
    return dataset


def test_where_all_is_well_it_says_so_and_leaves_nothing_behind(synced: Dataset, versions: lakefs.Repository) -> None:
    """P9: neither the staging branch nor the publish branch is touched, and no branch or file stays."""
    csv_table(synced)
    before, files = branches(versions), sorted(synced.root.iterdir())
    findings = found(synced, exit_code=0)
    assert levels(findings, "fail") == set()
    names = {"configuration", "syncd", "host.sqlite", "host.open_files", "folder.readable", "folder.file_system"}
    names |= {"folder.watches", "folder.instances", "folder.events", "state.writable", "state.mode", "state.space"}
    names |= {"state.inodes", "daemon", "lakefs.reachable", "lakefs.clock", "lakefs.credentials", "lakefs.version"}
    names |= {"lakefs.repository", "lakefs.publish_branch", "lakefs.staging_branch", "lakefs.branch_rights"}
    assert names | {"s3.credentials", "table.labels"} <= set(findings)
    assert "was heard of" in findings["folder.events"]["fact"]
    assert "syncd.toml" in findings["lakefs.credentials"]["fact"]
    assert branches(versions) == before
    assert sorted(synced.root.iterdir()) == files
    assert not list(versions.branch("syncd-staging").uncommitted())


def test_before_the_first_start_it_says_what_will_be_made(dataset: Dataset) -> None:
    findings = found(dataset, exit_code=0)
    assert "syncd makes it in local://" in findings["lakefs.repository"]["fact"]
    assert "syncd makes it" in findings["state.writable"]["fact"]
    assert not dataset.state_dir.exists()


def test_a_running_daemon_is_asked_how_it_is(synced: Dataset) -> None:
    daemon = synced.start()
    assert f"process {daemon.pid}" in found(synced, exit_code=0)["daemon"]["fact"]
    synced.root.rename(synced.root.with_name("away"))
    synced.status_until(lambda seen: not seen["sources"][0]["available"], "the folder is missed")
    findings = found(synced, exit_code=1)
    assert levels(findings, "fail") == {"daemon", "folder.readable"}
    assert "source images" in findings["daemon"]["fact"]
    assert "does not exist" in findings["folder.readable"]["fact"]
    synced.root.with_name("away").rename(synced.root)


def test_a_daemon_that_does_not_answer_is_named(synced: Dataset) -> None:
    daemon = synced.start()
    daemon.signal(signal.SIGSTOP)
    try:
        check = found(synced, exit_code=1)["daemon"]
    finally:
        daemon.signal(signal.SIGCONT)
    assert f"process {daemon.pid}" in check["fact"]
    assert "has not answered" in check["fact"]


def test_a_process_that_holds_the_state_directory_without_a_socket_is_named(synced: Dataset) -> None:
    with (synced.state_dir / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        check = found(synced, exit_code=0)["daemon"]
    assert check["level"] == "warn"
    assert "process 4711 holds" in check["fact"]
    assert found(synced, exit_code=0)["daemon"]["level"] == "ok"


def test_a_faulty_configuration_keeps_this_machine_from_nothing(dataset: Dataset) -> None:
    dataset.config.write_text('[source]\nrot = "/x"\n')
    findings = found(dataset, exit_code=78)
    assert levels(findings, "fail") == {"configuration"}
    assert "did you mean source.root?" in dataset.command("doctor").stdout
    assert {"host.sqlite", "syncd", "not_looked_at"} <= set(findings)


def test_a_wrong_key_is_told_by_where_it_comes_from_and_the_rest_is_looked_at(dataset: Dataset, tmp_path: Path) -> None:
    wrong = tmp_path / "lakefs-secret"
    wrong.write_text("wrong-secret-0123456789")
    findings = found(dataset, exit_code=1)
    assert levels(findings, "fail") == {"lakefs.credentials"}
    fact = findings["lakefs.credentials"]["fact"]
    assert str(wrong) in fact
    assert "syncd.toml" in fact
    assert "wrong-secret" not in str(findings)
    assert {"folder.events", "lakefs.clock", "lakefs.not_looked_at"} <= set(findings)


def test_where_nothing_listens_the_exit_code_says_that_lakefs_is_away(dataset: Dataset) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dataset.configure(lakefs={"endpoint": f"http://127.0.0.1:{free.getsockname()[1]}"})
        findings = found(dataset, exit_code=5)
        assert levels(findings, "fail") == {"lakefs.reachable"}
        assert "Nothing answers" in findings["lakefs.reachable"]["fact"]
        assert "not looked at" in findings["lakefs.not_looked_at"]["fact"]
        assert found(dataset, "--online", exit_code=5, command="config check")["lakefs.reachable"]["level"] == "fail"


@contextlib.contextmanager
def silent_server(*, says_it_lives: bool = False) -> Iterator[str]:
    """Accepts every connection and never says a word, or only that it is alive."""
    kept: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if says_it_lives and b"/_health" in connection.recv(4096):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nalive!")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                kept.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    for connection in kept:
        connection.close()


def test_it_ends_in_time_when_lakefs_and_the_database_accept_and_never_answer(dataset: Dataset) -> None:
    with silent_server() as endpoint:
        url = dataset.directory / "url"
        url.touch(mode=0o600)
        url.write_text(endpoint.replace("http", "postgresql") + "/photos")
        table = {"name": "labels", "url_file": str(url), "table": "labels", "key": "id"}
        dataset.configure(lakefs={"endpoint": endpoint, "s3_endpoint": endpoint + "/"}, tables=[table])
        began = time.monotonic()
        done = subprocess.run(
            dataset.arguments("doctor"), env=dataset.environment, capture_output=True, text=True, check=False
        )
        took_s = time.monotonic() - began
    assert took_s < ENDS_WITHIN_S
    assert done.returncode == 1, done.stdout + done.stderr
    assert "fail  lakefs.reachable" in done.stdout
    assert "fail  table.labels" in done.stdout
    assert "ok    folder.events" in done.stdout


def test_a_repository_that_cannot_be_made_is_told_before(dataset: Dataset, repository: str) -> None:
    other = {"repository": f"{repository[:50]}-other"}
    dataset.configure(lakefs={**other, "storage_namespace": ""})
    findings = found(dataset, exit_code=1)
    assert levels(findings, "fail") == {"lakefs.repository"}
    assert "without lakefs.storage_namespace" in findings["lakefs.repository"]["fact"]
    assert findings["s3.credentials"]["level"] == "ok"
    dataset.configure(lakefs={**other, "storage_namespace": "s3://bucket/elsewhere"})
    assert "cannot store it in s3://" in found(dataset, exit_code=1)["lakefs.repository"]["fact"]
    dataset.configure(lakefs={**other, "storage_namespace": f"local://{repository}"})
    check = found(dataset, "--online", exit_code=1, command="config check")["lakefs.repository"]
    assert f"is the repository {repository}'s" in check["fact"]


def protect(versions: lakefs.Repository, *patterns: str) -> None:
    rules = [{"pattern": pattern} for pattern in patterns]
    versions._client.sdk_client.repositories_api.set_branch_protection_rules(versions.id, rules)


def test_protection_of_the_staging_branch_is_found(synced: Dataset, versions: lakefs.Repository) -> None:
    protect(versions, "main", "syncd-st*")
    findings = found(synced, exit_code=1)
    assert levels(findings, "fail") == {"lakefs.staging_branch"}
    assert "'syncd-st*'" in findings["lakefs.staging_branch"]["fact"]
    assert "protected" in findings["lakefs.publish_branch"]["fact"]


def test_a_refused_write_leaves_no_branch_behind(synced: Dataset, versions: lakefs.Repository) -> None:
    """P9, also where the trial fails halfway."""
    protect(versions, "syncd-doctor-*")
    before = branches(versions)
    findings = {}

    def refused() -> bool:  # lakeFS keeps a rule in its cache for some seconds
        findings.update(found_whatever(synced))
        return findings["lakefs.branch_rights"]["level"] == "fail"

    until(refused, "the rule is in force")
    assert "protection rule" in findings["lakefs.branch_rights"]["fact"]
    assert branches(versions) == before


def found_whatever(dataset: Dataset) -> dict[str, dict[str, str]]:
    checks = json.loads(dataset.command("doctor", "--json").stdout)["checks"]
    return {check["name"]: check for check in checks}


def test_what_an_earlier_one_left_behind_is_named(synced: Dataset, versions: lakefs.Repository) -> None:
    versions.branch("syncd-doctor-0123456789abcdef").create("main", hidden=True)
    check = found(synced, exit_code=0)["lakefs.scratch"]
    assert check["level"] == "warn"
    assert check["fix"] == f"lakectl branch delete --yes lakefs://{versions.id}/syncd-doctor-0123456789abcdef"


def test_a_read_only_repository_is_told(dataset: Dataset, versions: lakefs.Repository, storage_namespace: str) -> None:
    creation = {"name": versions.id, "storage_namespace": storage_namespace, "read_only": True}
    versions._client.sdk_client.repositories_api.create_repository(creation)
    findings = found(dataset, exit_code=1)
    assert "is read-only" in findings["lakefs.repository"]["fact"]


@pytest.mark.parametrize("ended", [True, False], ids=["by SIGTERM", "by its time limits"])
def test_a_gateway_that_falls_silent_halfway_leaves_no_branch_behind(
    synced: Dataset, versions: lakefs.Repository, *, ended: bool
) -> None:
    """P9: whatever happens while the branch is there, it is removed."""
    before, began = branches(versions), time.monotonic()
    with silent_server(says_it_lives=True) as gateway:
        synced.configure(lakefs={"s3_endpoint": gateway})
        called = synced.arguments("doctor", "--json")
        doctor = subprocess.Popen(called, env=synced.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        until(lambda: set(branches(versions)) - set(before), "its branch is made")
        if ended:
            doctor.terminate()
        said, _ = doctor.communicate(timeout=ENDS_WITHIN_S)
    assert time.monotonic() - began < ENDS_WITHIN_S
    assert branches(versions) == before
    if not ended:
        levels = {check["name"]: check["level"] for check in json.loads(said)["checks"]}
        assert (levels["s3.reachable"], levels["lakefs.branch_rights"]) == ("fail", "fail")
        assert doctor.returncode == 1


# -- the folder and the state directory as another user ---------------------------------------------------------------


@pytest.fixture
def seen_by_nobody(dataset: Dataset) -> Dataset:
    """A dataset whose folders another user may pass."""
    if os.geteuid() != 0:
        pytest.skip("only root can look as another user")
    for parent in (dataset.directory, *dataset.directory.parents):
        if not parent.stat().st_mode & 0o001 and parent.is_relative_to("/tmp"):  # noqa: S108
            parent.chmod(0o755)
    dataset.state_dir.mkdir(mode=0o700)
    os.chown(dataset.state_dir, NOBODY, NOBODY)
    dataset.root.chmod(0o755)
    (dataset.root / "a.png").write_bytes(b"a")
    return dataset


def as_nobody(dataset: Dataset, *, exit_code: int) -> dict[str, dict[str, str]]:
    return found(dataset, "--user", "nobody", exit_code=exit_code)


def test_as_another_user_all_can_be_well_and_events_need_no_rights(seen_by_nobody: Dataset) -> None:
    findings = as_nobody(seen_by_nobody, exit_code=0)
    assert "looking as nobody" in findings["syncd"]["fact"]
    assert "could not be tried" in findings["folder.events"]["fact"]
    assert findings["lakefs.repository"]["level"] == "ok"
    assert findings["state.writable"]["fact"].startswith("nobody can write")


def test_a_closed_folder_is_told_with_the_line_that_opens_it(seen_by_nobody: Dataset) -> None:
    root = seen_by_nobody.root
    root.chmod(0o700)
    check = as_nobody(seen_by_nobody, exit_code=1)["folder.readable"]
    assert check["fact"] == f"nobody may not list {root}"
    assert check["fix"] == f"sudo setfacl -R -m u:nobody:rX,d:u:nobody:rX {root}"
    root.chmod(0o750)
    os.chown(root, 0, 4)
    check = as_nobody(seen_by_nobody, exit_code=1)["folder.readable"]
    assert check["fix"].startswith("sudo usermod -aG adm nobody, or SupplementaryGroups=adm ")


def test_a_closed_way_to_the_folder_is_told(seen_by_nobody: Dataset) -> None:
    above = seen_by_nobody.directory / "closed"
    above.mkdir()
    seen_by_nobody.root.rename(above / "images")
    seen_by_nobody.configure(source={"root": str(above / "images")})
    above.chmod(0o700)
    check = as_nobody(seen_by_nobody, exit_code=1)["folder.readable"]
    assert check["fact"] == f"nobody may not pass {above}, on the way to {above / 'images'}"
    assert check["fix"] == f"sudo setfacl -m u:nobody:x {above}"


def test_single_files_that_cannot_be_read_are_counted(seen_by_nobody: Dataset) -> None:
    for number in range(3):
        (seen_by_nobody.root / f"{number}.png").touch(mode=0o600)
    closed = seen_by_nobody.root / "closed"
    closed.mkdir(mode=0o700)
    (closed / "unseen.png").touch()
    check = as_nobody(seen_by_nobody, exit_code=0)["folder.readable"]
    assert check["level"] == "warn"
    assert "may not read 4 of" in check["fact"]


def test_a_state_directory_of_someone_else_and_a_closed_table_are_told(seen_by_nobody: Dataset) -> None:
    path = csv_table(seen_by_nobody)
    path.chmod(0o600)
    os.chown(seen_by_nobody.state_dir, 0, 0)
    findings = as_nobody(seen_by_nobody, exit_code=1)
    assert levels(findings, "fail") == {"state.writable", "table.labels"}
    assert findings["state.writable"]["fix"] == f"sudo chown -R nobody {seen_by_nobody.state_dir}"
    assert findings["table.labels"]["fix"] == f"sudo setfacl -m u:nobody:r {path}"
    shutil.rmtree(seen_by_nobody.state_dir)
    check = as_nobody(seen_by_nobody, exit_code=1)["state.writable"]
    assert check["fix"] == f"sudo install -d -m 0700 -o nobody {seen_by_nobody.state_dir}"


def test_nobody_else_can_look_as_another_user(dataset: Dataset) -> None:
    done = dataset.command("doctor", "--user", "no-such-user")
    assert done.returncode == 2
    assert "there is no user 'no-such-user'" in done.stderr


def test_a_state_directory_that_others_may_enter_is_warned_of(synced: Dataset) -> None:
    synced.state_dir.chmod(0o755)
    check = found(synced, exit_code=0)["state.mode"]
    assert (check["level"], check["fix"]) == ("warn", f"chmod 700 {synced.state_dir}")


@pytest.mark.skipif(not SmallDisk.possible(), reason="this user may not mount anything")
def test_a_full_disk_and_one_without_inodes_are_told(dataset: Dataset) -> None:
    dataset.state_dir.mkdir(mode=0o700)
    disk = SmallDisk(dataset.state_dir, "80m", inodes=200)
    dataset.command_prefix = ("nsenter", f"--mount=/proc/{disk.pid}/ns/mnt")
    try:
        findings = found(dataset, exit_code=0)
        assert {"state.space", "state.inodes", "state.mode"} <= levels(findings, "warn")
        disk.use_up_inodes()
        findings = found(dataset, exit_code=1)
        assert levels(findings, "fail") == {"state.inodes", "state.writable"}
        disk.make_room()
        disk.fill()
        findings = found(dataset, exit_code=1)
        assert levels(findings, "fail") == {"state.space", "state.writable"}
        assert "No space left" in findings["state.writable"]["fact"]
    finally:
        disk.close()


@pytest.mark.parametrize(
    ("limit", "value", "name"),
    [("max_inotify_watches", 20, "folder.watches"), ("max_inotify_instances", 0, "folder.instances")],
)
def test_too_few_watches_are_told_with_the_line_that_raises_them(
    dataset: Dataset, limit: str, value: int, name: str
) -> None:
    if subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace can be made here")
    for number in range(60):
        (dataset.root / f"d{number}").mkdir()
    set_limit = f'echo {value} > /proc/sys/user/{limit}; exec "$@"'
    dataset.command_prefix = ("unshare", "-Ur", "sh", "-ec", set_limit, "sh")
    findings = found(dataset, exit_code=0)
    key = limit.replace("inotify", "user")
    assert findings[name]["level"] == "warn"
    assert f"of {value} inotify" in findings[name]["fact"]
    assert findings[name]["fix"].startswith(f"echo fs.inotify.{key}=")
    if not value:
        assert findings["folder.events"]["level"] == "warn"
        assert "sysctl fs.inotify.max_user_instances" in findings["folder.events"]["fix"]


# -- tables ----------------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_csv_file_is_told(dataset: Dataset) -> None:
    path = csv_table(dataset, "id,image\n1,a.png\n1,b.png\n")
    findings = found(dataset, exit_code=1)
    assert levels(findings, "fail") == {"table.labels"}
    assert "have the same value in the key column" in findings["table.labels"]["fact"]
    path.write_text("number,image\n1,a.png\n")
    assert 'the column "id" is not in the header' in found(dataset, exit_code=1)["table.labels"]["fact"]
    with path.open("a"):
        check = found(dataset, exit_code=0)["table.labels"]
        assert check["level"] == "warn"
        assert "open for writing" in check["fact"]
    path.unlink()
    check = found(dataset, "--online", exit_code=1, command="config check")["table.labels"]
    assert "No such file" in check["fact"]


def test_what_is_wrong_with_a_table_of_sqlite_is_told(dataset: Dataset) -> None:
    path = dataset.directory / "labels.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE labels (number INTEGER PRIMARY KEY, image TEXT)")
        database.commit()
    table = {"name": "labels", "url": f"sqlite:///{path}", "table": "labels", "key": "number"}
    dataset.configure(tables=[table])
    assert "as of one moment" in found(dataset, exit_code=0)["table.labels"]["fact"]
    dataset.configure(tables=[{**table, "image_column": "picture"}])
    assert "no column 'picture'" in found(dataset, exit_code=1)["table.labels"]["fact"]
    dataset.configure(tables=[{**table, "key": "id"}])
    assert 'no column "id"' in found(dataset, exit_code=1)["table.labels"]["fact"]
    dataset.configure(tables=[{**table, "table": "lables"}])
    check = found(dataset, exit_code=1)["table.labels"]
    assert 'did you mean "labels"?' in check["fix"]


def url_file(dataset: Dataset, url: str) -> str:
    path = dataset.directory / "labels-url"
    path.touch(mode=0o600)
    path.write_text(url)
    return str(path)


def test_what_is_wrong_with_a_database_is_told_without_its_password(
    dataset: Dataset,
    postgres: PostgresServer,  # noqa: F811 - the fixture
) -> None:
    postgres.execute("CREATE TABLE doctor_labels (id integer PRIMARY KEY)")
    table = {"name": "labels", "table": "doctor_labels", "key": "id", "url_file": url_file(dataset, postgres.url)}
    dataset.configure(tables=[table])
    assert found(dataset, exit_code=0)["table.labels"]["level"] == "ok"
    url_file(dataset, postgres.url.replace(PASSWORD_IN_URL, "wrong-pass-4711"))
    check = found(dataset, exit_code=1)["table.labels"]
    assert "postgresql://127.0.0.1" in check["fact"]
    assert "wrong-pass" not in str(check)


def test_an_engine_that_reads_no_single_moment_is_warned_of(
    dataset: Dataset,
    mariadb: MariadbServer,  # noqa: F811 - the fixture
) -> None:
    mariadb.execute("CREATE TABLE doctor_labels (id INTEGER PRIMARY KEY) ENGINE=MyISAM")
    table = {"name": "labels", "table": "doctor_labels", "key": "id", "url_file": url_file(dataset, mariadb.url)}
    dataset.configure(tables=[table])
    check = found(dataset, exit_code=0)["table.labels"]
    assert (check["level"], check["fix"]) == ("warn", "ALTER TABLE doctor_labels ENGINE=InnoDB;")
    mariadb.execute(check["fix"].rstrip(";"))
    assert found(dataset, exit_code=0)["table.labels"]["level"] == "ok"


# -- the embedded server, and --online ---------------------------------------------------------------------------------


def test_the_embedded_server_is_asked_where_it_runs_and_its_binary_is_looked_for(
    dataset: Dataset, lakefs_binary: Path
) -> None:
    dataset.sections["lakefs"] = {}
    dataset.more_environment["SYNCD_LAKEFS_BINARY"] = str(lakefs_binary)
    dataset.configure()
    findings = found(dataset, exit_code=0)
    assert "does not run now" in findings["lakefs.reachable"]["fact"]
    assert findings["lakefs.binary"]["level"] == "ok"
    daemon = dataset.start()
    until(lambda: dataset.command("health").returncode == 0, "the daemon has connected")
    findings = found(dataset, exit_code=0)
    assert findings["lakefs.branch_rights"]["level"] == "ok"
    daemon.stop()
    dataset.more_environment["SYNCD_LAKEFS_BINARY"] = "/bin/false"
    assert levels(found(dataset, exit_code=1), "fail") == {"lakefs.binary"}
    nowhere = {"SYNCD_LAKEFS_BINARY": "", "PATH": "/nowhere", "XDG_CACHE_HOME": str(dataset.directory)}
    dataset.more_environment.update(nowhere)
    check = found(dataset, exit_code=0)["lakefs.binary"]
    assert check["level"] == "warn"
    first, unit = check["fix"].split("; ")
    assert (first, "/usr/local/bin/lakefs" in unit) == ("syncd lakefs path", True)


def test_config_check_online_says_the_same_and_writes_nothing(synced: Dataset, versions: lakefs.Repository) -> None:
    csv_table(synced)
    before = branches(versions)
    online = found(synced, "--online", exit_code=0, command="config check")
    assert branches(versions) == before
    doctors = found(synced, exit_code=0)
    assert {"lakefs.credentials", "lakefs.repository", "s3.credentials", "table.labels"} <= set(online)
    same = set(online) - {"lakefs.reachable", "lakefs.clock"}  # those tell times
    assert all(online[name] == doctors[name] for name in same)
    assert "lakefs.branch_rights" not in online
    told = synced.command("config check", "--online").stdout
    assert told.startswith(f"{synced.config}: ok\n")
    assert "ok    lakefs.repository" in told
    offline = synced.json_of("config check")
    assert "online" not in offline
