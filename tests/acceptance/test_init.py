"""``syncd init`` on real servers: by flags, by answers, on a new lakeFS and on one in use, again, and after a kill."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lakefs
import pytest
from lakefs.client import Client

from syncd.embedded import ports
from syncd.embedded.binary import find_or_build
from syncd.setup.write import key_id_of
from tests.support import warm
from tests.support.daemon import SYNCD, until
from tests.support.fault_proxy import Fault, FaultProxy, Request, Rule
from tests.support.terminal import Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncd.embedded.process import ServerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

SECRET_NAME = "lakefs_secret_access_key"  # beside syncd.toml


class Place:
    """A folder with images and a table, and ``syncd`` called in it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.images = directory, directory / "images"
        self.config, self.secret_file = directory / "syncd.toml", directory / SECRET_NAME
        self.csv = directory / "labels.csv"
        (self.images / "deep").mkdir(parents=True)
        for name in ("a.jpg", "b.png", "deep/c.jpg", "notes.txt"):
            (self.images / name).write_bytes(name.encode())
        self.csv.write_text("id,image,label\n1,a.jpg,cat\n2,b.png,dog\n3,deep/c.jpg,cat\n")
        self.flags = {"root": "images", "csv": "labels.csv", "key": "id", "image-column": "image"}

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SYNCD_", "LAKECTL_", "AWS_"))
        }
        binary = find_or_build("lakefs")  # there by now, so that this home need not build one
        return {
            **kept,
            "SYNCD_LAKEFS_BINARY": str(binary),
            "HOME": str(self.directory / "home"),
            "COLUMNS": "200",
            "SYNCD_SERVICE__STATE_DIR": str(self.directory / "state"),
        }

    def arguments(self, **changed: str | None) -> list[str]:
        flags = self.flags | {name.replace("_", "-"): value for name, value in changed.items()}
        return ["init", *(f"--{name}={value}" for name, value in flags.items() if value is not None)]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        return warm.run(arguments, env=self.environment, cwd=self.directory, timeout_s=90)

    def init(self, **changed: str | None) -> tuple[int, str, str]:
        return self.run(*self.arguments(**changed))

    def on(self, server: ServerProcess, repository: str) -> None:
        """Use a server that is set up, with its secret in a file."""
        given = self.directory / "given-secret"
        given.touch(mode=0o600)
        given.write_text(server.secret_access_key + "\n")
        self.flags |= {
            "endpoint": server.endpoint,
            "access-key-id": server.access_key_id,
            "secret-access-key-file": str(given),
            "repository": repository,
            "storage-namespace": f"local://{repository}",
        }

    def written(self) -> set[str]:
        """Return what there is besides what there was."""
        known = {"images", "labels.csv", "home", "state", "given-secret", "wrong-secret"}
        return {path.name for path in self.directory.iterdir()} - known

    def takes_snapshot(self) -> dict[str, Any]:
        code, out, err = self.run("sync", "--json")
        assert code == 0, err
        return dict(json.loads(out))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


def client_of(server: ServerProcess) -> Any:
    connect: Any = Client  # carries no types
    return connect(host=server.endpoint, username=server.access_key_id, password=server.secret_access_key)


class NewServer:
    """A lakeFS that nobody has set up."""

    def __init__(self, binary: Path, directory: Path) -> None:
        directory.mkdir()
        config = directory / "config.yaml"
        config.touch()
        address = f"127.0.0.1:{ports.choose('127.0.0.1', preferred=None)}"
        self.endpoint = f"http://{address}"
        settings = {
            "LISTEN_ADDRESS": address,
            "DATABASE_TYPE": "local",
            "DATABASE_LOCAL_PATH": str(directory / "meta"),
            "BLOCKSTORE_TYPE": "local",
            "BLOCKSTORE_LOCAL_PATH": str(directory / "block"),
            "COMMITTED_LOCAL_CACHE_DIR": str(directory / "cache"),
            "AUTH_ENCRYPT_SECRET_KEY": "of this test",
            "STATS_ENABLED": "false",
            "SECURITY_CHECK_LATEST_VERSION": "false",
            "EMAIL_SUBSCRIPTION_ENABLED": "false",
        }
        self.log_path = directory / "log"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [str(binary), "run", "--config", str(config)],
                env={"PATH": os.environ["PATH"], "HOME": str(directory)}
                | {f"LAKEFS_{name}": value for name, value in settings.items()},
                stdout=log,
                stderr=log,
            )
        port = int(address.rpartition(":")[2])
        until(lambda: not ports.is_free("127.0.0.1", port), "the new lakeFS listens")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def new_server(lakefs_binary: Path, tmp_path: Path) -> Iterator[NewServer]:
    server = NewServer(lakefs_binary, tmp_path / "new-lakefs")
    yield server
    server.stop()


