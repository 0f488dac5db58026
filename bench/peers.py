"""Those that are measured, each doing the same work: a folder of images, from nothing to a commit."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import lakefs
import measure
from lakefs.client import Client

if TYPE_CHECKING:
    from measure import Cost, Finished

    from syncd.embedded.process import ServerProcess

_REF_FILE = ".lakefs_ref.yaml"  # lakectl's index; syncd leaves such a file alone
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run of the bench works; all of it is removed in the end."""

    server: ServerProcess
    directory: Path
    lakectl: Path
    corpus: Path  # read by syncd
    corpus_for_lakectl: Path  # the same files, in a folder that lakectl may write to

    def client(self) -> Client:
        """Return a client that is not syncd's own, for set-up and checks."""
        server = self.server
        return Client(host=server.endpoint, username=server.access_key_id, password=server.secret_access_key)

    def fresh(self, name: str) -> Path:
        """Return a new, empty folder whose name is a good one for a repository, too."""
        folder = self.directory / f"{name}-{next(_numbers)}"
        folder.mkdir()
        return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a peer made, and what each of its steps cost."""

    steps: dict[str, Cost]
    repository: str
    reference: str  # of the commit or tag

    @property
    def cost(self) -> Cost:
        """All steps together."""
        first, *others = self.steps.values()
        return sum(others, start=first)


class Peer(Protocol):
    """A way to bring a folder into lakeFS."""

    @property
    def name(self) -> str:
        """Return what it is called in the results."""

    def sync(self, place: Place) -> Outcome:
        """Bring the folder into a new repository."""


@dataclass(slots=True)
class Syncd:
    """``syncd sync`` with the default configuration; it makes repository, branches, commit, merge and tag."""

    name: str = "syncd sync"
    state: Path | None = None  # of the newest run

    def sync(self, place: Place) -> Outcome:
        self.state = place.fresh("syncd")
        configure(place, self.state, root=place.corpus)
        return self._run(place, self.state, "nothing → tag")

    def again(self, place: Place) -> Outcome:
        """Sync once more, with nothing changed."""
        if self.state is None:
            raise ValueError("there was no first time")
        return self._run(place, self.state, "nothing changed")

    def _run(self, place: Place, state: Path, step: str) -> Outcome:
        command = [str(Path(sys.executable).with_name("syncd")), "sync", "--json", "--config", str(config_of(state))]
        done = measured(place, command, state, dict(os.environ))
        return Outcome(steps={step: done.cost}, repository=state.name, reference=json.loads(done.stdout)["tag"])


@dataclass(slots=True)
class SyncdInside:
    """The same, with the moments at which its phases began and ended."""

    name: str = "syncd, looked into"
    phases: dict[str, float] = field(default_factory=dict)  # seconds, of the newest run

    def sync(self, place: Place) -> Outcome:
        state = place.fresh("inside")
        configure(place, state, root=place.corpus)
        command = [sys.executable, str(Path(__file__).with_name("inside_sync.py")), str(config_of(state))]
        done = measured(place, command, state, dict(os.environ))
        said = json.loads(done.stdout)
        self.phases = _phases(said, done.cost.seconds, state / "state" / "journal.db")
        return Outcome(steps={self.name: done.cost}, repository=state.name, reference=said["answer"]["tag"])


@dataclass(slots=True)
class Lakectl:
    """``lakectl local init`` and ``lakectl local commit`` in a repository that is there already; no tag."""

    parallelism: int | None = None

    @property
    def name(self) -> str:
        """Return it with its parallelism, unless that is the default."""
        return "lakectl local" + (f" -p {self.parallelism}" if self.parallelism else "")

    def sync(self, place: Place) -> Outcome:
        state = place.fresh("lakectl")
        repository = lakefs.Repository(state.name, client=place.client())
        repository.create(f"local://{state.name}", default_branch="main")
        folder = str(place.corpus_for_lakectl)
        (place.corpus_for_lakectl / _REF_FILE).unlink(missing_ok=True)
        uri = f"lakefs://{state.name}/main/images/"
        parallelism = ["-p", str(self.parallelism)] if self.parallelism else []
        commands = {
            "init": ["local", "init", uri, folder, "--gitignore=false"],
            "commit": ["local", "commit", folder, "-m", "bench", "--yes", "--no-progress", *parallelism],
        }
        environment = lakectl_environment(place, state)
        steps = {
            step: measured(place, [str(place.lakectl), *arguments], state, environment).cost
            for step, arguments in commands.items()
        }
        return Outcome(steps=steps, repository=state.name, reference="main")


def configure(place: Place, state: Path, *, root: Path, more: str = "") -> None:
    """Write a configuration that differs from the default only in places and keys, and in ``more``."""
    secret = state / "secret"
    secret.touch(mode=0o600)
    secret.write_text(place.server.secret_access_key)
    config_of(state).write_text(f"""\
[lakefs]
endpoint = "{place.server.endpoint}"
access_key_id = "{place.server.access_key_id}"
secret_access_key_file = "{secret}"
repository = "{state.name}"
storage_namespace = "local://{state.name}"

[service]
state_dir = "{state / "state"}"
listen = ""

[source]
root = "{root}"
{more}
""")


def config_of(state: Path) -> Path:
    """Return where a state's configuration is."""
    return state / "syncd.toml"


def check(place: Place, outcome: Outcome, *, files: int, size_bytes: int) -> None:
    """Make sure, with a client that is not syncd's, that all images are in the commit.

    Raises:
        AssertionError: They are not.
    """
    reference = lakefs.Repository(outcome.repository, client=place.client()).ref(outcome.reference)
    sizes = [
        found.size_bytes or 0 for found in reference.objects(prefix="images/") if isinstance(found, lakefs.ObjectInfo)
    ]
    if (len(sizes), sum(sizes)) != (files, size_bytes):
        raise AssertionError(f"{outcome.repository} holds {len(sizes)} images of {sum(sizes)} bytes")


def discard(place: Place, outcome: Outcome) -> None:
    """Forget what a run uploaded, so that the disk does not fill up."""
    lakefs.Repository(outcome.repository, client=place.client()).delete()
    for folder in place.directory.rglob(outcome.repository):
        shutil.rmtree(folder)


def measured(place: Place, command: list[str], state: Path, environment: dict[str, str]) -> Finished:
    os.sync()  # what the last one wrote is not this one's burden
    return measure.with_server(place.server, lambda: measure.run(command, environment=environment, directory=state))


def lakectl_environment(place: Place, state: Path) -> dict[str, str]:
    server = place.server
    return {
        "HOME": str(state),
        "PATH": os.environ.get("PATH", ""),
        "LAKECTL_SERVER_ENDPOINT_URL": server.endpoint,
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": server.access_key_id,
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": server.secret_access_key,
    }


def _phases(said: dict[str, float], seconds: float, journal: Path) -> dict[str, float]:
    """Return how long each phase took; reading and uploading overlap, the others follow one another."""
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        (recorded,) = connection.execute("SELECT max(seen_at) FROM entry").fetchone()
        first_put, last_put = connection.execute("SELECT min(begun_at), max(ended_at) FROM batch").fetchone()
        (publishing,) = connection.execute("SELECT max(begun_at) FROM snapshot").fetchone()
    inside = said["ended"] - said["imported"]
    return {
        "interpreter and imports": seconds - inside,
        "inside, all": inside,
        "open journal and client, list, fingerprint": recorded - said["imported"],
        "upload (overlaps with fingerprinting)": last_put - first_put,
        "commit, merge, tag, close": said["ended"] - publishing,
    }
