"""Shared fixtures: a real lakeFS server, names for repositories on it, and a client that is not ours."""

from __future__ import annotations

import re
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import boto3
import lakefs
import pytest
from botocore.config import Config
from lakefs.client import Client

from syncd.embedded.binary import find_or_build
from syncd.embedded.process import ServerProcess
from tests.support.daemon import DATASETS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

SHOWN_LOG_CHARACTERS = 12_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the daemons had said by then."""
    report = yield
    if report.failed:
        daemons = [daemon for dataset in item.stash.get(DATASETS, []) for daemon in dataset.daemons]
        report.sections += [(str(daemon.log_path), daemon.log()[-SHOWN_LOG_CHARACTERS:]) for daemon in daemons]
    return report


@pytest.fixture(scope="session")
def lakefs_binary() -> Path:
    """The lakeFS server's binary: found, or built once."""
    return find_or_build("lakefs")


@pytest.fixture(scope="session")
def lakefs_server(lakefs_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A running server for all tests of this worker: ``endpoint``, ``access_key_id``, ``secret_access_key``.

    Do not stop it, and work only in repositories of your own; for outages there is ``own_lakefs_server``.
    """
    server = ServerProcess(tmp_path_factory.mktemp("lakefs"), binary=lakefs_binary)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_lakefs_server(lakefs_binary: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A running server for this test alone: ``stop()`` and ``start()`` make an outage, address and data stay."""
    server = ServerProcess(tmp_path / "own-lakefs", binary=lakefs_binary)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def repository_name(request: pytest.FixtureRequest) -> str:
    """A valid repository name that nobody else uses, and that tells in the log whose it is; not created."""
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{readable[:40].strip('-')}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def storage_namespace(repository_name: str) -> str:
    """The storage namespace that goes with ``repository_name``."""
    return f"local://{repository_name}"


@pytest.fixture
def create_repository(storage_namespace: str, repository_name: str) -> Callable[[ServerProcess], str]:
    """Create ``repository_name`` with an empty branch ``main`` on the given server; returns the name."""

    def create(server: ServerProcess) -> str:
        client = Client(host=server.endpoint, username=server.access_key_id, password=server.secret_access_key)
        lakefs.Repository(repository_name, client=client).create(storage_namespace, default_branch="main")
        return repository_name

    return create


@pytest.fixture
def repository(lakefs_server: ServerProcess, create_repository: Callable[[ServerProcess], str]) -> str:
    """A new repository on the shared server, with an empty branch ``main``."""
    return create_repository(lakefs_server)


@pytest.fixture(scope="session")
def s3_for() -> Iterator[Callable[..., S3Client]]:
    """Make a plain boto3 client for a server, ``s3_for(server, **options of its Config)``: what an outsider sees."""
    with ExitStack() as clients:

        def connect(server: ServerProcess, **options: Any) -> S3Client:
            client = boto3.client(
                "s3",
                endpoint_url=server.endpoint,
                aws_access_key_id=server.access_key_id,
                aws_secret_access_key=server.secret_access_key,
                region_name="us-east-1",
                config=Config(
                    s3={"addressing_style": "path"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    **options,
                ),
            )
            clients.callback(client.close)
            return client

        yield connect


@pytest.fixture(scope="session")
def s3(lakefs_server: ServerProcess, s3_for: Callable[..., S3Client]) -> S3Client:
    """A plain boto3 client for the shared server, for comparing from outside."""
    return s3_for(lakefs_server)