def before(place: Place, *arguments: str) -> Person:
    """Somebody on a terminal, who has called it."""
    return Person([SYNCD, *arguments], place.environment, place.directory)


def test_what_is_written_makes_a_snapshot(place: Place, lakefs_server: ServerProcess, repository_name: str) -> None:
    place.on(lakefs_server, repository_name)
    code, out, err = place.init()
    assert code == 0, err
    for said in ("3 images", "answers", "lakeFS 1.", "one admin and no other users", "created", "3 rows", "protected"):
        assert said in out
    for command in ("syncd config check", "syncd sync", "sudo systemctl enable --now syncd"):
        assert command in out
    written = tomllib.loads(place.config.read_text())
    assert written["tables"] == [{"name": "labels", "csv": str(place.csv), "key": "id", "image_column": "image"}]
    assert "#settle_seconds = 2.0" in place.config.read_text()
    assert place.run("config", "check")[0] == 0

    snapshot = place.takes_snapshot()
    client = client_of(lakefs_server)
    objects = lakefs.Repository(repository_name, client=client).ref(snapshot["tag"]).objects()
    assert {"images/a.jpg", "images/b.png", "images/deep/c.jpg", "tables/labels.csv"} <= {one.path for one in objects}
    rules = client.sdk_client.repositories_api.get_branch_protection_rules(repository_name)
    assert [rule.pattern for rule in rules] == ["main"]
    assert lakefs_server.secret_access_key not in out + err + place.config.read_text()
    assert place.written() == {"syncd.toml"}, "the given secret stays where it is"


def test_a_second_run_changes_nothing(place: Place, lakefs_server: ServerProcess, repository_name: str) -> None:
    place.on(lakefs_server, repository_name)
    assert place.init()[0] == 0
    place.takes_snapshot()
    before = (place.config.read_bytes(), place.config.stat())
    code, out, _ = place.init()
    assert code == 0
    assert "nothing was changed" in out
    assert "protected already" in out
    assert (place.config.read_bytes(), place.config.stat()) == before
    assert place.written() == {"syncd.toml"}


def test_another_configuration_is_not_overwritten(
    place: Place, lakefs_server: ServerProcess, repository_name: str
) -> None:
    place.on(lakefs_server, repository_name)
    place.config.write_text(text := '[source]\nroot = "/srv/other"\n')
    code, _, err = place.init()
    assert code == 1
    assert 'source.root = "/srv/other"' in err
    assert "mv " in err
    assert place.config.read_text() == text
    client = client_of(lakefs_server)
    names = {one.properties.id for one in lakefs.repositories(client=client)}
    assert repository_name not in names, "it was found out before anything was done"


def test_a_new_server_is_set_up_by_answering(place: Place, new_server: NewServer) -> None:
    person = before(place, "init")
    person.answers("Folder that holds the images", "nowhere")
    person.answers("Folder that holds the images", "images")  # asked again
    person.answers("Address of the lakeFS server", new_server.endpoint)
    person.answers("CSV file", "labels.csv")
    person.answers("Column whose value names a row", "no-such-column")
    person.answers("Column with each row's image", "image")
    person.answers("Column whose value names a row", "id")
    person.answers("Column with each row's image", "image")
    person.answers("Repository in lakeFS", "photos")
    person.answers("Where lakeFS is to store", "s3://bucket/photos")  # of another storage than the server's
    person.answers("Where lakeFS is to store", "")  # the server's own example is offered
    assert person.ends() == 0, person.seen
    assert "nobody has set it up yet" in person.seen
    secret = place.secret_file.read_text().strip()
    assert stat.S_IMODE(place.secret_file.stat().st_mode) == 0o600
    lakefs_section = tomllib.loads(place.config.read_text())["lakefs"]
    assert lakefs_section == {
        "endpoint": new_server.endpoint,
        "access_key_id": key_id_of(secret),
        "secret_access_key_file": str(place.secret_file),
        "repository": "photos",
        "storage_namespace": "local://photos",
        "publish_branch": "main",
    }
    assert place.takes_snapshot()["images"] == 3
    assert secret not in person.seen + place.config.read_text() + new_server.log_path.read_text()
    assert place.written() == {"syncd.toml", SECRET_NAME}


