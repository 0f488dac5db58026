"""Where a run of the bench works: one lakeFS server, the files to bring into it, and what comes beside them."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import corpus as files
import lakefs
import measure
from lakefs.client import Client

from syncd.embedded.binary import find_or_build
from syncd.embedded.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from corpus import Corpus
    from measure import Finished

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench"
AT_REST_S = 3.0  # longer than settle_seconds: waiting for files to settle is not what is measured
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server and folders; all of it but ``corpus`` is removed in the end."""

    server: ServerProcess
    directory: Path
    corpus: Path  # nobody writes to it
    work_copy: Path  # hard links to the same files, for peers that keep files of their own beside them

    def client(self) -> Client:
        """Return a client that is not syncd's own, for set-up and checks."""
        server = self.server
        return Client(host=server.endpoint, username=server.access_key_id, password=server.secret_access_key)

    def fresh(self, name: str) -> Path:
        """Return a new, empty folder whose name is a good one for a repository, too."""
        folder = self.directory / f"{name}-{next(_numbers)}"
        folder.mkdir()
        return folder

    def repository(self, name: str) -> lakefs.Repository:
        """Create an empty repository, with nothing of syncd's."""
        return lakefs.Repository(name, client=self.client()).create(f"local://{name}", default_branch="main")

    def wait_until_at_rest(self) -> None:
        """Wait until the files have settled; a new hard link to them, as some peers get, touches them."""
        time.sleep(max(0.0, files.last_touched(self.corpus) + AT_REST_S - time.time()))

    def environment(self, home: Path) -> dict[str, str]:
        """Return the keys as each of the peers expects them, a home of its own, and nothing of the person's."""
        server = self.server
        return {
            "HOME": str(home),
            "PATH": os.environ.get("PATH", ""),
            "LAKECTL_SERVER_ENDPOINT_URL": server.endpoint,
            "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": server.access_key_id,
            "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": server.secret_access_key,
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
            "AWS_REGION": "us-east-1",
            "S3_ENDPOINT_URL": server.endpoint,
            "RCLONE_CONFIG_HERE_TYPE": "s3",
            "RCLONE_CONFIG_HERE_PROVIDER": "Other",
            "RCLONE_CONFIG_HERE_ENDPOINT": server.endpoint,
            "RCLONE_CONFIG_HERE_ENV_AUTH": "true",
            "DVC_NO_ANALYTICS": "1",
            "XDG_CACHE_HOME": str(home / "cache"),
        }

    def measured(self, command: Sequence[str | Path], home: Path, *, within: Path | None = None) -> Finished:
        """Run a command to its end, and return what it and the server did and took.

        Raises:
            CommandFailedError: It failed.
        """
        os.sync()  # what the last one wrote is not this one's burden
        words = [str(word) for word in command]
        how = {"environment": self.environment(home), "directory": home, "within": within}
        return measure.with_server(self.server, lambda: measure.run(words, **how))


@contextmanager
def place_for(corpus: Corpus) -> Iterator[Place]:
    """Start a server in a folder of its own, beside the files, and remove it in the end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = files.cached(corpus, CACHE)
    binary = find_or_build("lakefs")
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))  # hard links need one file system
    server = ServerProcess(directory / "server", binary=binary)
    try:
        work_copy = files.linked(folder, directory / "work-copy")
        server.start()
        place = Place(server=server, directory=directory, corpus=folder, work_copy=work_copy)
        place.wait_until_at_rest()
        yield place
    finally:
        server.stop()
        shutil.rmtree(directory)


def configure(place: Place, state: Path, *, root: Path, more: str = "") -> Path:
    """Write a configuration that differs from the default only in places and keys, and in ``more``; return its path."""
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
    return config_of(state)


def config_of(state: Path) -> Path:
    """Return where a state's configuration is."""
    return state / "syncd.toml"


def check(place: Place, repository: str, reference: str, *, count: int, size_bytes: int, prefix: str = "") -> None:
    """Make sure, with a client that is not syncd's, that all files are in a reference.

    Raises:
        AssertionError: They are not.
    """
    found = lakefs.Repository(repository, client=place.client()).ref(reference).objects(prefix=prefix)
    sizes = [one.size_bytes or 0 for one in found if isinstance(one, lakefs.ObjectInfo)]
    if (len(sizes), sum(sizes)) != (count, size_bytes):
        raise AssertionError(f"{repository}/{reference} holds {len(sizes)} objects of {sum(sizes)} bytes")


def discard(place: Place, repository: str) -> None:
    """Forget what a run uploaded and kept, so that the disk does not fill up."""
    lakefs.Repository(repository, client=place.client()).delete()
    for folder in (place.directory / repository, place.directory / "server" / "lakefs" / "block" / repository):
        if folder.exists():  # Oxen's repository holds nothing
            shutil.rmtree(folder)