def test_a_typed_secret_is_not_shown_and_may_be_typed_again(
    place: Place, lakefs_server: ServerProcess, repository_name: str
) -> None:
    place.on(lakefs_server, repository_name)
    secret = lakefs_server.secret_access_key
    person = before(place, *place.arguments(secret_access_key_file=None, access_key_id=None, storage_namespace=None))
    person.answers("Access key id", lakefs_server.access_key_id)
    person.answers("Secret access key", "not-the-right-one")
    person.answers("Access key id", lakefs_server.access_key_id)
    person.answers("Secret access key", secret)
    person.answers("Where lakeFS is to store", f"local://{repository_name}")
    assert secret.encode() not in Path(f"/proc/{person.process.pid}/cmdline").read_bytes()
    assert person.ends() == 0, person.seen
    assert "does not accept the access key id and secret" in person.seen
    assert secret not in person.seen + place.config.read_text()
    assert "not-the-right-one" not in person.seen
    assert place.secret_file.read_text() == secret + "\n"
    assert stat.S_IMODE(place.secret_file.stat().st_mode) == 0o600
    assert place.takes_snapshot()["images"] == 3


def test_embedded_asks_for_the_folder_only(place: Place) -> None:
    person = before(place, "init", "--endpoint", "embedded")
    person.answers("Folder that holds the images", "images")
    assert person.ends() == 0, person.seen
    assert person.seen.count("images [") == 0
    written = tomllib.loads(place.config.read_text())
    assert written["source"] == {"root": str(place.images)}
    assert written["lakefs"] == {"endpoint": "embedded"}
    assert place.takes_snapshot()["images"] == 3


def test_all_that_is_missing_is_named_at_once(
    place: Place, new_server: NewServer, lakefs_server: ServerProcess
) -> None:
    code, out, err = place.run("init")
    assert (code, out) == (2, "")
    assert "--root, --endpoint" in err
    code, _, err = place.run("init", "--endpoint", lakefs_server.endpoint, "--csv", "labels.csv")
    assert code == 2
    assert "--root, --key, --repository, --access-key-id, --secret-access-key-file" in err
    code, _, err = place.run("init", "--endpoint", new_server.endpoint)
    assert code == 2
    assert "Not given: --root, --repository. " in err, "a new server needs no key"
    assert place.written() == set()


def test_each_wrong_answer_is_told_and_nothing_is_written(
    place: Place, lakefs_server: ServerProcess, repository: str
) -> None:
    new = f"{repository[:50]}-2"
    place.on(lakefs_server, new)
    wrong_secret = place.directory / "wrong-secret"
    wrong_secret.touch(mode=0o600)
    wrong_secret.write_text("wrong\n")
    cases: list[tuple[dict[str, str | None], int, str]] = [
        ({"secret_access_key_file": str(wrong_secret)}, 3, "does not accept the access key id and secret"),
        ({"endpoint": f"http://127.0.0.1:{ports.choose('127.0.0.1', preferred=None)}"}, 5, "Nothing answers at"),
        ({"storage_namespace": f"local://{repository}"}, 1, f"is the repository {repository}'s"),
        ({"storage_namespace": "s3://bucket/x"}, 1, "cannot store it in s3://bucket/x"),
        ({"storage_namespace": None}, 2, "--storage-namespace"),
        ({"repository": repository, "storage_namespace": "local://else"}, 1, f"stored in local://{repository}"),
        ({"key": "number"}, 1, '"number" is not in the header'),
        ({"image_column": "picture"}, 1, '"picture" is not in the header'),
        ({"csv": "none.csv"}, 1, "none.csv cannot be read"),
        ({"root": "nowhere"}, 4, "nowhere"),
        ({"endpoint": "ftp://host"}, 2, "must be like"),
        ({"repository": "Bad_Name"}, 2, "3 to 63 lower-case letters"),
        ({"secret_access_key_file": str(place.directory / "none")}, 1, "does not exist"),
    ]
    for changed, exit_code, words in cases:
        code, out, err = place.init(**changed)
        assert code == exit_code, (changed, out, err)
        assert words in err, changed
        assert "Traceback" not in err
        assert place.written() == set(), changed
    assert place.init()[0] == 0, "only what was wrong was in the way"


def test_a_branch_with_commits_is_left_as_it_is(
    place: Place, lakefs_server: ServerProcess, repository: str, create_commit: Callable[[str], None]
) -> None:
    create_commit(repository)
    place.on(lakefs_server, repository)
    code, out, err = place.init()
    assert code == 0, err
    assert f"lakectl branch-protect add lakefs://{repository} main" in out
    assert place.takes_snapshot()["images"] == 3


@pytest.fixture
def create_commit(lakefs_server: ServerProcess) -> Callable[[str], None]:
    def commit(repository: str) -> None:
        client = client_of(lakefs_server)
        branch = lakefs.Repository(repository, client=client).branch("main")
        branch.object("others.txt").upload("of somebody else")
        branch.commit("somebody was here")

    return commit


def _is(method: str, ending: str) -> Callable[[Request], bool]:
    return lambda request: request.method == method and request.target.partition("?")[0].endswith(ending)


STEPS = {
    "setting up": _is("POST", "/setup_lakefs"),
    "looking at the key": _is("GET", "/config"),
    "creating": _is("POST", "/repositories"),
    "protecting": _is("PUT", "/settings/branch_protection"),
}


def test_killed_between_any_two_steps_the_next_run_completes(place: Place, new_server: NewServer) -> None:
    with FaultProxy(new_server.endpoint, random.Random(7)) as proxy:
        place.flags |= {"endpoint": proxy.endpoint, "repository": "photos", "storage-namespace": "local://photos"}
        for name, step in STEPS.items():
            rule = Rule([Fault("stall")], where=step)
            proxy.misbehave(rule)
            with (place.directory.parent / f"{name}.log").open("wb") as log:
                running = warm.start(
                    place.arguments(),
                    env=place.environment,
                    cwd=place.directory,
                    stdout=log.fileno(),
                    stderr=log.fileno(),
                )
                until(lambda: rule.used, f"the request for {name}")  # noqa: B023  # called here
                running.kill()
                running.wait(30)
            assert not place.config.exists()
            if name in ("setting up", "creating"):  # the server has done it, and nobody was told
                lost = Rule([Fault("drop")], where=step, times=1)
                proxy.misbehave(lost)
                code, _, err = place.init()
                assert (code, lost.used) == (5, 1), err
                assert not place.config.exists()
        (place.directory / f".{SECRET_NAME}.init-killed").write_text("half a sec")
        proxy.misbehave()
        code, out, err = place.init()
        assert code == 0, err
        assert "protected from now on" in out
        assert place.written() == {"syncd.toml", SECRET_NAME}
        assert place.takes_snapshot()["images"] == 3
        assert "nothing was changed" in place.init()[1]
        logs = "".join(log.read_text() for log in place.directory.parent.glob("*.log"))
    assert place.secret_file.read_text().strip() not in logs + out + err + place.config.read_text()


def test_a_namespace_that_a_deleted_repository_left_is_refused_by_lakefs(
    place: Place, lakefs_server: ServerProcess, repository: str
) -> None:
    lakefs.Repository(repository, client=client_of(lakefs_server)).delete()
    place.on(lakefs_server, repository)
    code, _, err = place.init()
    assert code == 3
    assert "deleting one leaves its objects" in err
    assert place.written() == set()
    assert place.init(storage_namespace=f"local://{repository}/anew")[0] == 0


def test_a_refused_protection_is_told_and_stops_nothing(
    place: Place, lakefs_server: ServerProcess, repository_name: str
) -> None:
    place.on(lakefs_server, repository_name)
    with FaultProxy(lakefs_server.endpoint, random.Random(7)) as proxy:
        proxy.misbehave(refusal := Rule([Fault("refuse", status=403)], where=STEPS["protecting"]))
        code, out, err = place.init(endpoint=proxy.endpoint)
        assert (code, refusal.used) == (0, 1), err
        assert "main: left without protection" in out
        assert place.config.exists()
        proxy.misbehave()
        assert "protected from now on" in place.init(endpoint=proxy.endpoint)[1]


def test_no_flag_takes_the_secret(place: Place) -> None:
    code, _, err = place.run("init", "--secret-access-key", "given-in-the-open")
    assert code == 2
    assert "No such option" in err


if sys.platform != "linux":
    pytestmark.append(pytest.mark.skip("pseudo-terminals and /proc as Linux has them"))
